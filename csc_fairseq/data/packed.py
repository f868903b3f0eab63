"""Where the bytes of a recording are: in a file of its own, or in a slice of an archive, ``archive.zip:OFFSET:LENGTH``.

The archive is a zip whose members are stored, not compressed; OFFSET and LENGTH count bytes. fairseq's manifests name packed audio
so (fairseq/data/audio/audio_utils.py, `parse_path` and `read_from_stored_zip`), and stock wav2vec 2.0 reads the same lines.
A slice is read in place: a crop of an archive of any size costs as much as one of a small file.
"""

import io
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from zipfile import ZIP_STORED, BadZipFile, ZipFile

from csc_fairseq.errors import InputError

_SLICE = re.compile(r"(.+\.zip):([0-9]+):([0-9]+)", re.DOTALL)
_AT_ONCE = 2**18  # bytes; a slice of up to so many is read as a whole, which is quicker than in parts
_BUFFER = 2**16  # bytes of a longer one that are read at a time: some frames of FLAC


@dataclass(frozen=True)
class Slice:
    """Bytes [offset, offset + length) of an archive."""

    archive: Path
    offset: int
    length: int

    @property
    def end(self) -> int:
        """First byte after the slice."""
        return self.offset + self.length


def slice_of(path: str | Path) -> Slice | None:
    """The slice that a path names; None for the path of a file."""
    found = _SLICE.fullmatch(str(path))
    return Slice(Path(found[1]), int(found[2]), int(found[3])) if found else None


def file_of(path: str | Path) -> Path:
    """The file on disk that holds a recording: the archive of a slice, otherwise the path itself."""
    found = slice_of(path)
    return Path(path) if found is None else found.archive


def open_bytes(path: str | Path) -> BinaryIO:
    """The bytes of a recording, to read and seek in, wherever they are.

    OSError as of `open`. InputError, naming the slice: the archive is missing, or does not reach so far.
    """
    found = slice_of(path)
    return open(path, "rb") if found is None else open_slice(found)


def open_slice(found: Slice) -> BinaryIO:
    """The bytes of a slice. Errors as of `open_bytes`."""
    name = f"{found.archive}:{found.offset}:{found.length}"
    try:
        descriptor = os.open(found.archive, os.O_RDONLY)
    except FileNotFoundError as error:
        raise InputError(
            f"{name}: no such archive; mount or restore it, or pack the recordings again (`csc pack`)"
        ) from error
    size = os.fstat(descriptor).st_size
    if found.length < 1 or found.end > size:
        os.close(descriptor)
        raise InputError(
            f"{name}: names bytes {found.offset} to {found.end} of an archive of {size}, expected some within it; it was cut off "
            "or replaced after its manifest was written: restore it, or pack the recordings again (`csc pack`)"
        )
    if found.length > _AT_ONCE:
        return io.BufferedReader(_SliceReader(found, descriptor), _BUFFER)
    content = os.pread(descriptor, found.length, found.offset)
    os.close(descriptor)
    return io.BytesIO(content)


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
    """A slice as a file of its own, which begins at 0 and ends with the slice."""

    def __init__(self, found: Slice, descriptor: int) -> None:
        self._slice = found
        self._descriptor = descriptor
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        wanted = max(0, min(len(buffer), self._slice.length - self._position))
        read = os.preadv(self._descriptor, [memoryview(buffer)[:wanted]], self._slice.offset + self._position)
        self._position += read
        return read

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._slice.length}[whence]
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()
