"""Where the bytes of a recording are: in a file of its own, or in a slice of an archive, ``archive.zip:OFFSET:LENGTH``.

The archive is a zip whose members are stored, not compressed; OFFSET and LENGTH count bytes. fairseq's manifests name packed audio
so (fairseq/data/audio/audio_utils.py, `parse_path` and `read_from_stored_zip`), and stock wav2vec 2.0 reads the same lines.
A slice is read in place: a crop of an archive of any size costs as much as one of a small file.
"""

import io
import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast
from zipfile import ZIP_STORED, BadZipFile, ZipFile

from csc_fairseq.errors import InputError

_SLICE = re.compile(r"(.+\.zip):([0-9]+):([0-9]+)", re.DOTALL)
AHEAD = 2**20  # bytes of a slice that are asked for before they are read
_DIGITS = 18  # of a number of bytes: no file has more, and Python refuses to convert thousands of them


@dataclass(frozen=True)
class Slice:
    """Bytes [offset, offset + length) of an archive. As a string, it is the path that names it."""

    archive: Path
    offset: int
    length: int

    @property
    def end(self) -> int:
        """First byte after the slice."""
        return self.offset + self.length

    def __str__(self) -> str:
        return f"{self.archive}:{self.offset}:{self.length}"


def slice_of(path: str | Path) -> Slice | None:
    """The slice that a path names; None for the path of a file."""
    found = _SLICE.fullmatch(str(path))
    return Slice(Path(found[1]), _bytes(found[2]), _bytes(found[3])) if found else None


def _bytes(digits: str) -> int:
    """A number of bytes; of too many digits, one that lies beyond the end of any file."""
    return int(digits) if len(digits) <= _DIGITS else 10**_DIGITS


def file_of(path: str | Path) -> Path:
    """The file on disk that holds a recording: the archive of a slice, otherwise the path itself."""
    found = slice_of(path)
    return Path(path) if found is None else found.archive


def open_bytes(path: str | Path) -> BinaryIO:
    """The bytes of a recording, to read and seek in, wherever they are.

    OSError as of `open`, for a file. InputError, naming the slice: the archive cannot be read, or does not reach so far.
    """
    found = slice_of(path)
    return open(path, "rb") if found is None else open_slice(found)


def open_slice(found: Slice) -> BinaryIO:
    """The bytes of a slice. Errors as of `open_bytes`."""
    try:
        descriptor = os.open(found.archive, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            f"{found}: no such archive; mount or restore it, or pack the recordings again (`csc pack`)"
        ) from error
    except OSError as error:
        raise InputError(
            f"{found}: the archive cannot be read ({error.strerror}); see to its path and permissions, or pack the recordings "
            "again (`csc pack`)"
        ) from error
    status = os.fstat(descriptor)
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    if found.length < 1 or found.end > size:
        os.close(descriptor)
        raise InputError(
            f"{found}: names bytes {found.offset} to {found.end} of an archive of {size}, expected some within it; it was cut off "
            "or replaced after its manifest was written: restore it, or pack the recordings again (`csc pack`)"
        )
    # Systems read ahead where a file begins, but not where a slice does: without this, crops from a disk take a fifth longer.
    if found.length <= AHEAD and hasattr(os, "posix_fadvise"):
        with suppress(OSError):  # it is no more than advice
            os.posix_fadvise(descriptor, found.offset, found.length, os.POSIX_FADV_WILLNEED)
    return cast(BinaryIO, _SliceReader(found, descriptor))  # which has all of its methods but write


def compressed_member(found: Slice) -> str:
    """Name of the compressed member of the archive in which a slice begins; "" if it begins in none, or in no zip."""
    try:
        with ZipFile(found.archive) as archive:
            members = [member for member in archive.infolist() if member.header_offset <= found.offset]
    except (BadZipFile, OSError):
        return ""
    last = max(members, key=lambda member: member.header_offset, default=None)
    return "" if last is None or last.compress_type == ZIP_STORED else last.filename


class _SliceReader(io.RawIOBase):
    """A slice as a file of its own, which begins at 0 and ends with the slice.

    It has no buffer: libsndfile has one, and filling a second costs more than it saves. Nor is the archive mapped into memory,
    where one that is cut off meanwhile would end the process.
    """

    def __init__(self, found: Slice, descriptor: int) -> None:
        self._slice = found
        self._descriptor = descriptor
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        rest = max(0, self._slice.length - self._position)
        wanted = buffer if len(buffer) <= rest else memoryview(buffer)[:rest]
        read = os.preadv(self._descriptor, [wanted], self._slice.offset + self._position)
        self._position += read
        return read

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_CUR:
            offset += self._position
        elif whence == io.SEEK_END:
            offset += self._slice.length
        self._position = max(0, offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()
