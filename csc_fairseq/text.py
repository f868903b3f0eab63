"""Text files as people have them: UTF-8 with or without a byte order mark, lines that end in any way, names in any Unicode form.

One name has several Unicode forms: é is one character, or an e with an accent. Folders of one system have this form and
tables of another one have that. Names are compared in NFC; paths are opened as they were written.
"""

import codecs
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from csc_fairseq.errors import InputError

_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_lines(path: str | Path) -> list[str]:
    """All lines of a file, without their ends. Errors as of `iterate_lines`."""
    return list(iterate_lines(path))


def iterate_lines(path: str | Path) -> Iterator[str]:
    """Lines of a UTF-8 file, one at a time, without line ends (LF, CRLF or CR) and byte order mark.

    InputError: the file cannot be read; a line that is not UTF-8, with its number.
    """
    try:
        # Not str.splitlines: it also splits at rare line separators, which file names may contain.
        with open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                if number == 1:
                    if line.startswith(_MARKS):
                        raise InputError(f"{path}: is UTF-16, expected UTF-8; save it again in this encoding")
                    line = line.removeprefix(codecs.BOM_UTF8)
                    if not line:  # nothing but the mark
                        return
                text = _decoded(line, f"{path}:{number}").removesuffix("\n").removesuffix("\r")
                yield from text.split("\r")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def _decoded(line: bytes, place: str) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        found = line.strip().decode(errors="backslashreplace")
        raise InputError(
            f"{place}: found {found[:120]}, which is not UTF-8; save this file as UTF-8, and rename recordings with such names"
        ) from error


def normal(name: str) -> str:
    """The name in the form in which names are compared, NFC."""
    return unicodedata.normalize("NFC", name)


def escaped(text: object) -> str:
    """Text that can be printed: bytes of a file name that are not UTF-8 become \\xNN."""
    return str(text).encode(errors="surrogateescape").decode(errors="backslashreplace")


def is_utf8(name: str) -> bool:
    """Whether a file name is UTF-8; Python keeps the bytes of one that is not as surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def alike(names: Iterable[str]) -> list[tuple[str, str]]:
    """Names that differ from an earlier one in their Unicode form alone, each after that one."""
    first: dict[str, str] = {}
    pairs: dict[str, str] = {}
    for name in names:
        other = first.setdefault(normal(name), name)
        if other != name:
            pairs.setdefault(name, other)
    return [(other, name) for name, other in pairs.items()]


def alike_file(path: Path) -> Path | None:
    """For a path without a file: one that is there and differs in the Unicode form of its names alone; None: none."""
    if str(path).isascii():  # which has one form alone
        return None
    found = Path(path.anchor)
    for part in path.parts[1 if path.anchor else 0 :]:
        if (found / part).exists():
            found /= part
            continue
        try:
            found = next(entry for entry in found.iterdir() if normal(entry.name) == normal(part))
        except (StopIteration, OSError):
            return None
    return None if found == path else found
