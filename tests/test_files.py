"""Files are replaced together or not at all, and a manifest is never beside labels of another one."""

import os
from pathlib import Path

import pytest

from csc_fairseq.files import replacing, replacing_together
from tests.making import killed_after_renames


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    for name in ("a.tsv", "a.spk", "b.tsv", "b.spk"):
        (tmp_path / name).write_text("old")
    return tmp_path


def write(folder: Path, fail: bool = False) -> None:
    followers, leaders = [folder / "a.spk", folder / "b.spk"], [folder / "a.tsv", folder / "b.tsv"]
    with replacing_together(followers, leaders) as temporaries:
        for path in (*followers, *leaders):
            temporaries[path].write_text("new")
            if fail:
                raise RuntimeError


def test_all_or_none(old: Path):
    before = content(old)
    with pytest.raises(RuntimeError):
        write(old, fail=True)
    assert content(old) == before
    write(old)
    assert content(old) == dict.fromkeys(before, "new")


@pytest.mark.parametrize("renamed", range(4))
def test_killed_while_renaming(old: Path, monkeypatch: pytest.MonkeyPatch, renamed: int):
    """Whatever number of files has been renamed: a manifest that is there has the labels of its time, and so has the other."""
    monkeypatch.setattr(os, "replace", killed_after_renames(renamed))
    with pytest.raises(KeyboardInterrupt):
        write(old)
    found = content(old)
    assert set(found) <= {"a.tsv", "a.spk", "b.tsv", "b.spk"}  # nothing temporary
    for name in ("a", "b"):
        if f"{name}.tsv" in found:
            assert found[f"{name}.tsv"] == found[f"{name}.spk"] == "new"
    assert sum(text == "new" for text in found.values()) == renamed


def test_a_single_file(tmp_path: Path):
    with replacing(tmp_path / "new" / "a") as temporary:
        temporary.write_text("x")
    assert content(tmp_path / "new") == {"a": "x"}
