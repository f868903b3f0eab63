"""Digests: short texts that identify values, files and the code of this package."""

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from csc_fairseq.data.packed import file_of
from csc_fairseq.package import FOLDER


def digest(value: object) -> str:
    """32 hexadecimal digits that identify a value. JSON must be able to hold the value."""
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()


def file_digest(path: Path) -> str:
    """32 hexadecimal digits that identify the content of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


@cache
def code_digest() -> str:
    """32 hexadecimal digits that identify all code of this package. The version number has no influence."""
    return digest([[str(path.relative_to(FOLDER)), file_digest(path)] for path in sorted(FOLDER.rglob("*.py"))])


def stamp_digest(paths: Iterable[Path]) -> str:
    """32 hexadecimal digits that identify files by size and time of change, without reading them. Files may be missing.

    A packed recording has those of its archive.
    """
    stamps: list[list[int] | None] = []
    for path in paths:
        try:
            status = file_of(path).stat()
        except OSError:
            stamps.append(None)
        else:
            stamps.append([status.st_size, status.st_mtime_ns])
    return digest(stamps)
