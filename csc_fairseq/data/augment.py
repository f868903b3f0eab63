"""Levels, room responses and noise. Powers are mean squares; full scale is ±1. All numbers are our choices."""

import numpy as np

from csc_fairseq.data.pool import RecordingError, Recordings
from csc_fairseq.data.rng import generator

TARGET_RMS = 0.05  # −26 dB re full scale: a usual level of speech, with headroom for a few talkers
SILENCE_POWER = 1e-10  # −100 dB re full scale, below one step of a 16-bit file


def power(samples: np.ndarray) -> float:
    """Mean square of samples [T], in float64."""
    # Not samples @ samples: the matrix library would use several threads for it, and training needs these.
    return float(np.mean(np.square(samples, dtype=np.float64)))


def centred(samples: np.ndarray) -> np.ndarray:
    """Samples [T] without their mean: an offset of the recorder means nothing, and is no part of a level."""
    return samples - np.float32(np.mean(samples, dtype=np.float64))


def is_faint(samples: np.ndarray) -> bool:
    """Whether samples [T] are silent but for a constant: the mean square of what moves is below SILENCE_POWER."""
    return float(np.var(samples, dtype=np.float64)) < SILENCE_POWER


def gain_to(level_db: float, samples_power: float) -> float:
    """Factor that scales a signal of mean square `samples_power` to `level_db` dB relative to TARGET_RMS."""
    return TARGET_RMS * 10 ** (level_db / 20) / samples_power**0.5


def place(samples: np.ndarray, offset: int, frames: int) -> tuple[np.ndarray, slice]:
    """Put samples [n] at `offset` (may be negative) into `frames` zeros; what does not fit is cut off.

    Returns the view [frames] and the slice of it that the samples fill.
    """
    extent = slice(max(0, offset), min(frames, offset + len(samples)))
    view = np.zeros(frames, dtype=np.float32)
    view[extent] = samples[extent.start - offset : extent.stop - offset]
    return view, extent


class RirBank(Recordings):
    """Room impulse responses."""

    def response(self, index: int) -> np.ndarray:
        """Impulse response [n], float32, as in its file. RecordingError if it is silent."""
        response = self.crop(index, 0, int(self.frames[index]))
        if not response.any():
            path = self.path(index)
            raise RecordingError(f"{path}: the room response has only zeros; take it out of {self.place(index)}", path)
        return response


def reverberate(samples: np.ndarray, response: np.ndarray) -> tuple[np.ndarray, int]:
    """Convolve samples [n] with a room response [m]: (float32 [n + m − 1], delay of the direct path in samples).

    The largest magnitude of the response counts as the direct path. If the result is placed `delay` samples earlier, the
    direct sound is where the dry source was.
    """
    from scipy.signal import fftconvolve  # a second's import, which `csc check` does not need

    return fftconvolve(samples, response).astype(np.float32, copy=False), int(np.abs(response).argmax())


class NoiseBank(Recordings):
    """Noise recordings: ambience, or other talkers for babble."""

    def stretch(self, recording: int, start: int, frames: int) -> np.ndarray:
        """`frames` samples from `start`, float32 [frames]. A recording that is too short is repeated from its start."""
        available = int(self.frames[recording])
        if start + frames <= available:
            return self.crop(recording, start, frames)
        return np.resize(self.crop(recording, 0, available), start + frames)[start:]


def white_noise(seed: int, frames: int) -> np.ndarray:
    """White Gaussian noise of unit power, float32 [frames], from a seed."""
    return generator("white noise", seed).standard_normal(frames, dtype=np.float32)
