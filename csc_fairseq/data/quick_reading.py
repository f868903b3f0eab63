"""Manifests and label files of millions of lines, read by arrays of their bytes.

What is read here is well formed: UTF-8, every line as it should be. Of anything else the answer is None, and manifest.py reads
it line by line, accepts what can be accepted, and says what is wrong where.
"""

import codecs
from pathlib import Path

import numpy as np

from csc_fairseq.data.texts import Labels, Names, coded
from csc_fairseq.text import normal

_CHUNK = 2**24  # bytes, or lines, looked at together
_NEWLINE, _TAB, _ZERO = 10, 9, 48
_DIGITS = 15  # of a length in samples
# First bytes of all white space in UTF-8. A name that begins with another byte is not blank.
_BLANKS = np.zeros(256, dtype=bool)
_BLANKS[[9, 11, 12, 28, 29, 30, 31, 32, 0xC2, 0xE1, 0xE2, 0xE3]] = True


def quick_entries(path: Path, longest: int) -> tuple[str, Names, np.ndarray] | None:
    """First line, names, and lengths, int64 [N] from 1 to below `longest`, of a manifest with at least one recording."""
    data = _read(path)
    if data is None:
        return None
    content = np.frombuffer(data, dtype=np.uint8)
    ends, tabs = _places(content, _NEWLINE), _places(content, _TAB)
    if not data.endswith(b"\n"):
        ends = np.append(ends, len(data))
    if len(ends) < 2 or len(tabs) != len(ends) - 1:
        return None
    starts = ends[:-1] + 1
    first, ends = int(ends[0]), ends[1:]
    if (tabs <= starts).any() or (tabs >= ends).any():
        return None
    frames = _numbers(content, tabs + 1, ends)
    if frames is None or frames.min() < 1 or frames.max() >= longest:
        return None
    names = Names(data, starts, (tabs - starts).astype(np.int32))
    doubtful = np.flatnonzero(_BLANKS[content[starts]])
    if any(not names[i].strip() for i in doubtful.tolist()):
        return None
    return data[:first].decode(), names, frames


def quick_names(path: Path, count: int) -> Names | None:
    """The lines of a file of `count` lines, none of them blank."""
    data = _read(path)
    if data is None:
        return None
    content = np.frombuffer(data, dtype=np.uint8)
    ends = _places(content, _NEWLINE)
    if not data.endswith(b"\n"):
        ends = np.append(ends, len(data))
    starts = np.concatenate([[0], ends[:-1] + 1])
    if len(ends) != count or (starts >= ends).any():
        return None
    names = Names(data, starts, (ends - starts).astype(np.int32))
    doubtful = np.flatnonzero(_BLANKS[content[starts]])
    return None if any(not names[i].strip() for i in doubtful.tolist()) else names


def quick_labels(path: Path, count: int) -> Labels | None:
    """The lines of a file of `count` lines, none of them blank, in the form in which names are compared."""
    try:
        with open(path, "rb") as file:
            codes, lines = coded(file)
    except OSError:
        return None
    if len(codes) != count or lines[0].startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return None
    try:
        texts = [line.removesuffix(b"\n").removesuffix(b"\r").decode() for line in lines]
    except UnicodeDecodeError:
        return None
    if any("\r" in text for text in texts):
        return None
    texts = [normal(text.strip()) for text in texts]
    return Labels.merged(codes, texts) if all(texts) else None


def _read(path: Path) -> bytes | None:
    """The bytes of a file of UTF-8, without a mark, whose lines all end in a newline."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    data = data.removeprefix(codecs.BOM_UTF8)
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    if not data or b"\r" in data or not _is_utf8(data):
        return None
    return data


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(data)
    try:
        for first in range(0, len(data), _CHUNK):
            decoder.decode(view[first : first + _CHUNK], final=first + _CHUNK >= len(data))
    except UnicodeDecodeError:
        return False
    return True


def _places(content: np.ndarray, byte: int) -> np.ndarray:
    """int64: where a byte is."""
    found = [
        first + np.flatnonzero(content[first : first + _CHUNK] == byte) for first in range(0, len(content), _CHUNK)
    ]
    return np.concatenate(found)


def _numbers(content: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray | None:
    """int64 [N]: what the digits in content[starts:ends] say; None if something else is there, or too many digits."""
    numbers = np.zeros(len(starts), dtype=np.int64)
    if (ends - starts).max() > _DIGITS:
        return None
    for first in range(0, len(starts), _CHUNK // 16):
        block = slice(first, first + _CHUNK // 16)
        start, end, value = starts[block], ends[block], numbers[block]
        for place in range(int((end - start).max())):
            there = start + place < end
            digit = content[np.where(there, start + place, start)].astype(np.int64) - _ZERO
            if (there & ((digit < 0) | (digit > 9))).any():
                return None
            np.copyto(value, value * 10 + digit, where=there)
    return numbers
