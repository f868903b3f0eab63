"""Embeddings kept on disk, with a key of all that they depend on, so that an interrupted evaluation goes on."""

import hashlib
import io
import os
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from csc_fairseq.errors import InputError
from csc_fairseq.files import replacing
from csc_fairseq.verification.evaluation.embedding import Embedded

DIGEST = 16  # bytes


def slug(name: str) -> str:
    """A name for a file or folder, from any name. Different names may give the same."""
    return "".join(letter if letter.isalnum() or letter in "-+." else "_" for letter in name)


class EmbeddingStore:
    """A folder of files, one a condition and side: a digest, then NumPy's .npz of all the rest.

    It is made if it is missing; InputError if it cannot be written.
    """

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
        """What was kept under `name`; None if that is missing, damaged in any way, or of another key."""
        try:
            content = self._path(name).read_bytes()
        except FileNotFoundError:
            return None
        # The digest first: what NumPy raises for damaged files is not documented, and some damage it does not notice.
        if content[:DIGEST] != _digest(content[DIGEST:]):
            return None
        with np.load(io.BytesIO(content[DIGEST:])) as kept:
            if str(kept["key"]) != key:
                return None
            return Embedded(**{field.name: kept[field.name] for field in fields(Embedded)})

    def save(self, name: str, key: str, embedded: Embedded) -> None:
        """Keeps it; the file appears only when it is complete."""
        content = io.BytesIO()
        np.savez(content, key=np.array(key), **asdict(embedded))
        with replacing(self._path(name)) as temporary:
            temporary.write_bytes(_digest(content.getvalue()) + content.getvalue())

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.embedded"


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=DIGEST).digest()
