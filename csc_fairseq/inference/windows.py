"""A recording of any length in overlapping windows: the streams of each, in bounded memory (all our choice).

A model decides for every input again which talker goes to which stream, and has no more streams than it was trained with. So
a long recording is cut into windows in which few people talk, and `talkers.py` says afterwards who is who.

    seconds     0    1    2    3    4    5    6.4
    window 0    [==============]
    window 1         [==============]
    window 2              [==============]
    window 3                   [==============]
    window 4                     [==============]        the last one ends with the recording
    whose       0 0 0 0 1 1 1 2 2 2 3 3 4 4 4 4 4        each moment belongs to the window whose centre is nearest
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from csc_fairseq.data.speech_activity import FRAME, frame_samples
from csc_fairseq.errors import InputError
from csc_fairseq.inference.separated_voices import SeparatedVoices

BAR_FROM = 60  # seconds of a recording that takes long enough for a progress bar

Analyse: TypeAlias = Callable[[Sequence[Tensor]], Iterator[tuple[int, SeparatedVoices]]]
"""Waveforms [T_i] to their voices, as (position, voices) in any order; see `EmbeddingModel.analyse`."""


@dataclass(frozen=True)
class Windows:
    """One recording in W windows of C streams, A frames of 20 ms each; numpy arrays.

    sample_rate: Hz. samples: T, at this rate. length: samples of a window; T where the recording is shorter than one. frame:
    samples of a frame; the last of a window may be shorter.
    starts: int64 (W,), first samples, rising; the last window ends with the recording.
    queries: float32 (W, C, E), the embedding of every stream, unit norm.
    levels: float32 (W, C, A), RMS of every stream in every frame, full scale 1.
    mixture_levels: float32 (W, A), that of the recording itself.
    estimates: float32 (W, C, length), the separated waveforms; None where they were not asked for. A model that does not
        separate has one stream, the recording itself.
    """

    sample_rate: int
    samples: int
    length: int
    frame: int
    starts: np.ndarray
    queries: np.ndarray
    levels: np.ndarray
    mixture_levels: np.ndarray
    estimates: np.ndarray | None = None

    @property
    def frames(self) -> int:
        """F, frames of the whole recording."""
        return -(-self.samples // self.frame)

    @property
    def frame_seconds(self) -> float:
        """Seconds of a frame."""
        return self.frame / self.sample_rate

    def nearest(self) -> tuple[np.ndarray, np.ndarray]:
        """For every frame of the recording, the window that it belongs to and its frame there: int64 (F,) each."""
        middles = np.minimum(np.arange(self.frames) * self.frame + self.frame // 2, self.samples - 1)
        window = np.searchsorted(nearest_from(self.starts, self.length, self.samples)[1:-1], middles, side="right")
        return window, (middles - self.starts[window]) // self.frame


def nearest_from(starts: np.ndarray, length: int, samples: int) -> np.ndarray:
    """int64 (W + 1,): window w is the nearest from sample nearest_from[w] up to nearest_from[w + 1]."""
    centres = starts + length // 2
    return np.concatenate([[0], (centres[:-1] + centres[1:]) // 2, [samples]])


@dataclass(frozen=True)
class WindowGrid:
    """Where the windows of a recording lie: sample_rate in Hz, the others in samples; windows and steps are whole frames."""

    sample_rate: int
    samples: int
    length: int
    hop: int

    @classmethod
    def of(cls, samples: int, sample_rate: int, length: float, hop: float, *, least: int, most: int) -> "WindowGrid":
        """From seconds. least, most: samples that a window may have. InputError for what is out of range."""
        frame = frame_samples(sample_rate)
        shortest, longest = max(least / sample_rate, FRAME), most / sample_rate
        if not shortest <= length <= longest:
            raise InputError(f"windows of {length:g} s: expected {shortest:g} to {longest:g} s")
        if not FRAME <= hop <= length:
            raise InputError(f"windows every {hop:g} s: expected {FRAME:g} to {length:g} s, their length")
        frames = max(int(length * sample_rate + 0.5) // frame, -(-least // frame))
        step = max(1, min(round(hop * sample_rate / frame), frames))
        return cls(sample_rate, samples, min(frames * frame, samples), step * frame)

    @property
    def frame(self) -> int:
        """Samples of a frame."""
        return frame_samples(self.sample_rate)

    @property
    def starts(self) -> np.ndarray:
        """First sample of every window, int64 (W,). The last window ends with the recording, so it may share more than others."""
        last = self.samples - self.length
        return np.array([*range(0, last, self.hop), last], dtype=np.int64)


def frame_levels(waveforms: Tensor, frame: int) -> Tensor:
    """RMS of every frame: (..., T) to (..., A), A = ceil(T / frame), of the samples that the last frame has."""
    samples = waveforms.shape[-1]
    frames = -(-samples // frame)
    squares = torch.nn.functional.pad(waveforms.float().square(), (0, frames * frame - samples))
    counts = (samples - frame * torch.arange(frames, device=waveforms.device)).clamp(max=frame)
    return (squares.unflatten(-1, (frames, frame)).sum(-1) / counts).sqrt()


def window_batches(analyse: Analyse, waveform: Tensor, grid: WindowGrid, at_once: int) -> Iterator[Windows]:
    """The windows of one recording, in batches, with estimates: whoever needs less of them throws that away at once.

    Args:
        analyse: the model.
        waveform: [T]. grid: of its windows.
        at_once: windows in a batch; memory grows with it.
    """
    starts, length = grid.starts, grid.length
    quiet = None if grid.samples >= BAR_FROM * grid.sample_rate else True
    with tqdm(total=len(starts), desc="windows", unit="window", leave=False, disable=quiet) as bar:
        for first in range(0, len(starts), at_once):
            batch = starts[first : first + at_once]
            cut = [waveform[start : start + length] for start in batch]
            voices = [found for _, found in sorted(analyse(cut), key=lambda one: one[0])]
            # What a model without separation hears in its only stream is the recording itself.
            estimates = torch.stack(
                [
                    part.unsqueeze(0) if one.estimates is None else one.estimates
                    for part, one in zip(cut, voices, strict=True)
                ]
            )
            yield Windows(
                sample_rate=grid.sample_rate,
                samples=grid.samples,
                length=length,
                frame=grid.frame,
                starts=batch,
                queries=torch.stack([one.queries for one in voices]).float().cpu().numpy(),
                levels=frame_levels(estimates, grid.frame).cpu().numpy(),
                mixture_levels=frame_levels(torch.stack(cut), grid.frame).cpu().numpy(),
                estimates=estimates.float().cpu().numpy(),
            )
            bar.update(len(batch))


def joined(batches: Iterable[Windows], grid: WindowGrid, waveforms: bool = False) -> Windows:
    """All windows of one recording; waveforms: with their estimates.

    What is kept lies in arrays made at the beginning: kept among the large arrays of every batch, it would hinder their memory
    from being used again.
    """
    arrays: dict[str, np.ndarray] = {}
    done = 0
    for batch in batches:
        for name in ("starts", "queries", "levels", "mixture_levels", *(["estimates"] if waveforms else [])):
            part = getattr(batch, name)
            if name not in arrays:
                arrays[name] = np.empty((len(grid.starts), *part.shape[1:]), part.dtype)
            arrays[name][done : done + len(part)] = part
        done += len(batch.starts)
    return Windows(sample_rate=grid.sample_rate, samples=grid.samples, length=grid.length, frame=grid.frame, **arrays)
