"""Text with marks, line ends and forms of all kinds reads as if it had none."""

import unicodedata
from pathlib import Path

import pytest

from csc_fairseq.text import alike, alike_file, escaped, is_utf8, normal, read_lines
from tests.making import fails

COMPOSED, DECOMPOSED = "José", "Jose\u0301"


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"a\nb\n", ["a", "b"]),
        (b"\xef\xbb\xbfa\nb", ["a", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"\xef\xbb\xbfa\r\n\r\nb", ["a", "", "b"]),
        (b"a\rb", ["a", "b"]),
        ("a\u2028b\x85\nc\n".encode(), ["a\u2028b\x85", "c"]),  # not the end of a line
        (b"\xef\xbb\xbf", []),
        (b"", []),
        (b"\n", [""]),
    ],
)
def test_lines(tmp_path: Path, content: bytes, lines: list[str]):
    (tmp_path / "a.txt").write_bytes(content)
    assert read_lines(tmp_path / "a.txt") == lines


def test_unreadable_text(tmp_path: Path):
    path = tmp_path / "a.txt"
    assert fails(read_lines, path).startswith(f"{path}: cannot be read (No such file")
    path.write_bytes(b"fine\n" * 9000 + b"caf\xe9.wav\t3\n")
    assert fails(read_lines, path).startswith(f"{path}:9001: found caf\\xe9.wav\t3, which is not UTF-8; ")
    for encoding in ("utf-16-le", "utf-16-be"):
        path.write_bytes(f"\ufeff{COMPOSED}\n".encode(encoding))
        assert fails(read_lines, path).startswith(f"{path}: is UTF-16, expected UTF-8")


def test_names_in_one_form():
    assert COMPOSED != DECOMPOSED and normal(DECOMPOSED) == normal(COMPOSED) == COMPOSED
    assert alike(["a", COMPOSED, "a", DECOMPOSED, "b", DECOMPOSED]) == [(COMPOSED, DECOMPOSED)]
    assert alike(["a", "A", COMPOSED, COMPOSED]) == []


def test_names_of_bytes():
    name = b"caf\xe9".decode(errors="surrogateescape")
    assert not is_utf8(name) and is_utf8(COMPOSED)
    assert escaped(name) == "caf\\xe9" and escaped(COMPOSED) == COMPOSED


def test_a_file_of_another_form(tmp_path: Path):
    there = tmp_path / DECOMPOSED / f"{COMPOSED}.wav"
    there.parent.mkdir()
    there.touch()
    asked = Path(unicodedata.normalize("NFC", str(there.parent))) / f"{DECOMPOSED}.wav"
    if asked.exists():
        pytest.skip("this file system knows one form alone")
    assert alike_file(asked) == there
    assert alike_file(there) is None and alike_file(tmp_path / "b.wav") is None
