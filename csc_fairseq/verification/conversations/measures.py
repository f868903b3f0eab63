"""Measures of one conversation and one system: numbers, of which summary.py makes figures of many conversations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from csc_fairseq.data.rttm import Turn
from csc_fairseq.data.speech_activity import frame_samples
from csc_fairseq.diarization.scoring import ErrorSeconds
from csc_fairseq.losses.si_snr import pairwise_si_snr
from csc_fairseq.verification.conversations.systems import Diarized
from csc_fairseq.verification.metrics.separation_quality import assign_streams

FLOOR_DB = -30.0  # lowest SI-SNR that is told: of a stream that is silent where its talker speaks


@dataclass(frozen=True)
class VoiceMeasure:
    """One enrolled voice in one conversation.

    present: whether it speaks there. best_window, best_talker: cosine with the most similar window, and with the most similar
    talker that was found; −1 where nobody was. si_snri: how much better that talker's stream is than the recording, for a
    voice that is present (dB); None for an absent one, or without sources.
    """

    talker: str
    present: bool
    best_window: float
    best_talker: float
    si_snri: float | None


@dataclass(frozen=True)
class SeparationMeasure:
    """The streams of the talkers that were found against the sources.

    overlapped_si_snri: of each talker, where it talks over another (dB); talkers that never do are left out. kept, alone: frames
    in which one talks alone, and those of them in which the talker's own stream is the loudest and no silence.
    """

    overlapped_si_snri: tuple[float, ...]
    kept: int
    alone: int


@dataclass(frozen=True)
class Measured:
    """One conversation.

    errors: by way to count. jaccard: sum over talkers of the Jaccard error rate, and their number. talkers: in the reference;
    found: by the system. voices: enrolled ones; separation: None without sources.
    """

    conversation: str
    errors: tuple[ErrorSeconds, ...]
    jaccard: tuple[float, float]
    talkers: int
    found: int
    voices: tuple[VoiceMeasure, ...]
    separation: SeparationMeasure | None


def voice_measure(
    talker: str,
    present: bool,
    voice: np.ndarray,
    windows: np.ndarray,
    diarized: Diarized,
    mixture: np.ndarray,
    source: np.ndarray | None,
) -> VoiceMeasure:
    """One enrolled voice.

    Args:
        talker, present: see `VoiceMeasure`. voice: float32 [E], unit norm. windows: [M, E], of `Heard`. diarized: who was found.
        mixture: [T], the recording. source: [T], what the talker says in it; None if it is absent or unknown.
    """
    cosines = diarized.centres @ voice if len(diarized.centres) else np.array([-1.0])
    improvement = None
    if present and source is not None:
        best = diarized.streams[int(cosines.argmax())] if len(diarized.centres) else np.zeros_like(mixture)
        own, before = ratios(np.stack([best, mixture]), source[None])[:, 0]
        improvement = float(own - before)
    best_window = float((windows @ voice).max()) if len(windows) else -1.0
    return VoiceMeasure(talker, present, best_window, float(cosines.max()), improvement)


def separation_measure(
    streams: np.ndarray,
    sources: Mapping[str, np.ndarray],
    reference: Sequence[Turn],
    mixture: np.ndarray,
    sample_rate: int,
) -> SeparationMeasure:
    """Streams [N, T] in any order against the sources [T] by talker. A talker's stream is that of the best assignment over all T.

    With fewer streams than talkers some share one, or have none for `kept`. Without any stream all have silence.
    """
    names = list(sources)
    frame = frame_samples(sample_rate)
    speaking = np.stack([_speaks(reference, name, len(mixture), sample_rate) for name in names])
    alone = speaking[:, : speaking.shape[1] // frame * frame : frame]
    alone = alone & (alone.sum(axis=0) == 1)
    count = int(alone.sum())
    if not len(streams):
        streams = np.zeros_like(mixture)[None]
    truth = np.stack([sources[name] for name in names])
    fit = ratios(streams, truth)
    own = assign_streams(fit)
    improvements = []
    for talker in range(len(names)):
        where = speaking[talker] & (speaking.sum(axis=0) > 1)
        if where.any():
            heard = np.stack([streams[own[talker]][where], mixture[where]])
            ratio, before = ratios(heard, truth[talker][None, where])[:, 0]
            improvements.append(float(ratio - before))
    cut = streams[:, : streams.shape[1] // frame * frame].reshape(len(streams), -1, frame)
    energies = np.square(cut).sum(axis=2)
    loudest = np.where(energies.max(axis=0) > 0, energies.argmax(axis=0), -1)  # where all are silent, none is
    rows, talkers = linear_sum_assignment(fit, maximize=True)
    kept = sum(int((alone[talker] & (loudest == row)).sum()) for row, talker in zip(rows, talkers, strict=True))
    return SeparationMeasure(tuple(improvements), kept, count)


def ratios(estimates: np.ndarray, references: np.ndarray) -> np.ndarray:
    """SI-SNR in dB of every estimate [N, T] against every reference [S, T], at least FLOOR_DB; [N, S]."""
    found = pairwise_si_snr(
        *(torch.from_numpy(np.ascontiguousarray(one)).unsqueeze(0) for one in (estimates, references))
    )
    silent = ~np.any(estimates, axis=1)
    return np.where(silent[:, None], FLOOR_DB, np.maximum(found[0].numpy(), FLOOR_DB))


def _speaks(reference: Sequence[Turn], talker: str, samples: int, sample_rate: int) -> np.ndarray:
    """Whether a talker speaks, bool [T]."""
    speaks = np.zeros(samples, dtype=bool)
    for turn in reference:
        if turn.talker == talker:
            speaks[round(turn.start * sample_rate) : round(turn.end * sample_rate)] = True
    return speaks
