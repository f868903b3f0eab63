"""Signals that end a training: it finishes the update, saves, and exits with 128 + the signal's number."""

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
SAME = 1.0
"""Seconds in which another signal is the same wish: a terminal or cluster sends one to all processes, and torchrun passes it on."""

_listening: set["Stop"] = set()  # in this process


class Stop:
    """Whether this process was asked to stop. A second signal ends it at once, and so does the first where nothing can be saved.

    A thread looks after that: the main thread may be waiting for other processes, and would not hear of a signal then.

    received: the signal's number, 0 before. saves: whether updates are being made, so that the first signal waits for a save.
    """

    def __init__(self) -> None:
        self.received = 0
        self.saves = False
        self._listens_in = 0  # a process
        self._since: float | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Takes the signals in this process, and gives them back at the end."""
        if threading.current_thread() is not threading.main_thread():  # Python gives them to the main thread alone
            yield
            return
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        self.listen()
        try:
            yield
        finally:
            self.saves, self._listens_in = False, 0
            _listening.discard(self)
            for number, handler in handlers.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            signal.set_wakeup_fd(-1)
            self._wakeup.close()

    def listen(self) -> None:
        """Takes the signals for good, for a process that fairseq started for one training. Nothing happens where they are taken."""
        if self._listens_in == os.getpid() or threading.current_thread() is not threading.main_thread():
            return
        self.received, self.saves, self._since, self._listens_in = 0, False, None, os.getpid()
        _listening.add(self)
        numbers, self._wakeup = socket.socketpair()
        self._wakeup.setblocking(False)
        threading.Thread(target=self._watch, args=(numbers,), daemon=True).start()
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        """In the main thread, between two of its steps; in data workers, too, which are forks and serve until they are ended."""
        if self.saves:
            self.received = self.received or number
            # A worker that was sent the same signal may have ended: PyTorch must not raise that in the middle of the update.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def _watch(self, numbers: socket.socket) -> None:
        """In the thread: hears of every signal at once."""
        with numbers:
            while received := numbers.recv(1):
                if received[0] in SIGNALS:
                    self._hear(received[0])

    def _hear(self, number: int) -> None:
        name = signal.Signals(number).name
        if self._since is not None:
            if time.monotonic() - self._since < SAME:
                return
            _say(f"{name}: ended at once, what came after the last checkpoint is lost")
        elif self.saves:
            self.received, self._since = number, time.monotonic()
            _say(f"{name}: will save at the end of this update; a second signal ends at once")
            return
        elif any(not child.daemon for child in multiprocessing.active_children()):
            # This process started those of a training on several GPUs, and waits for them.
            self.received, self._since = number, time.monotonic()
            end_children(number)
            return
        else:
            _say(f"{name}: ended; no update was being made, checkpoints are as they were")
        end_children(number)
        os._exit(128 + number)


def _forget_in_fork() -> None:
    """A data worker must not tell of its signals to the thread above, by the socket that it shares."""
    if _listening:
        signal.set_wakeup_fd(-1)


os.register_at_fork(after_in_child=_forget_in_fork)


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
    # In one piece, whatever other threads and processes are printing.
    os.write(2, f"{line}\n".encode())
