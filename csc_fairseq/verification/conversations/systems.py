"""What is compared on conversations: systems that hear one and say who speaks when.

A model that separates does so by itself (`inference/talkers.py`). An encoder that only embeds is given an energy-based speech
detector, windows, and agglomerative clustering of their embeddings (`WindowedEncoder`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from csc_fairseq.data.audio import is_silent
from csc_fairseq.data.rttm import Turn
from csc_fairseq.data.speech_activity import frame_samples, runs
from csc_fairseq.diarization.turns import name_of, turns_of
from csc_fairseq.errors import InputError
from csc_fairseq.inference.embedding_model import EmbeddingModel
from csc_fairseq.inference.loading import model_of
from csc_fairseq.inference.long_recordings import Conversation
from csc_fairseq.inference.stream_activity import active_streams
from csc_fairseq.inference.talkers import SHORTEST_SECONDS, find_talkers
from csc_fairseq.modules.denormals import flush_denormals
from csc_fairseq.verification.conversations.speech_detector import speech_frames
from csc_fairseq.verification.encoders.encoder import Encoder
from csc_fairseq.verification.encoders.registry import read_source
from csc_fairseq.verification.encoders.spec import EMBEDDINGS, parse_sum

WINDOW, HOP = 2.0, 0.5  # seconds, of encoders that only embed (our choice)
LEAST_SPEECH = 0.5  # seconds of speech in a window that is embedded; where none has as much, those with most are
BATCH = 64  # windows that are embedded at once


@dataclass(frozen=True)
class Diarized:
    """Who speaks when, by one system.

    turns: of talker_1, talker_2, …. centres: float32 [N, E], unit norm, of these talkers. streams: float32 [N, T], what each says:
    separated, or cut out of the recording.
    """

    turns: list[Turn]
    centres: np.ndarray
    streams: np.ndarray


class Heard(Protocol):
    """A conversation that a system has heard once. windows: float32 [M, E], unit norm, embeddings of what windows hold."""

    @property
    def windows(self) -> np.ndarray: ...

    def diarized(self, talkers: int | None, distance: float | None) -> Diarized:
        """Who speaks when. talkers: how many there are; None: as many as are found.

        distance: cosine distance at which clustering stops, for systems that have no own one (`needs_distance`).
        """
        ...


class System(Protocol):
    """name: as in results. sample_rate: Hz. needs_distance: whether the number of talkers is found by a distance that is fitted
    to other conversations.
    """

    name: str
    sample_rate: int
    needs_distance: bool

    def hear(self, samples: np.ndarray) -> Heard:
        """Analyses samples [T]."""
        ...

    def enrol(self, recordings: Sequence[np.ndarray]) -> np.ndarray:
        """One voice from several recordings of it, float32 [E], unit norm: the mean of their embeddings."""
        ...


def make_system(text: str, device: str) -> System:
    """The system that a text names, as `--encoder` does.

    InputError: what names nothing, a faulty checkpoint, and what cannot hear conversations: sums, embeddings from a file,
    separate=.
    """
    if parse_sum(text) is not None or text.endswith(EMBEDDINGS):
        raise InputError(f"encoder {text}: cannot hear conversations; name one encoder that embeds recordings")
    source = read_source(text)
    if source.separator is not None:
        raise InputError(f"encoder {text}: separate= is not for conversations; name the model that separates by itself")
    if source.checkpoint is not None and not source.spec.options:
        flush_denormals()
        model = model_of(source.checkpoint)
        if model.separates:
            return SeparatingModel(source.spec.name, model.to(device))
    return WindowedEncoder(source.encoder(device))


class SeparatingModel:
    """A model that separates: windows, talkers and waveforms of its own."""

    needs_distance = False

    def __init__(self, name: str, model: EmbeddingModel) -> None:
        model.require_separation()
        self.name = name
        self.sample_rate = model.sample_rate
        self._model = model

    def hear(self, samples: np.ndarray) -> "_HeardStreams":
        """See `System`."""
        return _HeardStreams(self._model.conversation(samples, waveforms=True))

    def enrol(self, recordings: Sequence[np.ndarray]) -> np.ndarray:
        """See `System`."""
        return _mean(np.stack([self._model.embed(recording) for recording in recordings]))


@dataclass(frozen=True)
class _HeardStreams:
    found: Conversation

    @property
    def windows(self) -> np.ndarray:
        held = active_streams(self.found.windows)
        return self.found.windows.queries[held | ~held.any()]

    def diarized(self, talkers: int | None, distance: float | None) -> Diarized:
        found = self.found
        if talkers is not None:
            found = replace(found, talkers=find_talkers(found.windows, talkers=talkers))
        count = len(found.talkers.centres)
        streams = [found.waveform(talker) for talker in range(count)]
        return Diarized(
            turns_of(found.talkers, found.windows),
            found.talkers.centres,
            np.stack(streams) if streams else np.zeros((0, found.windows.samples), dtype=np.float32),
        )


class WindowedEncoder:
    """An encoder that embeds whatever it is given, on windows of 2 s every half second in which somebody speaks."""

    needs_distance = True

    def __init__(self, encoder: Encoder) -> None:
        self.name = encoder.name
        self.sample_rate = encoder.sample_rate
        self._encoder = encoder

    def hear(self, samples: np.ndarray) -> "_HeardWindows":
        """See `System`."""
        frame = frame_samples(self.sample_rate)
        active = speech_frames(samples, self.sample_rate)
        length = min(len(samples), round(WINDOW * self.sample_rate))
        last = len(samples) - length
        starts = np.unique(np.append(np.arange(0, last, round(HOP * self.sample_rate)), last))
        speech = [int(active[start // frame : (start + length) // frame].sum()) * frame for start in starts]
        least = min(LEAST_SPEECH * self.sample_rate, max(1, *speech))
        silent = [is_silent(samples[start : start + length]) for start in starts]
        starts = starts[(np.array(speech) >= least) & ~np.array(silent)]
        rows = [
            self._encoder.enrol([samples[start : start + length] for start in starts[first : first + BATCH]])
            for first in range(0, len(starts), BATCH)
        ]
        embeddings = np.concatenate(rows) if rows else np.zeros((0, 1), dtype=np.float32)
        return _HeardWindows(samples, self.sample_rate, active, starts + length // 2, embeddings)

    def enrol(self, recordings: Sequence[np.ndarray]) -> np.ndarray:
        """See `System`."""
        return _mean(self._encoder.enrol(recordings))


@dataclass(frozen=True)
class _HeardWindows:
    """samples: float32 [T]. active: bool [F]. middles: int64 [M], the samples in the middle of the windows."""

    samples: np.ndarray
    sample_rate: int
    active: np.ndarray
    middles: np.ndarray
    windows: np.ndarray

    def diarized(self, talkers: int | None, distance: float | None) -> Diarized:
        if talkers is None and distance is None:
            raise ValueError("an encoder that only embeds needs the number of talkers or a distance")
        frame = frame_samples(self.sample_rate)
        nothing = Diarized(
            [], np.zeros((0, self.windows.shape[1]), np.float32), np.zeros((0, len(self.samples)), np.float32)
        )
        if not len(self.windows) or not self.active.any():
            return nothing
        labels = self._labels(talkers, distance)
        middles = np.arange(len(self.active)) * frame + frame // 2
        nearest = np.searchsorted((self.middles[1:] + self.middles[:-1]) / 2, middles)
        turns, streams, centres = [], [], []
        for talker in range(labels.max() + 1):
            speaks = self.active & (labels[nearest] == talker)
            ends = np.minimum(runs(speaks) * frame, len(self.samples)) / self.sample_rate
            turns += [Turn(name_of(talker), float(start), float(end)) for start, end in ends]
            streams.append(self.samples * np.repeat(speaks, frame)[: len(self.samples)])
            centres.append(_mean(self.windows[labels == talker]))
        return Diarized(sorted(turns, key=lambda turn: turn.start), np.stack(centres), np.stack(streams))

    def _labels(self, talkers: int | None, distance: float | None) -> np.ndarray:
        """Talker of every window, int64 [M], 0 for the one with most windows."""
        if len(self.windows) == 1:
            return np.zeros(1, dtype=np.int64)
        tree = linkage(self.windows.astype(np.float64), "average", "cosine")
        if talkers is not None:
            found = fcluster(tree, talkers, "maxclust")
        else:
            found = fcluster(tree, distance, "distance")
        values, labels, counts = np.unique(found, return_inverse=True, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        labels = np.argsort(order)[labels]
        enough = max(1, int((counts[order] * HOP >= SHORTEST_SECONDS).sum())) if talkers is None else len(values)
        centres = np.stack([_mean(self.windows[labels == talker]) for talker in range(enough)])
        scraps = labels >= enough
        labels[scraps] = (self.windows[scraps] @ centres.T).argmax(axis=1)
        return labels


def _mean(embeddings: np.ndarray) -> np.ndarray:
    """The direction of the mean of rows [n, E], float32 [E]."""
    mean = embeddings.astype(np.float64).mean(axis=0)
    return (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)
