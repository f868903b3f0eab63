"""Embeddings of everything that trials compare: each enrolment recording once, each test recording once per condition."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from csc_fairseq.data.augment import NoiseBank, RirBank
from csc_fairseq.data.mixing import MixingPlan
from csc_fairseq.data.pool import RecordingPool
from csc_fairseq.data.rendering import Mixture, render
from csc_fairseq.errors import InputError
from csc_fairseq.verification.condition_plans import plan
from csc_fairseq.verification.conditions import Condition
from csc_fairseq.verification.encoders.files import FileEncoder
from csc_fairseq.verification.encoders.protocol import Encoder
from csc_fairseq.verification.separation import judge
from csc_fairseq.verification.trials import MOST_INTERFERERS

PORTION = 32  # recordings rendered, decoded and embedded together; bounds memory
MOST_SOURCES = 1 + MOST_INTERFERERS  # with the test speaker


@dataclass(frozen=True)
class Material:
    """What conditions are rendered from.

    pool: the recordings of the manifest, at the encoder's rate. interferers: int64 [N, 2] (`TrialList.interferers`).
    noises: banks by kind. rirs: room responses, None for none. longest: samples to which recordings are cut. seed: of
    crops, noises and rooms.
    """

    pool: RecordingPool
    interferers: np.ndarray
    noises: Mapping[str, NoiseBank]
    rirs: RirBank | None
    longest: int
    seed: int

    def plan(self, condition: Condition, recording: int, side: str) -> MixingPlan:
        """The keyed plan of one recording under a condition; side: "test" or "enrolment"."""
        return plan(
            condition,
            self.pool,
            recording,
            self.interferers[recording],
            self.seed,
            side,
            self.longest,
            self.noises,
            self.rirs,
        )

    def render(self, condition: Condition, recording: int, side: str) -> Mixture:
        """The audio of that plan. InputError, naming the file, where it cannot be read."""
        noise = self.noises.get(condition.noise) if condition.noise else None
        return render(self.plan(condition, recording, side), self.pool, noise, self.rirs)


@dataclass(frozen=True)
class Embedded:
    """Embeddings of n recordings, C streams each, and how well they were separated.

    streams: float32 [n, C, E], unit norm. assignment: int64 [n, 3], the stream that holds the test speaker, the first
    and the second interferer; −1 for who is absent or where nothing is separated. si_snri, sdri: float64 [n], dB, mean
    improvement over a mixture's talkers; NaN where nothing was mixed or separated.
    """

    streams: np.ndarray
    assignment: np.ndarray
    si_snri: np.ndarray
    sdri: np.ndarray

    @classmethod
    def join(cls, parts: Sequence["Embedded"]) -> "Embedded":
        """Portions in their order. InputError if an encoder gave some of them other numbers of streams or channels."""
        shapes = sorted({part.streams.shape[1:] for part in parts})
        if len(shapes) > 1:
            raise InputError(f"gave embeddings of {' and '.join(f'{c} × {e}' for c, e in shapes)} (C × E), expected one shape")
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


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
    """Renders and embeds one portion. The enrolment side has one stream; nothing is judged there.

    Embeddings from a file stand for the recordings as they are; under other conditions the encoder refuses.
    """
    if isinstance(encoder, FileEncoder) and not task.condition.degraded:
        names = [material.pool.manifest.names[recording] for recording in task.recordings]
        return unjudged(encoder.recordings(names)[:, None])
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
        return unjudged(encoder.enrol(waveforms)[:, None])
    found = encoder.test(waveforms)
    embedded = unjudged(found.streams)
    if found.estimates is not None:
        for i, (mixture, estimates) in enumerate(zip(mixtures, found.estimates, strict=True)):
            if mixture.present.sum() > 1:
                judged = judge(estimates, mixture, sample_rate)
                embedded.assignment[i, : len(judged.streams)] = judged.streams
                embedded.si_snri[i], embedded.sdri[i] = judged.si_snri, judged.sdri
    return embedded


def unjudged(streams: np.ndarray) -> Embedded:
    """Embeddings [n, C, E] of which nothing more is known."""
    count = len(streams)
    assignment = np.full((count, MOST_SOURCES), -1, dtype=np.int64)
    return Embedded(streams, assignment, np.full(count, np.nan), np.full(count, np.nan))
