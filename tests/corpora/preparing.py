"""`csc prepare` in this process, and what it left."""

from pathlib import Path

import pytest

from csc_fairseq.cli.main import main
from csc_fairseq.corpora.check import check_manifest


def prepare(capsys: pytest.CaptureFixture[str], kind: str, root: Path, out: Path, *options: str) -> list[str]:
    """Runs a preparation that succeeds; the lines that it printed."""
    capsys.readouterr()
    assert main(["prepare", kind, str(root), "--out", str(out), *options]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return printed.out.splitlines()


def complaint(capsys: pytest.CaptureFixture[str], kind: str, root: Path, out: Path, *options: str) -> str:
    """Runs a preparation that fails; its one line."""
    capsys.readouterr()
    assert main(["prepare", kind, str(root), "--out", str(out), *options]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("csc prepare: ")
    return error.removeprefix("csc prepare: ").strip()


def contents(folder: Path) -> dict[str, bytes]:
    """Bytes of all files by their path below the folder, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check(out: Path, *splits: str, resample: bool = False) -> None:
    """`csc check --deep` finds nothing wrong."""
    for split in splits:
        assert check_manifest(out / f"{split}.tsv", resample=resample, deep=True) == []
