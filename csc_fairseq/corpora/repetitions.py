"""Recordings that are in a corpus twice: under one name with two endings, or the same audio under two names.

Such a pair may land in training and validation, and makes target trials of a recording with itself.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TypeVar

from csc_fairseq.data.audio import load_crop
from csc_fairseq.data.packed import slice_of
from csc_fairseq.data.parallel import parallel_map
from csc_fairseq.errors import InputError
from csc_fairseq.text import normal

GLANCE_SECONDS = (
    0.25  # of the beginning, where nothing has to be looked for; it differs in nearly all recordings of equal length
)
BLOCK_SECONDS = 60  # decoded at a time, so that a file of many hours does not fill the memory

Key = TypeVar("Key", bound=Hashable)


def twins_by_name(names: Sequence[str]) -> dict[int, int]:
    """Position of each name that differs from an earlier one in its ending alone (any Unicode form), and that one's position."""
    return _repeated((without_ending(name), i) for i, name in enumerate(names))


def without_ending(name: str) -> str:
    """What names of one recording with several endings and in any Unicode form share. A slice of an archive has no ending."""
    return normal(name if slice_of(name) else str(PurePosixPath(name).with_suffix("")))


def twins_by_audio(
    files: Sequence[Path],
    frames: Sequence[int],
    sample_rate: int,
    resample: bool,
    jobs: int,
    progress: str | None = None,
) -> dict[int, int]:
    """Position of each file whose samples are those of an earlier one, and that one's position.

    frames: lengths at `sample_rate` (Hz). Files of one length are compared by their beginning, and those that agree in
    it by all samples. Faulty files are left out.
    """
    read = partial(_digest, sample_rate=sample_rate, resample=resample)

    def glance(i: int) -> bytes | None:
        return read(files[i], 0, min(frames[i], round(GLANCE_SECONDS * sample_rate)))

    def whole(i: int) -> bytes | None:
        return read(files[i], 0, frames[i])

    suspects = _sharing((frames[i], i) for i in range(len(files)))
    suspects = _sharing(_keyed(suspects, frames, glance, jobs, progress))
    return _repeated(_keyed(suspects, frames, whole, jobs, progress))


def _keyed(
    suspects: Sequence[int],
    frames: Sequence[int],
    digest: Callable[[int], bytes | None],
    jobs: int,
    progress: str | None,
) -> list[tuple[tuple[int, bytes], int]]:
    digests = parallel_map(digest, suspects, jobs, progress)
    return [((frames[i], found), i) for i, found in zip(suspects, digests, strict=True) if found is not None]


def _digest(file: Path, start: int, frames: int, sample_rate: int, resample: bool) -> bytes | None:
    digest = hashlib.blake2b(digest_size=16)
    try:
        for first in range(start, start + frames, BLOCK_SECONDS * sample_rate):
            length = min(BLOCK_SECONDS * sample_rate, start + frames - first)
            digest.update(load_crop(file, first, length, sample_rate, resample).tobytes())
    except InputError:
        return None
    return digest.digest()


def _sharing(keyed: Iterable[tuple[Key, int]]) -> list[int]:
    """Positions whose key another one has too, ascending."""
    groups = defaultdict(list)
    for key, i in keyed:
        groups[key].append(i)
    return sorted(i for group in groups.values() if len(group) > 1 for i in group)


def _repeated(keyed: Iterable[tuple[Key, int]]) -> dict[int, int]:
    """Positions whose key an earlier one has, and the first of these."""
    first: dict[Key, int] = {}
    pairs = ((i, first.setdefault(key, i)) for key, i in keyed)
    return {i: earlier for i, earlier in pairs if i != earlier}
