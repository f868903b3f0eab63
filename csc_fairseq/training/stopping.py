"""Signals that end a training: it finishes the update, saves, and exits with 128 + the signal's number."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
SAME = 1.0
"""Seconds in which another signal is the same wish: a terminal or cluster sends one to all processes, and torchrun passes it on."""


class Stop:
    """Whether this process was asked to stop. A second signal ends it at once, and so does the first where nothing can be saved.

    received: the signal's number, 0 before. saves: whether updates are being made, so that the first signal waits for a save.
    """

    def __init__(self) -> None:
        self.received = 0
        self.saves = False
        self._process = 0
        self._since = 0.0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Takes the signals in this process, and gives them back at the end."""
        before = self.listen()
        try:
            yield
        finally:
            self.saves, self._process = False, 0
            for number, handler in before.items():
                signal.signal(number, handler)

    def listen(self) -> dict[int, Any]:
        """Takes the signals; the handlers that were there. None in a process that has them, and outside of its main thread."""
        if self._process == os.getpid() or threading.current_thread() is not threading.main_thread():
            return {}
        self.received, self.saves, self._process = 0, False, os.getpid()
        return {number: signal.signal(number, self._handle) for number in SIGNALS}

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        # Data workers are forks with this handler. They serve until they are told to end, so that the update can be finished.
        if os.getpid() != self._process:
            return
        name = signal.Signals(number).name
        if self.received and time.monotonic() - self._since < SAME:
            return
        if self.received:
            _say(f"{name}: ended at once, what came after the last checkpoint is lost")
        elif self.saves or any(not child.daemon for child in multiprocessing.active_children()):
            self.received, self._since = number, time.monotonic()
            # A worker that was sent the same signal may have ended: PyTorch must not raise that in the middle of the update.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if self.saves:
                _say(f"{name}: will save at the end of this update; a second signal ends at once")
            else:  # the process that started those of a training on several GPUs, and waits for them
                end_children(number)
            return
        else:
            _say(f"{name}: ended; no update was being made, checkpoints are as they were")
        end_children(number)
        os._exit(128 + number)


def end_children(number: int = signal.SIGTERM) -> None:
    """Ends the data workers, and sends the signal on to the processes of a training on several GPUs."""
    for child in multiprocessing.active_children():
        if child.pid is not None:
            os.kill(child.pid, signal.SIGTERM if child.daemon else number)


def leave(number: int, line: str) -> NoReturn:
    """Says why and exits."""
    end_children()
    _say(line)
    raise SystemExit(128 + number)


def _say(line: str) -> None:
    # Not by print: a signal may come in the middle of one.
    os.write(2, f"{line}\n".encode())
