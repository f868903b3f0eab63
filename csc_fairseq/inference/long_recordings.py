"""Long recordings: the streams of their windows, put together talker by talker (all our choice).

window 0     [==========|====\\\\]              the centre of a window is used, cross-faded with that of the next one
window 1           [////=====|=====\\\\]
talker 1     stream 1 of window 0, stream 2 of window 1, …: whose embedding is theirs; silence where none is
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from csc_fairseq.inference.separated_voices import SeparatedVoices
from csc_fairseq.inference.talkers import Talkers, find_talkers, require_counts, somebody
from csc_fairseq.inference.windows import WindowGrid, Windows, joined, nearest_from

FADE = 0.2  # seconds
QUIETEST = 1e-20  # peak of a part: silence is not divided by zero


class Centres:
    """The central parts of all windows' streams: what talkers are put together from.

    Held in half precision, each part at its own level: an hour of two streams at 16 kHz takes 0.28 GB.

    Args:
        grid: of the windows.
    """

    def __init__(self, grid: WindowGrid) -> None:
        self._grid = grid
        starts, half = grid.starts, grid.length // 2
        self._seams = nearest_from(starts, grid.length, grid.samples)
        gaps = np.diff(starts)
        # No window is used beyond its ends, nor beyond the next one's centre.
        reach = np.minimum(np.minimum(gaps // 2, half - -(-gaps // 2)), round(FADE / 2 * grid.sample_rate))
        self._reach = np.concatenate([[0], np.maximum(reach, 0), [0]])
        sizes = np.diff(self._seams) + self._reach[:-1] + self._reach[1:]
        self._places = np.concatenate([[0], np.cumsum(sizes)])
        # One array for all, see `joined`.
        self._parts = np.empty((0, self._places[-1]), dtype=np.float16)
        self._peaks = np.empty((0, len(starts)), dtype=np.float32)
        self._added = 0

    def add(self, batch: Windows) -> None:
        """The next windows, with their estimates."""
        if not self._added:
            self._parts, self._peaks = (
                np.empty((batch.estimates.shape[1], array.shape[1]), array.dtype)
                for array in (self._parts, self._peaks)
            )
        for start, estimates in zip(batch.starts, batch.estimates, strict=True):
            first, last = self._range(self._added)
            part = estimates[:, first - start : last - start]
            peaks = np.maximum(np.abs(part).max(axis=1), QUIETEST)
            self._parts[:, self._place(self._added)] = part / peaks[:, None]
            self._peaks[:, self._added] = peaks
            self._added += 1

    def waveform(self, streams: np.ndarray) -> np.ndarray:
        """One stream of each window put together, float32 (T,). streams: int (W,), -1 = none: silence."""
        whole = np.zeros(self._grid.samples, dtype=np.float32)
        for number in np.flatnonzero(streams >= 0).tolist():
            stream = streams[number]
            first, last = self._range(number)
            faded = self._parts[stream, self._place(number)].astype(np.float32) * self._peaks[stream, number]
            rising, falling = (_rise(2 * int(self._reach[side])) for side in (number, number + 1))
            faded[: len(rising)] *= rising
            faded[len(faded) - len(falling) :] *= falling[::-1]
            whole[first:last] += faded
        return whole

    def _place(self, number: int) -> slice:
        """Where a window's part is held."""
        return slice(self._places[number], self._places[number + 1])

    def _range(self, number: int) -> tuple[int, int]:
        """First sample of a window's part, and the one after its last."""
        return self._seams[number] - self._reach[number], self._seams[number + 1] + self._reach[number + 1]


def _rise(samples: int) -> np.ndarray:
    """Weights (samples,) that rise; with the same ones reversed they give 1."""
    return ((np.arange(samples) + 0.5) / max(1, samples)).astype(np.float32)


@dataclass(frozen=True)
class Conversation:
    """One recording of any length, who talks in it, and what each says.

    windows: without estimates. talkers: who they are. centres: None where no waveforms were asked for.
    """

    windows: Windows
    talkers: Talkers
    centres: Centres | None

    def waveform(self, talker: int) -> np.ndarray:
        """What a talker says, float32 (T,), at its level in the recording; silence where no stream of a window is theirs.

        ValueError if no waveforms were asked for.
        """
        if self.centres is None:
            raise ValueError("this conversation was analysed without waveforms")
        own = self.talkers.of_stream == talker
        return self.centres.waveform(np.where(own.any(axis=1), own.argmax(axis=1), -1))

    def with_somebody(self) -> "Conversation":
        """Itself, or, where nobody speaks, with one talker whose stream is the loudest one of every window."""
        return self if len(self.talkers.centres) else replace(self, talkers=somebody(self.windows))

    def voices(self) -> SeparatedVoices:
        """One row a talker, one at least."""
        found = self.with_somebody()
        numbers = range(len(found.talkers.centres))
        return SeparatedVoices(
            estimates=None
            if self.centres is None
            else torch.from_numpy(np.stack([found.waveform(n) for n in numbers])),
            queries=torch.from_numpy(found.talkers.centres),
            energies=torch.from_numpy(np.square(found.talkers.levels, dtype=np.float64).sum(axis=1)),
        )


def conversation(
    batches: Iterable[Windows],
    grid: WindowGrid,
    *,
    talkers: int | None = None,
    most: int | None = None,
    waveforms: bool = False,
) -> Conversation:
    """Analyses one recording; every window is heard once.

    Args:
        batches: of `window_batches`. grid: of the windows. talkers, most: see `find_talkers`.
        waveforms: whether they will be asked for.

    Raises:
        InputError: as of `find_talkers`, before anything is heard.
    """
    require_counts(talkers, most)
    centres = Centres(grid) if waveforms else None

    def thinned() -> Iterator[Windows]:
        for batch in batches:
            if centres is not None:
                centres.add(batch)
            yield replace(batch, estimates=None)

    windows = joined(thinned(), grid)
    return Conversation(windows, find_talkers(windows, talkers=talkers, most=most), centres)
