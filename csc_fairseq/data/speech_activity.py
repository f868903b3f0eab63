"""Where somebody speaks in a recording of one voice: by energy alone. All numbers are our choices.

A frame counts as speech if it is loud beside the recording's loud frames and above its own noise. So the level of a recording
changes nothing, and music or machines count as speech.
"""

from collections.abc import Callable

import numpy as np

FRAME = 0.02  # seconds
LOUD, FAINT = 95, 5  # percentiles of the frames' levels: speech, and what is heard in the pauses
RANGE_DB = 30.0  # a frame so far below the loud ones is a pause
ABOVE_NOISE_DB = 6.0  # and so is one that is not so far above the faint ones,
LEAST_RANGE_DB = 20.0  # but never one within this of the loud ones: where nobody pauses, the faint ones are speech
CLICK = 0.06  # seconds; shorter sounds are no speech
PAUSE = 0.4  # seconds; a longer pause ends a stretch of speech
SHORTEST = 0.25  # seconds; a shorter stretch holds hardly a syllable
SILENT = 1e-12  # variance of a frame of digital silence, −120 dB re full scale


def active_frames(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Whether each whole 20-ms frame of a recording [T] of zero mean is speech; bool [T // frame].

    sample_rate: Hz. Sounds of less than 0.06 s are left out, pauses are not filled.
    """
    frame = frame_samples(sample_rate)
    count = len(samples) // frame
    if not count:
        return np.zeros(0, dtype=bool)
    active = louder_frames(samples[: count * frame].reshape(count, frame), _threshold)
    for start, end in runs(active):
        if (end - start) * FRAME < CLICK - FRAME / 2:
            active[start:end] = False
    return active


def louder_frames(frames: np.ndarray, threshold: Callable[[float, float], float]) -> np.ndarray:
    """Which of the frames [F, n] of a recording are above a threshold, bool [F]; digitally silent ones never are.

    threshold: (level of the faint frames, of the loud ones) to the threshold, all in dB re full scale. A frame's level is that of
    what moves in it: a constant is no sound.
    """
    levels = frames.var(axis=1, dtype=np.float64)
    decibels = 10 * np.log10(np.maximum(levels, SILENT))
    faint, loud = np.percentile(decibels, [FAINT, LOUD]).tolist()
    return (decibels > threshold(faint, loud)) & (levels > SILENT)


def stretches(active: np.ndarray) -> np.ndarray:
    """Stretches of speech without a pause of more than 0.4 s: (first frame, frame after the last), int64 [n, 2].

    active: bool [F], as of `active_frames`. Stretches of less than 0.25 s are left out.
    """
    found = runs(active)
    pauses = (found[1:, 0] - found[:-1, 1]) * FRAME
    ends = np.flatnonzero(np.append(pauses > PAUSE + FRAME / 2, True))[: len(found)]
    starts = np.append(0, ends[:-1] + 1)[: len(found)]
    joined = np.stack([found[starts, 0], found[ends, 1]], axis=1)
    return joined[(joined[:, 1] - joined[:, 0]) * FRAME >= SHORTEST]


def runs(active: np.ndarray) -> np.ndarray:
    """Where bool [F] is True without a gap: (first, one after the last), int64 [n, 2]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], active.astype(np.int8), [0]])))
    return edges.reshape(-1, 2).astype(np.int64)


def _threshold(faint: float, loud: float) -> float:
    """For one voice; see the numbers above."""
    return max(loud - RANGE_DB, min(faint + ABOVE_NOISE_DB, loud - LEAST_RANGE_DB))


def frame_samples(sample_rate: int) -> int:
    """Samples of a frame."""
    return round(FRAME * sample_rate)
