"""From a file to a dictionary of tensors and plain values. Nothing in the file runs, and no other file is looked for."""

import io
import os
import sys
import zipfile
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from csc_fairseq.checkpoints.entries import one_line
from csc_fairseq.checkpoints.pickles import ForeignError, Storage, read_pickle
from csc_fairseq.errors import InputError

ARCHIVE = b"PK\x03\x04"  # how files begin that PyTorch has written since 1.6; older ones are a sequence of pickles
OLD_BEGINNING = (0x1950A86A20F9469CFC6C, 1001)  # the first two of them: what it is, and in which version
COUNT_BYTES = 8  # before each storage of an old file: its number of elements
PIECE = 2**20  # bytes read at once


def read_entries(path: str | Path) -> dict[Any, Any]:
    """The dictionary that a file of weights holds, in either of PyTorch's formats, on the CPU.

    InputError: no such file, one that is damaged or no checkpoint, one that needs code to load.
    """
    if not Path(path).is_file():
        if Path(path).is_dir():
            raise InputError(
                f"{path}: is a folder, expected a file of weights in it, such as checkpoint_best.pt or csc.pt"
            )
        raise InputError(f"{path}: no such file; expected a checkpoint (checkpoint_best.pt) or a bundle")
    try:
        with _Bounded(io.FileIO(path)) as file:
            is_archive = file.read(len(ARCHIVE)) == ARCHIVE
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            entries = _Archive(file, size).entries() if is_archive else _Sequence(file, size).entries()
    except ForeignError as error:
        raise InputError(
            f"{path}: is no checkpoint, or holds more than tensors and plain values, which could run code "
            f"({one_line(error)}); expected a checkpoint of csc or a bundle"
        ) from error
    except Exception as error:  # a damaged file fails at any step of parsing, with any exception
        raise InputError(f"{path}: is damaged or no checkpoint ({one_line(error)}); copy it again") from error
    if type(entries) is not dict:
        raise InputError(f"{path}: holds a {type(entries).__name__}, expected a checkpoint's dictionary")
    return entries


class _Bounded(io.BufferedReader):
    """A file of which nobody reads more than it has: Python would make room for what is asked for, up to 4 GB for a text."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > PIECE:
            size = min(size, os.fstat(self.fileno()).st_size - self.tell())
        return super().read(size)


class _Archive:
    """A zip archive, of which one record is a pickle and others are storages.

    Every record is read, and its checksum verified. Together they take no more memory than the file has bytes.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.archive = zipfile.ZipFile(file)
        found = self.archive.infolist()
        if any(record.compress_type != zipfile.ZIP_STORED for record in found):
            raise ValueError("a compressed archive, which PyTorch does not write")
        if sum(record.file_size for record in found) > size:
            raise ValueError("its records claim more bytes than the file has")
        self.unread = {record.filename: record for record in found}
        if len(self.unread) < len(found):
            raise ValueError("two of its records have one name")
        pickles = [name for name in self.unread if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise ValueError(f"an archive with {len(pickles)} records data.pkl, expected 1")
        self.folder = pickles[0].partition("/")[0]
        self.storages: dict[str, Storage] = {}

    def entries(self) -> Any:
        """What the pickle says."""
        if f"{self.folder}/byteorder" in self.unread:
            _require_byte_order(self._content("byteorder").numpy().tobytes() == b"little")
        entries = read_pickle(io.BytesIO(self._content("data.pkl").numpy().tobytes()), self._storage)
        for name in list(self.unread):
            self._content(name.removeprefix(f"{self.folder}/"))
        return entries

    def _storage(self, elements: torch.dtype, key: str, count: int) -> Storage:
        """See `StorageOf`."""
        if key not in self.storages:
            record = self.unread.get(f"{self.folder}/data/{key}")
            if record is None or record.file_size != count * elements.itemsize:
                raise ValueError(f"it lacks the record {key}, or that has another size than it claims")
            content = self._content(f"data/{key}")
            _require_truth_values(content, elements)
            self.storages[key] = Storage(content.view(elements))
        return _require_same(self.storages[key], elements, count)

    def _content(self, name: str) -> Tensor:
        record = self.unread.pop(f"{self.folder}/{name}")
        content = torch.empty(record.file_size, dtype=torch.uint8)
        with self.archive.open(record) as stream:
            _fill(content, stream)
            stream.read(1)  # there is no more; but the checksum of an empty record is verified here
        return content


class _Sequence:
    """An old file: five pickles, the fourth with the entries and the last with the keys of the storages, which follow.

    It has no checksums. Storages take no more memory than the file has bytes, and every one of them is filled.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file = file
        self.unclaimed = size
        self.storages: dict[str, Storage] = {}

    def entries(self) -> Any:
        """What the fourth pickle says."""
        try:
            beginning = tuple(read_pickle(self.file, self._storage) for _ in OLD_BEGINNING)
        except ForeignError:  # of any file that is no checkpoint
            beginning = ()
        if beginning != OLD_BEGINNING:
            raise ValueError("it does not begin as PyTorch's files do")
        _require_byte_order(read_pickle(self.file, self._storage)["little_endian"])
        entries = read_pickle(self.file, self._storage)
        empty = dict(self.storages)
        for key in read_pickle(self.file, self._storage):
            if type(key) is not str or key not in empty:
                raise ValueError("it has numbers for no storage")
            numbers = empty.pop(key).numbers
            if int.from_bytes(self.file.read(COUNT_BYTES), sys.byteorder) != len(numbers):
                raise ValueError(f"its storage {key} has another size than it claims")
            content = numbers.view(torch.uint8)
            _fill(content, self.file)
            _require_truth_values(content, numbers.dtype)
        if empty:
            raise ValueError(f"it lacks the numbers of {len(empty)} storages")
        return entries

    def _storage(self, elements: torch.dtype, key: str, count: int) -> Storage:
        """See `StorageOf`. Not filled yet."""
        if key not in self.storages:
            if not 0 <= count * elements.itemsize <= self.unclaimed:
                raise ValueError("its storages claim more bytes than the file has")
            self.unclaimed -= count * elements.itemsize
            self.storages[key] = Storage(torch.empty(count, dtype=elements))
        return _require_same(self.storages[key], elements, count)


def _fill(content: Tensor, stream: IO[bytes]) -> None:
    """Reads the next bytes of a stream into a tensor of bytes. ValueError if there are fewer."""
    place, done = content.numpy(), 0
    while done < len(place):
        piece = stream.read(min(PIECE, len(place) - done))
        if not piece:
            raise ValueError("it ends too early")
        place[done : done + len(piece)] = np.frombuffer(piece, dtype=np.uint8)
        done += len(piece)


def _require_same(storage: Storage, elements: torch.dtype, count: int) -> Storage:
    if storage.numbers.dtype != elements or len(storage.numbers) != count:
        raise ValueError("it claims two sizes for one storage")
    return storage


def _require_truth_values(content: Tensor, elements: torch.dtype) -> None:
    """ValueError for truth values that are neither 0 nor 1, with which PyTorch would do anything."""
    if elements == torch.bool and len(content) and int(content.max()) > 1:
        raise ValueError("it has truth values that are neither 0 nor 1")


def _require_byte_order(little: bool) -> None:
    if little is not (sys.byteorder == "little"):
        raise ValueError("it was written on a machine of another byte order")
