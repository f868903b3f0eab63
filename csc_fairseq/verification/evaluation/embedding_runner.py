"""An encoder at work: portions of recordings, in any number of processes. Complete conditions are kept on disk.

Portions do not depend on the number of processes, and every process computes with one thread. So results are the same to
the bit for any number of processes.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import wait

import torch
from tqdm import tqdm

from csc_fairseq.digests import digest
from csc_fairseq.errors import InputError
from csc_fairseq.verification.encoders.encoder import Encoder
from csc_fairseq.verification.encoders.registry import make_encoder
from csc_fairseq.verification.evaluation.embedding import Embedded, Task, embed, portions
from csc_fairseq.verification.evaluation.embedding_store import EmbeddingStore
from csc_fairseq.verification.trials.conditions import Condition
from csc_fairseq.verification.trials.material import Material


@dataclass(frozen=True)
class Workers:
    """`jobs` processes on the CPU, each with an encoder that `make_encoder` makes of `spec`."""

    spec: str
    jobs: int


class EmbeddingRunner:
    """Embeds recordings of the material. It is a context, at whose end its processes end.

    Args:
        encoder: what embeds.
        material: what is rendered, at the encoder's rate.
        workers: other processes that embed; None: this process does.
        store: where embeddings are kept; None: nowhere.
        key: all that embeddings depend on besides the condition and the recordings; kept embeddings of another key are not
            used.
        progress: a bar on standard error, shown on terminals only.
    """

    def __init__(
        self,
        encoder: Encoder,
        material: Material,
        workers: Workers | None = None,
        store: EmbeddingStore | None = None,
        key: object = None,
        progress: bool = False,
    ) -> None:
        self.encoder = encoder
        self.material = material
        self._workers = workers
        self._store = store
        self._key = key
        self._progress = progress
        self._processes: ProcessPoolExecutor | None = None

    def __enter__(self) -> "EmbeddingRunner":
        return self

    def __exit__(self, *_: object) -> None:
        if self._processes is not None:
            self._processes.shutdown(cancel_futures=True)

    def embedded(self, condition: Condition, side: str, recordings: Sequence[int]) -> Embedded:
        """Embeddings of some recordings in their order, from the store if it has them. side: "test" or "enrolment"."""
        name, key = f"{condition.name}.{side}", digest([self._key, asdict(condition), side, list(recordings)])
        found = self._store.load(name, key) if self._store else None
        if found is None:
            tasks = portions(condition, side, recordings)
            title = f"{self.encoder.name}, {condition.name}, {side}"
            hidden = None if self._progress else True  # None: where standard error is no terminal
            finished = list(tqdm(self._run(tasks), title, len(tasks), leave=False, disable=hidden))
            try:
                found = Embedded.join(finished)
            except InputError as error:
                raise InputError(f"encoder {self.encoder.name}: {error}") from error
            if self._store:
                self._store.save(name, key, found)
        return found

    def _run(self, tasks: Sequence[Task]) -> Iterator[Embedded]:
        """Results in the order of the tasks. InputError if a process dies."""
        if self._workers is None:
            with one_thread():
                for task in tasks:
                    yield embed(self.encoder, self.material, task)
            return
        if self._processes is None:  # not before there is work: all embeddings may have been kept
            context, start = multiprocessing.get_context("spawn"), (self._workers.spec, self.material)
            self._processes = ProcessPoolExecutor(self._workers.jobs, context, _start_worker, start)
        try:
            yield from self._processes.map(_work, tasks)
        except BrokenProcessPool as error:  # the system ends processes when memory runs out
            raise InputError(
                f"encoder {self.encoder.name}: one of {self._workers.jobs} processes was ended; memory may be short, use "
                "fewer --jobs"
            ) from error


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch with one thread. The order of its sums, and with it the last bits, depends on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_worker: tuple[str, Material]
_encoder: Encoder | None = None


def _start_worker(spec: str, material: Material) -> None:
    global _worker
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one ends the others
    torch.set_num_threads(1)
    _worker = spec, material


def _end_with_parent() -> None:
    """A parent that is killed tells its workers nothing: they would wait for work, and for memory, for ever."""
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _work(task: Task) -> Embedded:
    global _encoder
    spec, material = _worker
    if _encoder is None:  # not in `_start_worker`, whose errors would not reach the first process
        _encoder = make_encoder(spec, "cpu")
    return embed(_encoder, material, task)
