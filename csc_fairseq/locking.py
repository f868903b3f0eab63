"""One program at a time writes to a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from csc_fairseq.errors import InputError

LOCK = ".lock"


@contextmanager
def alone_in(folder: Path, work: str, remedy: str) -> Iterator[None]:
    """Makes the folder, and keeps all others away that ask for it in the same way. The file LOCK stays there.

    work: what another program there does, remedy: what to do instead of waiting, both for the message. InputError: another program
    is at work, or the folder or the file cannot be made.
    """
    lock = FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"{folder}: {work} is writing there; wait for its end, or {remedy}") from None
    except OSError as error:
        raise InputError(
            f"{error.filename or folder}: cannot be written ({error.strerror or error}); {remedy}"
        ) from error
    try:
        yield
    finally:
        lock.release()
