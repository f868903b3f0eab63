"""Where anybody speaks in a recording of several people over noise: by energy alone, for encoders that only embed.

All numbers are our choice. What is louder than the room is speech: a machine that starts is taken for a talker.
"""

import numpy as np

from csc_fairseq.data.speech_activity import SILENT, frame_samples, runs

FAINT, LOUD = 5, 95  # percentiles of the frames' levels: the room, and speech
SHARE = 0.3  # the threshold is this far up from the room to speech, in dB
LEAST_DB = 3.0  # above the room
MARGIN_DB = 6.0  # below speech, at least: where nobody pauses, the faint frames are speech and not the room
RANGE_DB = 35.0  # a frame so far below speech is no speech, however quiet the room
PAUSE_FRAMES, BLIP_FRAMES = 15, 5  # of 20 ms: shorter pauses are filled, then shorter sounds left out


def speech_frames(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Whether anybody speaks in each 20-ms frame of a recording [T]; bool [ceil(T / frame)]. sample_rate: Hz."""
    frame = frame_samples(sample_rate)
    padded = np.pad(samples - np.mean(samples, dtype=np.float64), (0, -len(samples) % frame))
    powers = np.square(padded.reshape(-1, frame)).mean(axis=1)
    decibels = 10 * np.log10(np.maximum(powers, SILENT))
    room, loud = np.percentile(decibels, [FAINT, LOUD])
    threshold = min(max(room + max(LEAST_DB, SHARE * (loud - room)), loud - RANGE_DB), loud - MARGIN_DB)
    active = (decibels > threshold) & (powers > SILENT)
    for start, end in runs(~active):
        if start > 0 and end < len(active) and end - start <= PAUSE_FRAMES:
            active[start:end] = True
    for start, end in runs(active):
        if end - start < BLIP_FRAMES:
            active[start:end] = False
    return active
