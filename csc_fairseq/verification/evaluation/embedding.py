"""Embeddings of all that trials compare: each enrolment recording once, each test recording once per condition."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from csc_fairseq.data.rendering import Mixture
from csc_fairseq.errors import InputError
from csc_fairseq.verification.encoders.embedding_file import FileEncoder
from csc_fairseq.verification.encoders.encoder import Encoder
from csc_fairseq.verification.metrics.separation_quality import separation_quality
from csc_fairseq.verification.trials.conditions import Condition
from csc_fairseq.verification.trials.material import Material
from csc_fairseq.verification.trials.trial_list import MOST_INTERFERERS

PORTION = 32  # recordings rendered, decoded and embedded together; bounds memory
MOST_SOURCES = 1 + MOST_INTERFERERS  # with the test speaker


@dataclass(frozen=True)
class Embedded:
    """Embeddings of n recordings, C streams each, and how well they were separated.

    streams: float32 [n, C, E], unit norm. assignment: int64 [n, 3], the streams that hold the test speaker, the first
    and the second interferer; −1 for a talker who is absent, and where nothing is separated. si_snri, sdri: float64
    [n], dB, mean improvement over a mixture's talkers; NaN where nothing was mixed or separated.
    """

    streams: np.ndarray
    assignment: np.ndarray
    si_snri: np.ndarray
    sdri: np.ndarray

    @classmethod
    def join(cls, portions: Sequence["Embedded"]) -> "Embedded":
        """Portions in their order. InputError if numbers of streams or channels differ between them."""
        shapes = sorted({portion.streams.shape[1:] for portion in portions})
        if len(shapes) > 1:
            raise InputError(
                f"gave embeddings of {' and '.join(f'{c} × {e}' for c, e in shapes)} (C × E), expected one shape"
            )
        return cls(*(np.concatenate([getattr(portion, field.name) for portion in portions]) for field in fields(cls)))


@dataclass(frozen=True)
class Task:
    """One portion of work: recordings of one side under one condition."""

    condition: Condition
    side: str
    recordings: tuple[int, ...]


def portions(condition: Condition, side: str, recordings: Sequence[int]) -> list[Task]:
    """The tasks for some recordings, in their order."""
    return [
        Task(condition, side, tuple(recordings[start : start + PORTION]))
        for start in range(0, len(recordings), PORTION)
    ]


def embed(encoder: Encoder, material: Material, task: Task) -> Embedded:
    """Renders and embeds one portion. The enrolment side has one stream, and separation is not measured there.

    Embeddings from a file are those of the recordings as they are. Under a condition that degrades them, such an encoder
    raises InputError. An InputError of any encoder is raised again with the place of the recording that caused it.
    """
    if isinstance(encoder, FileEncoder) and not task.condition.degraded:
        names = [material.pool.manifest.names[recording] for recording in task.recordings]
        return without_separation(encoder.recordings(names)[:, None])
    mixtures = [material.render(task.condition, recording, task.side) for recording in task.recordings]
    try:
        return _embed(encoder, mixtures, task.side, material.pool.sample_rate)
    except InputError as error:  # encoders know no files
        for recording, mixture in zip(task.recordings, mixtures, strict=True):
            try:
                _embed(encoder, [mixture], task.side, material.pool.sample_rate)
            except InputError as one:
                raise InputError(f"{material.pool.place(recording)}, {task.condition.name}: {one}") from error
        raise


def _embed(encoder: Encoder, mixtures: Sequence[Mixture], side: str, sample_rate: int) -> Embedded:
    waveforms = [mixture.samples for mixture in mixtures]
    if side == "enrolment":
        return without_separation(encoder.enrol(waveforms)[:, None])
    found = encoder.test(waveforms)
    embedded = without_separation(found.streams)
    if found.estimates is not None:
        for i, (mixture, estimates) in enumerate(zip(mixtures, found.estimates, strict=True)):
            if mixture.present.sum() > 1:
                quality = separation_quality(estimates, mixture, sample_rate)
                embedded.assignment[i, : len(quality.streams)] = quality.streams
                embedded.si_snri[i], embedded.sdri[i] = quality.si_snri, quality.sdri
    return embedded


def without_separation(streams: np.ndarray) -> Embedded:
    """Embeddings [n, C, E] without any measure of separation."""
    count = len(streams)
    assignment = np.full((count, MOST_SOURCES), -1, dtype=np.int64)
    return Embedded(streams, assignment, np.full(count, np.nan), np.full(count, np.nan))
