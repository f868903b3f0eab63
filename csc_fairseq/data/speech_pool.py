"""Recordings of talkers with what conversations need to know of each: where in it somebody speaks, and how loudly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from csc_fairseq.data.augment import SILENCE_POWER, power
from csc_fairseq.data.manifest import Manifest
from csc_fairseq.data.pool import CACHE_MEGABYTES, RecordingError, RecordingPool
from csc_fairseq.data.speech_activity import active_frames, frame_samples, stretches


@dataclass(frozen=True)
class Speech:
    """The speech of one recording.

    mean: of all its samples. power: mean square of its active frames, of which the mean was taken away. active: bool [F], see
    `active_frames`. stretches: int64 [n, 2], first sample and sample after the last, at bounds of frames.
    """

    mean: float
    power: float
    active: np.ndarray
    stretches: np.ndarray

    @property
    def samples(self) -> int:
        """Samples in the stretches."""
        return int((self.stretches[:, 1] - self.stretches[:, 0]).sum())


class SpeechPool(RecordingPool):
    """A `RecordingPool` of speakers that knows the speech of its recordings. A recording is looked at when it is asked for."""

    def __init__(
        self,
        manifest: Manifest,
        labels: Sequence[str],
        sample_rate: int,
        resample: bool = False,
        cache_megabytes: int = CACHE_MEGABYTES,
    ) -> None:
        super().__init__(manifest, labels, {}, sample_rate, resample, cache_megabytes)
        self._speech: dict[int, Speech] = {}

    @property
    def frame(self) -> int:
        """Samples of a frame of activity."""
        return frame_samples(self.sample_rate)

    def speech(self, recording: int) -> Speech:
        """Where somebody speaks. RecordingError, naming the file: unreadable, or silent throughout."""
        if recording not in self._speech:
            samples = self.crop(recording, 0, int(self.frames[recording]))
            mean = float(np.mean(samples, dtype=np.float64))
            centred = samples - np.float32(mean)
            active = active_frames(centred, self.sample_rate)
            heard = centred[: len(active) * self.frame].reshape(len(active), self.frame)[active]
            loudness = power(heard) if len(heard) else 0.0
            if loudness < SILENCE_POWER:
                path = self.path(recording)
                raise RecordingError(
                    f"{path}: is silent, expected speech; repair it or take it out of {self.place(recording)}", path
                )
            self._speech[recording] = Speech(mean, loudness, active, stretches(active) * self.frame)
        return self._speech[recording]
