"""Embeddings kept on disk under a key of everything they depend on, so that an interrupted evaluation goes on."""

import hashlib
import json
import os
import zipfile
from collections.abc import Iterable
from dataclasses import asdict, fields
from functools import cache
from pathlib import Path

import numpy as np

import csc_fairseq
from csc_fairseq.errors import InputError
from csc_fairseq.files import replacing
from csc_fairseq.verification.embedding import Embedded


def digest(value: object) -> str:
    """32 hexadecimal digits that stand for a value that JSON can hold."""
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()


def file_digest(path: Path) -> str:
    """The same for the content of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


@cache
def code_digest() -> str:
    """The same for all code of this package, whatever its version says."""
    folder = Path(csc_fairseq.__file__).parent
    return digest([[str(path.relative_to(folder)), file_digest(path)] for path in sorted(folder.rglob("*.py"))])


def stamp_digest(paths: Iterable[Path]) -> str:
    """The same for files by size and time of change, without reading them; a file that is missing counts, too."""
    stamps = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            stamps.append(None)
        else:
            stamps.append([status.st_size, status.st_mtime_ns])
    return digest(stamps)


def slug(name: str) -> str:
    """A file's name for any name; different names may share it."""
    return "".join(letter if letter.isalnum() or letter in "-+." else "_" for letter in name)


class EmbeddingStore:
    """A folder of .npz files, one for each encoder, condition and side. InputError if it cannot be written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{folder}: cannot be made ({error.strerror}); choose another --out, or a short --encoder NAME=…"
            ) from error
        if not os.access(folder, os.W_OK):
            raise InputError(f"{folder}: cannot be written to; choose another --out")

    def load(self, name: str, key: str) -> Embedded | None:
        """What was kept under `name`, if it was for this key and is whole."""
        path = self.folder / f"{name}.npz"
        try:
            with np.load(path) as kept:
                if str(kept["key"]) != key:
                    return None
                return Embedded(**{field.name: kept[field.name] for field in fields(Embedded)})
        except (FileNotFoundError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
            return None

    def save(self, name: str, key: str, embedded: Embedded) -> None:
        """Keeps it; the file appears only when it is complete."""
        # A file and not its path, to which NumPy would add its own ending.
        with replacing(self.folder / f"{name}.npz") as temporary, open(temporary, "wb") as file:
            np.savez(file, key=np.array(key), **asdict(embedded))
