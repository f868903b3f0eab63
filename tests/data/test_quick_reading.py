"""Reading by arrays agrees with reading line by line, on everything that it does not leave to that."""

from pathlib import Path

import numpy as np
import pytest

from csc_fairseq.data import manifest as manifests
from csc_fairseq.data import quick_reading
from csc_fairseq.data.manifest import LONGEST, read_labels, read_manifest, write_lines
from csc_fairseq.data.quick_reading import quick_entries, quick_labels, quick_names
from csc_fairseq.errors import InputError

# What is odd in names, in numbers, and at both ends of files.
NAMES = [
    "a.wav", "é.wav", "e\u0301.wav", " a.wav", "a ", "\u3042.wav", "\u00e0", "a\rb", "\x0b", "\x0c", " ", "\u2003", "\u3000",
    "\x1c", "\x85", "\u00a0", "\u3000a", "", "a\0b", "x.zip:3:4",
]  # fmt: skip
NUMBERS = [
    "1",
    "0",
    "007",
    "281474976710655",
    "281474976710656",
    "0000000000000001",
    "-5",
    "1.5",
    "",
    " 7 ",
    "٣",
    "7 ",
    "1_0",
    "+5",
]
ENDS = ["\n", "\r\n", "\r", "", "\n\n", "\n \n", "\t\n"]
STARTS = [b"", b"\xef\xbb\xbf", b"\xff\xfe"]


def told(function, *arguments):
    """What a call returns, or the message of its error."""
    try:
        return function(*arguments)
    except InputError as error:
        return str(error)


def both(monkeypatch, read, *arguments):
    """What a reader says, and what it says when everything is read line by line."""
    quick = told(read, *arguments)
    for name in ("quick_entries", "quick_labels", "quick_names"):
        monkeypatch.setattr(manifests, name, lambda *_: None)
    careful = told(read, *arguments)
    monkeypatch.undo()
    return quick, careful


def write_manifest(path: Path, start: bytes, lines: list[str], end: str) -> None:
    text = "\n".join([str(path.parent), *lines])
    path.write_bytes(start + text.encode() + end.encode())


def cases():
    """(first bytes, lines, end) of manifests."""
    for name in NAMES:
        yield b"", ["ok.wav\t5", f"{name}\t5", "ok2.wav\t6"], "\n"
    for number in NUMBERS:
        yield b"", ["ok.wav\t5", f"a.wav\t{number}"], "\n"
    for start in STARTS:
        for end in ENDS:
            yield start, ["ok.wav\t5", "a.wav\t12345678"], end
    for lines in (
        [],
        [""],
        ["a.wav"],
        ["a.wav\t5\tx"],
        ["a\tb", "c"],
        ["\t5"],
        ["a.wav\t", "5"],
        ["a.wav\t1", "", "b.wav\t1"],
    ):
        yield b"", lines, "\n"


def test_manifests(tmp_path: Path, monkeypatch):
    path, quickly = tmp_path / "x.tsv", 0
    for start, lines, end in cases():
        write_manifest(path, start, lines, end)
        quick, careful = both(monkeypatch, read_manifest, path)
        if isinstance(careful, str):
            assert quick == careful
            continue
        assert quick.names == careful.names and quick.root == careful.root, (start, lines, end)
        assert quick.frames.dtype == np.int64 and quick.frames.tolist() == careful.frames.tolist()
        quickly += quick_entries(path, LONGEST) is not None
    assert quickly >= 18  # most that can be read is read by arrays


def test_lines_and_numbers_over_the_edges_of_blocks(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(quick_reading, "_CHUNK", 48)  # bytes, and three lines
    rng = np.random.default_rng(0)
    lines = [
        f"{'ü' * int(rng.integers(1, 9))}{i}.wav\t{int(rng.integers(1, 10 ** rng.integers(1, 14)))}" for i in range(99)
    ]
    write_manifest(tmp_path / "x.tsv", b"", lines, "\n")
    first, names, frames = quick_entries(tmp_path / "x.tsv", LONGEST)
    assert first == str(tmp_path)
    assert [f"{name}\t{length}" for name, length in zip(names, frames.tolist(), strict=True)] == lines
    content = (tmp_path / "x.tsv").read_bytes()
    (tmp_path / "x.tsv").write_bytes(content[:-9] + b"\xc3" + content[-9:])
    assert quick_entries(tmp_path / "x.tsv", LONGEST) is None


@pytest.mark.parametrize(
    "content",
    [
        "anna\nben\nanna\n", "anna\nben\nanna", "anna\r\nben\nanna \n", "é\ne\u0301\n é\n", "anna\n\nben\n", "anna\n \nben\n",
        "anna\nben\n", "anna\nben\nanna\ncarl\n", "an\rna\nben\n", "\ufeffanna\nanna\nben\n", "anna\n\ufeffanna\nben\n", "",
    ],
)  # fmt: skip
def test_labels(tmp_path: Path, monkeypatch, content: str):
    write_manifest(tmp_path / "x.tsv", b"", ["a.wav\t1", "b.wav\t2", "c.wav\t3"], "\n")
    (tmp_path / "x.spk").write_bytes(content.encode())
    quick, careful = both(monkeypatch, read_labels, read_manifest(tmp_path / "x.tsv"), "spk")
    assert quick == careful
    assert isinstance(careful, str) or quick.values == careful.values


def test_labels_that_are_not_utf8(tmp_path: Path, monkeypatch):
    write_manifest(tmp_path / "x.tsv", b"", ["a.wav\t1"], "\n")
    (tmp_path / "x.spk").write_bytes(b"\xff\n")
    quick, careful = both(monkeypatch, read_labels, read_manifest(tmp_path / "x.tsv"), "spk")
    assert quick == careful and ":1: found \\xff, which is not UTF-8" in careful


@pytest.mark.parametrize(
    "names", [["a", " b", "é"], ["a", "\u3000", "c"], ["a", "", "c"], ["a", "b"], ["\ufeffa", "b", "c"]]
)
def test_names_of_packed_recordings(tmp_path: Path, monkeypatch, names: list[str]):
    write_manifest(tmp_path / "x.tsv", b"", [f"x.zip:{i}:1\t1" for i in range(3)], "\n")
    write_lines(tmp_path / "x.name", names)
    quick, careful = both(monkeypatch, read_manifest, tmp_path / "x.tsv")
    assert (quick if isinstance(quick, str) else quick.names) == (
        careful if isinstance(careful, str) else careful.names
    )


def test_what_is_well_formed_is_read_by_arrays(tmp_path: Path):
    write_lines(tmp_path / "x.spk", ["anna", "é", "anna"])
    assert quick_labels(tmp_path / "x.spk", 3) == ["anna", "é", "anna"]
    assert quick_names(tmp_path / "x.spk", 3) == ["anna", "é", "anna"]
    assert quick_labels(tmp_path / "x.spk", 2) is quick_names(tmp_path / "x.spk", 2) is None
    assert quick_labels(tmp_path / "gone", 3) is quick_names(tmp_path / "gone", 3) is None
