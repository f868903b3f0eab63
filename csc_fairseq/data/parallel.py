"""Threads over many files. They help because reading headers waits for the disk or the network, not for Python."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

from csc_fairseq.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK = 4096  # items given to the threads at a time: millions of files must not become millions of waiting tasks


def parallel_map(
    function: Callable[[Item], Result], items: Sequence[Item], jobs: int, progress: str | None = None
) -> Iterator[Result]:
    """Results of `function` in the order of `items`, from `jobs` threads.

    progress: title of a progress bar on standard error, shown only on terminals; None: no bar. InputError: jobs < 1.
    """
    if jobs < 1:
        raise InputError(f"found {jobs} jobs, expected at least 1")
    # disable=None hides the bar if standard error is a file or a pipe.
    bar = tqdm(total=len(items), desc=progress, unit="file", leave=False, disable=None if progress else True)
    with bar, ThreadPoolExecutor(jobs) as pool:
        for first in range(0, len(items), CHUNK):
            for result in pool.map(function, items[first : first + CHUNK]):
                bar.update()
                yield result
