"""The folder of results: one evaluation at a time, and only files that evaluations wrote."""

import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from csc_fairseq.errors import InputError
from csc_fairseq.verification.evaluation.result_folder import LISTED, LOCK, ResultFolder


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {LISTED, LOCK}


def test_what_was_written_is_replaced_and_removed(tmp_path):
    with ResultFolder(tmp_path) as folder:
        folder.write("a.json", b"1")
        folder.write("scores/one/clean.npy", b"2")
        folder.write("scores/two/clean.npy", b"3")
    (tmp_path / "scores" / "two" / "mine.npy").write_text("mine")
    with ResultFolder(tmp_path) as folder:
        assert folder.listed("scores/*/*.npy") == ["scores/one/clean.npy", "scores/two/clean.npy"]
        folder.write("a.json", b"4")
        folder.remove([*folder.listed("scores/two/*.npy"), "scores/two/mine.npy"])
    assert (tmp_path / "a.json").read_bytes() == b"4"
    assert names(tmp_path) == {"a.json", "scores/one/clean.npy", "scores/two/mine.npy"}
    with (
        ResultFolder(tmp_path) as folder,
        pytest.raises(InputError, match=r"mine.npy: is there, and no evaluation wrote"),
    ):
        folder.write("scores/two/mine.npy", b"5")
    assert (tmp_path / "scores" / "two" / "mine.npy").read_text() == "mine"


def test_a_file_is_listed_before_it_is_written(tmp_path, monkeypatch):
    """Killed in between, the same evaluation must be able to write it."""

    def killed(path, content):
        raise KeyboardInterrupt

    with ResultFolder(tmp_path) as folder, monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "write_bytes", killed)
        folder.write("a.json", b"1")
    (tmp_path / "a.json").write_text("as if the kill had come just after")
    with ResultFolder(tmp_path) as folder:
        folder.write("a.json", b"1")


def test_a_folder_of_others_is_refused(tmp_path):
    list_of_trials = tmp_path / "trials.txt"
    list_of_trials.touch()
    with ResultFolder(tmp_path, [list_of_trials, Path("elsewhere")]):
        pass
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"holds thesis.tex, which no evaluation wrote; choose an empty folder"):
        ResultFolder(tmp_path, [list_of_trials])


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"files": 3}', b'{"files": [3]}', b"\xff\xfe"])
def test_a_damaged_list_is_told(tmp_path, content):
    (tmp_path / LISTED).write_bytes(content)
    with pytest.raises(InputError, match=f"{LISTED}: is damaged, .* choose another --out"):
        ResultFolder(tmp_path)


def test_a_list_names_nothing_outside(tmp_path):
    out, outside = tmp_path / "out", tmp_path / "outside.json"
    out.mkdir()
    outside.touch()
    (out / LISTED).write_text(json.dumps({"files": ["../outside.json", str(outside), "a.json"]}))
    with ResultFolder(out) as folder:
        assert folder.listed("*.json") == ["a.json"]


def hold(path, ready):
    with ResultFolder(path):
        ready.send(None)
        signal.pause()


def test_one_evaluation_at_a_time(tmp_path):
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=hold, args=(tmp_path, theirs))
    process.start()
    ours.recv()
    with pytest.raises(InputError, match="another evaluation is writing there; wait for its end"):
        ResultFolder(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with ResultFolder(tmp_path) as folder:  # a killed one holds nothing up
        folder.write("a.json", b"1")
