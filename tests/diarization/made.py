"""Recordings that need no model: windows and talkers made by hand, and a model that returns them."""

from pathlib import Path

import numpy as np

from csc_fairseq.errors import InputError
from csc_fairseq.inference.talkers import Talkers
from csc_fairseq.inference.windows import Windows

RATE, FRAME = 1000, 20  # Hz and samples: activity frames of 20 ms


def windows(samples: int, queries: np.ndarray, length: int = 3000, hop: int = 1000) -> Windows:
    """Windows of a recording of so many samples whose streams have these queries [W, C, E], made unit vectors."""
    queries = np.asarray(queries, dtype=np.float32)
    count, streams = queries.shape[:2]
    starts = np.minimum(np.arange(count) * hop, max(samples - length, 0)).astype(np.int64)
    frames = -(-min(length, samples) // FRAME)
    return Windows(
        sample_rate=RATE,
        samples=samples,
        length=min(length, samples),
        frame=FRAME,
        starts=starts,
        queries=queries / np.linalg.norm(queries, axis=-1, keepdims=True),
        levels=np.full((count, streams, frames), 0.1, np.float32),
        mixture_levels=np.full((count, frames), 0.1, np.float32),
        estimates=None,
    )


def talkers(active: np.ndarray, centres: np.ndarray, of_stream: np.ndarray) -> Talkers:
    """Talkers who are active [N, F] like this, at one level."""
    active = np.asarray(active, dtype=bool)
    return Talkers(
        centres=np.asarray(centres, dtype=np.float32),
        of_stream=np.asarray(of_stream, dtype=np.int64),
        levels=np.where(active, 0.1, 0.0).astype(np.float32),
        active=active,
    )


def spoken(frames: int, *stretches: tuple[float, float]) -> np.ndarray:
    """bool [frames]: True in these stretches, in seconds."""
    active = np.zeros(frames, bool)
    for start, end in stretches:
        active[round(start * RATE / FRAME) : round(end * RATE / FRAME)] = True
    return active


class MadeConversation:
    """What `EmbeddingModel.conversation` gives, of hand-made parts; talker n says the number n + 1 all the time."""

    def __init__(self, found: Windows, people: Talkers) -> None:
        self.windows, self.talkers = found, people

    def waveform(self, talker: int) -> np.ndarray:
        return np.full(self.windows.samples, 0.1 * (talker + 1), np.float32)


class MadeModel:
    """A model that finds in every recording of 1 kHz what it is told to, and counts how often it is asked.

    active: bool [N, F], who speaks; of the same length for all recordings.
    """

    sample_rate, separates, kind, streams = RATE, True, "made", 2

    def __init__(self, active: np.ndarray) -> None:
        self.active = np.asarray(active, bool)
        self.asked: list[dict[str, object]] = []

    def require_separation(self) -> None:
        if not self.separates:
            raise InputError("this model (made) does not separate talkers")

    def conversation(self, audio: Path, **options: object) -> MadeConversation:
        self.asked.append({"audio": audio, **options})
        count, frames = self.active.shape
        found = windows(frames * FRAME, np.tile(np.eye(2, 4), (max(1, frames // 50 - 2), 1, 1)))
        own = np.tile([0, 1], (len(found.starts), 1))
        return MadeConversation(found, talkers(self.active, np.eye(count, 4), np.where(own < count, own, -1)))
