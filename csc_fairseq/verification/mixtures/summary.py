"""Figures of many fixed mixtures, with 95 % intervals.

Mixtures that share a talker are not independent: WSJ0-2mix's 3000 test mixtures are of 18 speakers. So speakers are resampled where
they are known, and a mixture counts as often as its talkers together, the product of their copies, as a non-target trial does in
`metrics/bootstrap.py` (our choice). Otherwise mixtures are resampled, and intervals are too narrow.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from csc_fairseq.data.fixed_mixtures import FixedMixtures
from csc_fairseq.errors import InputError
from csc_fairseq.verification.evaluation.results import Estimate
from csc_fairseq.verification.evaluation.tables import Table
from csc_fairseq.verification.metrics.bootstrap import interval


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
    si_snri: Estimate
    sdri: Estimate
    resampled: str


def summarise(
    encoder: str, mixtures: FixedMixtures, values: np.ndarray, replicates: int = 1000, seed: int = 0
) -> Summary:
    """Figures from values [N, 2], SI-SNRi and SDRi of every mixture. Replicates of two encoders on one manifest draw alike.

    InputError: no replicate has all talkers of any mixture.
    """
    drawn = np.array(
        [weights @ values / weights.sum() for weights in _weights(mixtures, replicates, seed) if weights.any()]
    )
    if not len(drawn):
        raise InputError(
            f"{mixtures.manifest.path}: has too few speakers for {replicates} replicates: none has all talkers of a mixture; "
            "raise --replicates"
        )
    si_snri, sdri = (
        Estimate(float(values[:, column].mean()), *interval(drawn[:, column])) for column in range(values.shape[1])
    )
    resampled = "mixtures" if mixtures.speakers is None else "speakers"
    name = str(mixtures.manifest.path)
    return Summary(encoder, name, len(mixtures), mixtures.count, si_snri, sdri, resampled)


def _weights(mixtures: FixedMixtures, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """How often every mixture counts, int64 [N], for each replicate."""
    rng = np.random.default_rng(seed)
    if mixtures.speakers is None:
        units = np.arange(len(mixtures))[:, None]
    else:
        units = np.sort(mixtures.speakers.codes.reshape(-1, mixtures.count), axis=1)
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
        "narrow, where nobody knows the speakers.",
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


def _decibels(estimate: Estimate) -> str:
    return f"{estimate.value:+.2f} ({estimate.low:+.2f} to {estimate.high:+.2f})"
