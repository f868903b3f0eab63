"""Files of checkpoints: written completely or not at all, found readable or not, written by one training at a time."""

import errno
import fcntl
import os
import re
import shutil
import socket
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from csc_fairseq.errors import InputError

LAST = "checkpoint_last.pt"
OF_AN_UPDATE = re.compile(r"checkpoint(\d+|_\d+_\d+)\.pt")  # fairseq's names for those of an epoch or an update
ANY = re.compile(r"checkpoint(\d+|_\d+_\d+|_best|\.best_.*)\.pt")
LOCK = ".lock"
ROOM = "make room or give it write permission, then type the command again: it goes on from the last checkpoint"


def save_whole(content: object, path: str | Path) -> None:
    """Saves by `torch.save` to a temporary file, which then replaces `path`. InputError if the folder is full or not writable.

    On an error, what was there remains. A kill leaves PATH.tmp, which the next save overwrites.
    """

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            try:
                torch.save(content, file)
            except RuntimeError as error:  # PyTorch's own, in place of the system's
                raise _system_error(error) or error from None
            file.flush()
            os.fsync(file.fileno())

    _replacing(Path(path), write)


def copy_whole(source: str | Path, path: str | Path) -> None:
    """Gives a file a second name, or copies it where the file system has no hard links. InputError as of `save_whole`.

    No file is ever changed, only replaced, so both names keep their content.
    """

    def write(temporary: Path) -> None:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)

    _replacing(Path(path), write)


def _replacing(path: Path, write: Callable[[Path], None]) -> None:
    # One name and not one a process: what a kill leaves does not pile up. There is one writer, see `FolderLock`.
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        temporary.unlink(missing_ok=True)  # may be a second name of another checkpoint
        write(temporary)
        os.replace(temporary, path)
    except OSError as error:
        try:
            temporary.unlink(missing_ok=True)
        except OSError:
            pass  # in a folder that may not be written to
        raise InputError(f"{path}: cannot be written ({error.strerror or error}), and is as it was; {ROOM}") from error


def _system_error(error: BaseException | None) -> OSError | None:
    """The OSError behind another one."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


def fault(path: Path) -> str | None:
    """What is wrong with a checkpoint, None if it is readable. Every byte is read, and its checksum verified."""
    try:
        if not zipfile.is_zipfile(path):
            torch.load(path, map_location="cpu", weights_only=True)  # PyTorch's format before 1.6
            return None
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
            return None if broken is None else f"wrong checksum of {broken}"
    except Exception as error:  # a damaged file fails with any exception
        if path.is_file() and path.stat().st_size == 0:
            return "it is empty"
        # To seek before the beginning, as the end of a cut archive asks for, is an invalid argument.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            return error.strerror
        return "it is cut short or no checkpoint"


@dataclass(frozen=True)
class SavedTraining:
    """What a checkpoint tells about its training.

    path: the file. updates: made so far. epoch: that it goes on with, counted from 1. batches: of that epoch, seen by each rank.
    options: by section, "dataset" or "model"; none in checkpoints of older versions of fairseq. shapes: of the model's weights.
    has_average: whether there is a moving average of the weights beside them.
    """

    path: Path
    updates: int
    epoch: int
    batches: int
    options: Mapping[str, Mapping[str, Any]]
    shapes: Mapping[str, tuple[int, ...]]
    has_average: bool


def saved_training(path: Path) -> SavedTraining | None:
    """What a readable checkpoint tells, without reading its weights; None if it is not of a training."""
    try:
        entries = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        iterator = entries["extra_state"]["train_iterator"]
        return SavedTraining(
            path,
            int(entries["optimizer_history"][-1]["num_updates"]),
            int(iterator["epoch"]),
            int(iterator.get("iterations_in_epoch", 0)),
            {name: section for name, section in (entries.get("cfg") or {}).items() if isinstance(section, Mapping)},
            {name: tuple(weight.shape) for name, weight in entries["model"].items()},
            "ema" in entries["extra_state"],
        )
    except Exception:  # of any kind, for files of any kind
        return None


def newest_readable(folder: Path, names: re.Pattern[str]) -> SavedTraining | None:
    """The readable checkpoint of a training with the most updates, among files of such names; None if there is none."""
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if names.fullmatch(path.name) and fault(path) is None:
            saved = saved_training(path)
            found += [] if saved is None else [saved]
    return max(found, key=lambda saved: saved.updates, default=None)


class FolderLock:
    """Keeps a second training out of a folder of checkpoints, as long as the process lives or until `release`.

    A lock of the process, which its data workers do not inherit: after a kill, the folder is free at once.
    """

    def __init__(self, folder: Path) -> None:
        """InputError if another training writes there. Where the file system has no locks, nothing is checked."""
        self._file: IO[str] | None = open(folder / LOCK, "a+", encoding="utf-8")
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            self._file.seek(0)
            holder = self._file.read().strip()
            self.release()
            raise InputError(
                f"{folder}: another training writes there ({holder}); wait until it ends, or choose another folder with "
                "hydra.run.dir (several processes of one training: start them by torchrun)"
            ) from error
        except OSError:
            self.release()
            return
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}")
        self._file.flush()

    def release(self) -> None:
        """Lets others in. To call it again does nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None
