"""Where anybody speaks in a recording of several people over noise: by energy alone, for encoders that only embed.

All numbers are our choice. What is louder than the room is speech: a machine that starts is taken for a talker.
"""

import numpy as np

from csc_fairseq.data.speech_activity import frame_samples, louder_frames, runs

# The faint frames of `louder_frames` are the room, the loud ones speech.
SHARE = 0.3  # the threshold is this far up from the room to speech, in dB
LEAST_DB = 3.0  # above the room
MARGIN_DB = 6.0  # below speech, at least: where nobody pauses, the faint frames are speech and not the room
RANGE_DB = 35.0  # a frame so far below speech is no speech, however quiet the room
PAUSE_FRAMES, BLIP_FRAMES = 22, 5  # of 20 ms: shorter pauses are filled, then shorter sounds left out


def speech_frames(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Whether anybody speaks in each 20-ms frame of a recording [T]; bool [ceil(T / frame)]. sample_rate: Hz."""
    frame = frame_samples(sample_rate)
    padded = np.pad(samples - np.mean(samples, dtype=np.float64), (0, -len(samples) % frame))
    active = louder_frames(padded.reshape(-1, frame), _threshold)
    for start, end in runs(~active):
        if start > 0 and end < len(active) and end - start <= PAUSE_FRAMES:
            active[start:end] = True
    for start, end in runs(active):
        if end - start < BLIP_FRAMES:
            active[start:end] = False
    return active


def _threshold(room: float, loud: float) -> float:
    """For several people over noise; see the numbers above."""
    return min(max(room + max(LEAST_DB, SHARE * (loud - room)), loud - RANGE_DB), loud - MARGIN_DB)
