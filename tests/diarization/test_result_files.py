"""Files of a recording: whole or none, known again, and nobody else's are touched."""

import pytest

from csc_fairseq.diarization.result_files import ResultFiles
from tests.making import fails, killed_after_renames

ORIGIN = {"model": "m", "options": {"most": None}}


def write(files: ResultFiles, **contents: str) -> None:
    endings = {f".{name}": text for name, text in contents.items()}
    with files.replacing(list(endings)) as temporary:
        for ending, text in endings.items():
            temporary(ending).write_text(text)


def test_complete_until_something_changes(tmp_path):
    files = ResultFiles(tmp_path / "new", "a", ORIGIN)
    assert not files.complete()
    write(files, rttm="1", tsv="2")
    assert files.complete()
    assert sorted(path.name for path in files.folder.iterdir()) == ["a.json", "a.rttm", "a.tsv"]
    assert not ResultFiles(files.folder, "a", ORIGIN | {"model": "other"}).complete()
    assert not ResultFiles(files.folder, "b", ORIGIN).complete()
    files.path(".tsv").unlink()
    assert not files.complete()
    write(files, rttm="1", tsv="2")
    assert files.complete()


def test_a_file_that_was_changed_stays(tmp_path):
    files = ResultFiles(tmp_path, "a", ORIGIN)
    write(files, rttm="1", wav="2")
    before = files.listing.read_bytes()
    for ending, ours in ((".rttm", "1"), (".wav", "2")):  # the second would be removed
        files.path(ending).write_text("corrected")
        assert not files.complete()
        message = (
            f"{files.path(ending)}: was changed since `csc diarize` wrote it, and would be lost; move it away, or "
        )
        assert fails(files.require_ours, [".rttm"]).startswith(message)
        assert fails(lambda: write(files, rttm="3")).startswith(message)
        assert files.path(ending).read_text() == "corrected" and files.listing.read_bytes() == before
        files.path(ending).write_text(ours)
    write(files, rttm="3")


def test_files_of_an_earlier_command_go(tmp_path):
    write(ResultFiles(tmp_path, "a", ORIGIN), rttm="1", wav="2")
    (tmp_path / "a.txt").write_text("somebody's")
    write(ResultFiles(tmp_path, "a", ORIGIN | {"model": "other"}), rttm="3")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.rttm", "a.txt"]
    assert (tmp_path / "a.rttm").read_text() == "3"


@pytest.mark.parametrize("renames", range(6))
def test_interrupted_anywhere_it_goes_on(tmp_path, monkeypatch, renames):
    """After any number of renames: what is there is not complete, unless it all is, and the same command succeeds."""
    write(ResultFiles(tmp_path, "a", ORIGIN), rttm="1", wav="2")
    files = ResultFiles(tmp_path, "a", ORIGIN | {"model": "other"})
    with monkeypatch.context() as patched:
        patched.setattr("os.replace", killed_after_renames(renames))
        try:
            write(files, rttm="3", tsv="4")
            assert renames >= 4
        except KeyboardInterrupt:
            assert renames < 4
    assert files.complete() == (renames >= 4)
    write(files, rttm="3", tsv="4")
    assert files.complete()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.rttm", "a.tsv"]


def test_failed_writing_changes_no_file(tmp_path):
    files = ResultFiles(tmp_path, "a", ORIGIN)
    write(files, rttm="1")
    with pytest.raises(ZeroDivisionError), files.replacing([".rttm"]) as temporary:
        temporary(".rttm").write_text("2")
        raise ZeroDivisionError
    assert (tmp_path / "a.rttm").read_text() == "1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.rttm"]
    assert not files.complete()


def test_nobody_elses_files_are_replaced(tmp_path):
    files = ResultFiles(tmp_path, "a", ORIGIN)
    (tmp_path / "a.rttm").write_text("a reference")
    message = f"{tmp_path}/a.rttm: is there, and no `csc diarize` wrote it; move it away, or choose another --out"
    assert fails(files.require_ours, [".rttm"]) == message
    assert fails(lambda: write(files, tsv="1", rttm="2")) == message
    assert [path.name for path in tmp_path.iterdir()] == ["a.rttm"]
    (tmp_path / "a.rttm").unlink()
    for content in (
        "{",
        "[]",
        '{"files": []}',
        '{"format": "csc diarize, 1", "files": ["../b"], "origin": 1, "digests": 1}',
    ):
        (tmp_path / "a.json").write_text(content)
        assert fails(files.complete).startswith(f"{tmp_path}/a.json: is not a list that `csc diarize` writes; move it ")
