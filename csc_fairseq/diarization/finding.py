"""Where one voice speaks in a recording (our choice).

In every window the stream that is most like the voice is looked at, of those that hold somebody. Where it is like it enough, the
voice speaks in the frames in which this stream holds somebody; so the activity of the stream narrows the ends of a run of windows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from csc_fairseq.data.speech_activity import runs
from csc_fairseq.inference.stream_activity import active_frames, active_streams
from csc_fairseq.inference.windows import Windows

PAUSE_SECONDS = 1.0  # shorter pauses of the voice are part of a stretch


@dataclass(frozen=True)
class Stretch:
    """The voice is heard from start to end, in seconds. cosine: with the most similar window of it, in [-1, 1]."""

    start: float
    end: float
    cosine: float


def window_stretches(windows: Windows, voice: np.ndarray) -> list[Stretch]:
    """Every window in which anybody is heard, with the cosine of its most similar stream. voice: [E], unit norm."""
    cosines, _ = _best_streams(windows, voice)
    return [
        Stretch(start / windows.sample_rate, (start + windows.length) / windows.sample_rate, float(cosine))
        for start, cosine in zip(windows.starts.tolist(), cosines, strict=True)
        if np.isfinite(cosine)
    ]


def find_voice(windows: Windows, voice: np.ndarray, accepts: Callable[[float], bool]) -> list[Stretch]:
    """Stretches in which the voice speaks, in their order; pauses below a second are part of them.

    Args:
        windows: of the recording.
        voice: [E], unit norm.
        accepts: whether a cosine is that of the voice.
    """
    cosines, streams = _best_streams(windows, voice)
    frames = active_frames(windows)
    best = np.full(windows.frames, -np.inf)  # of the windows in which the voice is heard in this frame
    for number in np.flatnonzero(np.isfinite(cosines)):
        if not accepts(float(cosines[number])):
            continue
        # The last window may begin within a frame.
        first = round(windows.starts[number] / windows.frame)
        own = first + np.flatnonzero(frames[number, streams[number]])
        own = own[own < windows.frames]
        best[own] = np.maximum(best[own], cosines[number])
    found: list[tuple[int, int]] = []
    pause = PAUSE_SECONDS / windows.frame_seconds
    for first, end in runs(np.isfinite(best)):
        if found and first - found[-1][1] < pause:
            found[-1] = (found[-1][0], end)
        else:
            found.append((first, end))
    seconds = windows.samples / windows.sample_rate
    return [
        Stretch(first * windows.frame_seconds, min(end * windows.frame_seconds, seconds), float(best[first:end].max()))
        for first, end in found
    ]


def _best_streams(windows: Windows, voice: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of every window the largest cosine (W,), -inf where nobody is heard, and the stream that has it (W,)."""
    cosines = np.where(active_streams(windows), np.clip(windows.queries @ voice, -1, 1), -np.inf)
    return cosines.max(axis=1), cosines.argmax(axis=1)
