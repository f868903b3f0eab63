"""Embeddings kept on disk, with a key of all that they depend on, so that an interrupted evaluation goes on."""

import os
import zipfile
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from csc_fairseq.errors import InputError
from csc_fairseq.files import replacing
from csc_fairseq.verification.evaluation.embedding import Embedded


def slug(name: str) -> str:
    """A name for a file or folder, from any name. Different names may give the same."""
    return "".join(letter if letter.isalnum() or letter in "-+." else "_" for letter in name)


class EmbeddingStore:
    """A folder of .npz files, one a condition and side. It is made if it is missing; InputError if it cannot be written."""

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
        """What was kept under `name`; None if that is missing, damaged or of another key."""
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
