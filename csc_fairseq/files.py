"""Writes files completely or not at all."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from csc_fairseq.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to. At the end, the new file replaces `path`. Missing folders are made.

    A program that reads `path` meanwhile sees the old or the new file, never a part. If writing fails, the old file remains, and an
    OSError of it or its folder, of a full disk for instance, becomes an InputError that names `path`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise _complaint(error, {path: temporary}) from error
    finally:
        _remove(temporary)


@contextmanager
def replacing_together(followers: Sequence[Path], leaders: Sequence[Path] = ()) -> Iterator[dict[Path, Path]]:
    """Temporary paths, by path, for files that belong together. At the end the new files replace all; if writing fails, none.

    leaders: files by which the others are found, such as manifests, whose followers are labels. A leader is never beside
    followers of another time: old leaders are taken away first and new ones come last, even if the program is killed. Errors as of
    `replacing`.
    """
    temporaries = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in (*followers, *leaders)}
    try:
        for path in temporaries:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield temporaries
        for path in leaders:
            path.unlink(missing_ok=True)
        for path, temporary in temporaries.items():
            os.replace(temporary, path)
    except OSError as error:
        raise _complaint(error, temporaries) from error
    finally:
        for temporary in temporaries.values():
            _remove(temporary)


def _remove(temporary: Path) -> None:
    try:
        temporary.unlink(missing_ok=True)
    except OSError:  # its folder is none: that was told
        pass


def _complaint(error: OSError, temporaries: dict[Path, Path]) -> Exception:
    """The error in words that name the file, or the first of several; as it is if it is of some other file, which was read."""
    told = None if error.filename is None else Path(os.fsdecode(error.filename))
    for path, temporary in temporaries.items():
        if told is None or told == temporary or told in path.parents or told == path:
            return InputError(
                f"{path}: cannot be written ({error.strerror or error}); make room, or choose another place"
            )
    return error
