"""When the streams of a recording's windows hold somebody (all our choice).

A frame of a stream holds somebody where it is above the room, or the loudest one of a moment that is, and not far below another
stream. Windows overlap: a talker speaks at a moment if those windows say so that have it near their centres.
"""

import numpy as np
from scipy.ndimage import binary_closing, binary_opening

from csc_fairseq.inference.windows import Windows

# The numbers below were chosen on simulated conversations of development speakers, in rooms and noise.
SILENT = 10 ** (-90 / 20)  # RMS: below the step of 16 bits there is no voice
LOUD_PERCENTILE = 95.0  # of the levels of a window's frames; the loudest window counts, however seldom anybody speaks
ROOM_PERCENTILE = 10.0  # of the levels of all frames: what is heard while nobody speaks
# dB from the room to the loud frames: with less, there is no room to be heard, and all is one voice or one noise.
LEAST_RANGE_DB = 6.0
ABOVE_ROOM = 0.25  # share of this range that a frame is above the room if somebody speaks in it
CLEARLY = 0.37  # the same for frames that tell who it is: fainter ones are mostly room
BELOW_LOUD_DB = 35.0  # a frame this far below the loud ones is silent, however quiet the room
BELOW_OTHER_DB = 9.0  # a stream this far below another one at the same time holds what is left over of it
LEAST_SECONDS = 0.3  # of sound in a window; a stream with less holds nobody
PAUSE_SECONDS = 0.45  # shorter pauses are filled
BLIP_SECONDS = 0.1  # shorter sounds are left out
ROUNDING = 1e-4  # of votes


def active_frames(windows: Windows, above_room: float = ABOVE_ROOM) -> np.ndarray:
    """Frames in which a stream holds somebody, bool (W, C, A). above_room: ABOVE_ROOM or CLEARLY."""
    levels, floor = windows.levels, _floor(windows, above_room)
    loudest = levels.max(axis=1, keepdims=True)
    heard = (levels > floor) | ((levels == loudest) & (windows.mixture_levels > floor)[:, None] & (levels > SILENT))
    return heard & (levels >= loudest * 10 ** (-BELOW_OTHER_DB / 20))


def _floor(windows: Windows, above_room: float) -> float:
    """RMS above which a frame holds a voice. What has one level throughout, an unbroken voice or a hum, counts as a voice."""
    decibels = 20 * np.log10(np.maximum(windows.mixture_levels, SILENT))
    loud = float(np.percentile(decibels, LOUD_PERCENTILE, axis=1).max())
    room = float(np.percentile(decibels, ROOM_PERCENTILE))
    above = room + above_room * (loud - room) if loud - room >= LEAST_RANGE_DB else -np.inf
    return max(10 ** (max(above, loud - BELOW_LOUD_DB) / 20), SILENT)


def active_seconds(windows: Windows, frames: np.ndarray) -> np.ndarray:
    """How long every stream holds somebody, seconds (W, C); 0 where that is too short to be anybody. frames: bool (W, C, A)."""
    seconds = frames.sum(axis=2) * windows.frame_seconds
    return np.where(seconds >= at_most_half(LEAST_SECONDS, windows), seconds, 0.0)


def active_streams(windows: Windows) -> np.ndarray:
    """Streams that hold somebody, bool (W, C)."""
    return active_seconds(windows, active_frames(windows)) > 0


def at_most_half(seconds: float, windows: Windows) -> float:
    """A time that is asked of a window, or half of one that is shorter than twice this time."""
    return min(seconds, windows.length / windows.sample_rate / 2)


def voted(windows: Windows, frames: np.ndarray, of_stream: np.ndarray, talkers: int) -> np.ndarray:
    """When each talker speaks, bool (N, F): in at least half of the windows that hold the moment, the nearer to their centres the
    more each of them counts. Then short pauses are filled and short sounds left out.

    frames: bool (W, C, A), of `active_frames`. of_stream: int64 (W, C), the talker of every stream, −1 = nobody.
    """
    size = frames.shape[2]
    weights = np.hanning(size + 2)[1:-1].astype(np.float32)
    votes = np.zeros((talkers, windows.frames + size), dtype=np.float32)
    all_votes = np.zeros(windows.frames + size, dtype=np.float32)
    for number, start in enumerate((windows.starts // windows.frame).tolist()):
        own = slice(start, start + size)
        all_votes[own] += weights
        for stream in np.flatnonzero(of_stream[number] >= 0):
            votes[of_stream[number, stream], own] += weights * frames[number, stream]
    speaks = votes[:, : windows.frames] > all_votes[: windows.frames] * (0.5 - ROUNDING)
    return np.array([_smooth(one, windows.frame_seconds) for one in speaks], dtype=bool).reshape(speaks.shape)


def _smooth(active: np.ndarray, frame_seconds: float) -> np.ndarray:
    """(F,) without short pauses, then without short sounds."""
    pause, blip = (max(1, round(seconds / frame_seconds)) for seconds in (PAUSE_SECONDS, BLIP_SECONDS))
    padded = np.pad(active, pause + blip)
    filled = binary_closing(padded, np.ones(pause, dtype=bool))
    return binary_opening(filled, np.ones(blip, dtype=bool))[pause + blip : -(pause + blip)]
