"""Writes files completely or not at all."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to. At the end, the new file replaces `path`. Missing folders are made.

    A program that reads `path` meanwhile sees the old or the new file, never a part. If writing fails, the old file remains.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_together(followers: Sequence[Path], leaders: Sequence[Path] = ()) -> Iterator[dict[Path, Path]]:
    """Temporary paths, by path, for files that belong together. At the end the new files replace all; if writing fails, none.

    leaders: files by which the others are found, such as manifests, whose followers are labels. A leader is never beside
    followers of another time: old leaders are taken away first and new ones come last, even if the program is killed.
    """
    temporaries = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in (*followers, *leaders)}
    for path in temporaries:
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporaries
        for path in leaders:
            path.unlink(missing_ok=True)
        for path, temporary in temporaries.items():
            os.replace(temporary, path)
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)
