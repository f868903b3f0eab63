"""Figures of many fixed mixtures, with 95 % intervals.

Mixtures that share a talker are not independent: WSJ0-2mix's 3000 test mixtures are of 18 speakers. So speakers are resampled where
they are known, and a mixture counts as often as its talkers together, the product of their copies, as a non-target trial does in
`metrics/bootstrap.py` (our choice). Otherwise mixtures are resampled, and intervals are too narrow.

A replicate that lacks a talker of every mixture says nothing. Where there are many of these, the others are much alike, and their
interval would be too narrow, down to no width at all. So there is none then, nor with few speakers or mixtures to resample.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from csc_fairseq.data.fixed_mixtures import FixedMixtures
from csc_fairseq.verification.evaluation.evaluation_set import FEWEST
from csc_fairseq.verification.evaluation.tables import NOTHING, Table
from csc_fairseq.verification.metrics.bootstrap import interval

LEAST_USABLE = 0.95  # share of the replicates that must have all talkers of a mixture (our choice)


@dataclass(frozen=True)
class Improvement:
    """In dB, with its 95 % interval; None: there is none."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Summary:
    """One encoder on the mixtures of one manifest.

    mixtures: their number. talkers: in each. si_snri, sdri: improvement in dB, mean over mixtures; larger is better.
    resampled: what intervals are of, speakers or mixtures.
    """

    encoder: str
    manifest: str
    mixtures: int
    talkers: int
    si_snri: Improvement
    sdri: Improvement
    resampled: str


def summarise(
    encoder: str, mixtures: FixedMixtures, values: np.ndarray, replicates: int = 1000, seed: int = 0
) -> Summary:
    """Figures from values [N, 2], SI-SNRi and SDRi of every mixture. Replicates of two encoders on one manifest draw alike."""
    units = _units(mixtures)
    drawn = np.array(
        [weights @ values / weights.sum() for weights in _weights(units, replicates, seed) if weights.any()]
    )
    enough = units.max() + 1 >= FEWEST and len(drawn) >= LEAST_USABLE * replicates
    si_snri, sdri = (
        Improvement(float(own.mean()), *(interval(drawn[:, column]) if enough else ()))
        for column, own in enumerate(values.T)
    )
    resampled = "mixtures" if mixtures.speakers is None else "speakers"
    name = str(mixtures.manifest.path)
    return Summary(encoder, name, len(mixtures), mixtures.count, si_snri, sdri, resampled)


def _units(mixtures: FixedMixtures) -> np.ndarray:
    """Numbers of what is resampled, by mixture: its speakers, int64 [N, C], ascending, or itself, int64 [N, 1]."""
    if mixtures.speakers is None:
        return np.arange(len(mixtures))[:, None]
    return np.sort(mixtures.speakers.codes.reshape(-1, mixtures.count), axis=1)


def _weights(units: np.ndarray, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """How often every mixture counts, int64 [N], for each replicate."""
    rng = np.random.default_rng(seed)
    again = np.zeros(units.shape, dtype=bool)  # somebody who is in a mixture twice counts once
    again[:, 1:] = units[:, 1:] == units[:, :-1]
    count = int(units.max()) + 1
    for _ in range(replicates):
        copies = rng.multinomial(count, np.full(count, 1 / count))
        yield np.where(again, 1, copies[units]).prod(axis=1)


def table(summaries: Sequence[Summary]) -> Table:
    """A row for each encoder and manifest."""
    return Table(
        "Separation of fixed mixtures (95 % interval)",
        "Improvement over the mixture in dB, mean over its talkers, then over mixtures; larger is better. Streams go to talkers so "
        "that SI-SNR is best. SDR is BSS-eval's, with a filter of 512 taps. Mixtures above 12 s are heard in windows. Intervals "
        "are from resampled speakers, a mixture counting as often as its talkers together; from resampled mixtures, and then too "
        f"narrow, where the speakers are not known. {NOTHING}: no interval, for fewer than {FEWEST} of these, or where more than "
        f"{1 - LEAST_USABLE:.0%} of the draws lack a talker of every mixture.",
        ["encoder, mixtures", "number", "talkers", "SI-SNRi", "SDRi", "resampled"],
        [
            [
                f"{one.encoder}, {one.manifest}",
                str(one.mixtures),
                str(one.talkers),
                _decibels(one.si_snri),
                _decibels(one.sdri),
                one.resampled,
            ]
            for one in summaries
        ],
    )


def _decibels(found: Improvement) -> str:
    bounds = NOTHING if found.low is None else f"{found.low:+.2f} to {found.high:+.2f}"
    return f"{found.value:+.2f} ({bounds})"
