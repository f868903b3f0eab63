"""Confidence intervals of error rates, by resampling speakers.

Trials that share a speaker are not independent. So the bootstrap draws speakers with replacement, jointly for both sides of
the trials. A speaker that is drawn w times counts as w different speakers with the same recordings. So a non-target trial
counts w[enrol] * w[test] times. A target trial counts w times, not w * w: a trial between two copies of one speaker would
be a false target, and would make intervals about 1.5 times too wide (our choice, by simulation).

All counts are whole numbers, so their sums are exact in float64 in any order. Results do not depend on the blocks.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from csc_fairseq.errors import InputError
from csc_fairseq.verification.metrics.error_rates import check_kinds, checked_scores, crossing, detection_cost

Floats = npt.NDArray[np.float64]
Metric = Literal["eer"] | tuple[Literal["min_dcf"], float]

CELLS_PER_BLOCK = 4_000_000  # replicates are evaluated in blocks; this many numbers in an array, 32 MB
ENTRIES_PER_BIN = 256  # rates are first computed at the ends of bins of this size; few bins are looked into


class SpeakerBootstrap:
    """Resampled speakers of a list of trials. Any number of score vectors can be evaluated on the same draws.

    Draws depend only on the set of speakers and on `seed`. So replicates of two systems on one list are paired:
    `interval(bootstrap.replicates(a, "eer") - bootstrap.replicates(b, "eer"))` is an interval of their difference.

    Args:
        targets: [n] bool, True for same-speaker trials.
        enrol_speakers: [n] speaker of the enrolment side (any labels).
        test_speakers: [n] speaker of the test side, labels shared with `enrol_speakers`.
        replicates: number of bootstrap replicates.
        seed: seed of the resampling.

    Raises:
        InputError: lengths differ, there are no targets or no non-targets, or labels contradict `targets`.
    """

    def __init__(
        self,
        targets: npt.ArrayLike,
        enrol_speakers: npt.ArrayLike,
        test_speakers: npt.ArrayLike,
        replicates: int = 1000,
        seed: int = 0,
    ) -> None:
        self._targets = np.asarray(targets, dtype=bool)
        enrol_speakers, test_speakers = np.asarray(enrol_speakers), np.asarray(test_speakers)
        lengths = [len(self._targets), len(enrol_speakers), len(test_speakers)]
        if len(set(lengths)) != 1:
            raise InputError(
                f"targets, enrol and test speakers have lengths {lengths}; expected one entry per trial in each"
            )
        same_speaker = int(np.count_nonzero(self._targets))
        check_kinds(same_speaker, len(self._targets) - same_speaker)
        speakers, numbers = np.unique(np.concatenate([enrol_speakers, test_speakers]), return_inverse=True)
        enrol, test = numbers[: lengths[0]], numbers[lengths[0] :]
        contradictions = int(np.count_nonzero((enrol == test) != self._targets))
        if contradictions:
            raise InputError(
                f"{contradictions} trials are marked target with two speakers, or non-target with one; "
                "correct the trial list"
            )
        pairs, self._pair_of_trial = np.unique(enrol * len(speakers) + test, return_inverse=True)
        self._enrol, self._test = np.divmod(pairs, len(speakers))
        self._copies = np.random.default_rng(seed).multinomial(
            len(speakers), np.full(len(speakers), 1 / len(speakers)), size=replicates
        )

    def replicates(self, scores: npt.ArrayLike, metric: Metric) -> Floats:
        """The metric of every replicate, [replicates]; NaN if a draw has no targets or no non-targets.

        Args:
            scores: [n] trial scores, higher means more similar.
            metric: "eer", or ("min_dcf", p_target).

        Raises:
            InputError: not one score per trial, a score is NaN, or the prior is not in (0, 1).
        """
        scores = np.asarray(scores, dtype=np.float64)
        if scores.shape != self._targets.shape:
            raise InputError(
                f"found {scores.size} scores for {len(self._targets)} trials, expected one score per trial"
            )
        checked_scores(scores[self._targets], scores[~self._targets])
        ranking = _Ranking(scores, self._pair_of_trial, self._enrol == self._test)
        values = np.full(len(self._copies), np.nan)
        block = max(1, CELLS_PER_BLOCK // max(len(self._enrol), 2 * ranking.bins))
        for start in range(0, len(values), block):
            rates = _Rates(ranking, self._pair_weights(slice(start, start + block)))
            values[start + rates.usable] = _eer(rates) if metric == "eer" else _min_dcf(rates, metric[1])
        return values

    def _pair_weights(self, block: slice) -> Floats:
        """How often the trials of every pair of speakers count, [pairs, replicates of the block]."""
        copies = np.ascontiguousarray(self._copies[block].T, dtype=np.float64)
        weights = copies[self._enrol]
        different = np.flatnonzero(self._enrol != self._test)
        weights[different] *= copies[self._test[different]]
        return weights


class _Ranking:
    """Trials in the order of falling scores. Trials with the same score and the same pair of speakers are one entry.

    pairs: [m], pair of speakers. counts: [m], number of trials. is_target: [m]. last_of_score: [m], True at the last entry
    of a score. edges: [bins + 1], first entry of every bin, then m; no score is in two bins. in_bins: [2 * bins, pairs],
    number of trials by bin and pair, first the non-targets, then the targets.
    """

    def __init__(self, scores: Floats, pair_of_trial: npt.NDArray[np.int64], is_target: npt.NDArray[np.bool_]) -> None:
        _, rank = np.unique(-scores, return_inverse=True)
        entries, counts = np.unique(rank * len(is_target) + pair_of_trial, return_counts=True)
        rank, self.pairs = np.divmod(entries, len(is_target))
        self.counts, self.is_target = counts.astype(np.float64), is_target[self.pairs]
        self.last_of_score = np.append(rank[1:] != rank[:-1], True)
        ends = np.flatnonzero(self.last_of_score) + 1
        wanted = np.arange(ENTRIES_PER_BIN, len(entries), ENTRIES_PER_BIN)
        self.edges = np.unique(np.concatenate([[0], ends[np.searchsorted(ends, wanted)], ends[-1:]]))
        self.bins = len(self.edges) - 1
        rows = np.repeat(np.arange(self.bins), np.diff(self.edges)) + self.bins * self.is_target
        self.in_bins = csr_matrix((self.counts, (rows, self.pairs)), shape=(2 * self.bins, len(is_target)))


class _Rates:
    """Error rates at the edges of a ranking's bins and, on request, inside them, for a block of r weighted replicates.

    usable: the replicates that have targets and non-targets; everything else is only for these. false_alarms, misses:
    [bins + 1, r]; in the first row, nothing is accepted.
    """

    def __init__(self, ranking: _Ranking, weights: Floats) -> None:
        self._ranking = ranking
        accepted = np.zeros((2, ranking.bins + 1, weights.shape[1]))
        np.cumsum((ranking.in_bins @ weights).reshape(2, ranking.bins, -1), axis=1, out=accepted[:, 1:])
        self.usable = np.flatnonzero((accepted[:, -1] > 0).all(axis=0))
        self._weights, self._accepted = weights[:, self.usable], accepted[:, :, self.usable]
        self.false_alarms, self.misses = self._shares(self._accepted, slice(None))

    def inside(self, bin: int, columns: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
        """(P_fa, P_miss), each [k, c], at the bin's first edge and at all its scores, for c of the replicates."""
        entries = slice(self._ranking.edges[bin], self._ranking.edges[bin + 1])
        weights = self._weights[np.ix_(self._ranking.pairs[entries], columns)]
        weights *= self._ranking.counts[entries, None]
        kinds = np.stack([~self._ranking.is_target[entries], self._ranking.is_target[entries]])
        steps = np.cumsum(weights * kinds[:, :, None], axis=1)[:, self._ranking.last_of_score[entries]]
        before = self._accepted[:, bin : bin + 1, columns]
        return self._shares(np.concatenate([before, before + steps], axis=1), columns)

    def _shares(self, accepted: Floats, columns: npt.NDArray[np.int64] | slice) -> tuple[Floats, Floats]:
        false_alarms, hits = accepted / self._accepted[:, -1:, columns]
        return false_alarms, 1 - hits


def _eer(rates: _Rates) -> Floats:
    """EER [r]. First finds the bin whose ends enclose it, then the step in that bin."""
    bins = _first_reached(rates.false_alarms, rates.misses) - 1
    values = np.empty(len(bins))
    for bin in np.unique(bins):
        columns = np.flatnonzero(bins == bin)
        false_alarms, misses = rates.inside(bin, columns)
        after, each = _first_reached(false_alarms, misses), np.arange(len(columns))
        values[columns] = crossing(
            false_alarms[after - 1, each], misses[after - 1, each], false_alarms[after, each], misses[after, each]
        )
    return values


def _first_reached(false_alarms: Floats, misses: Floats) -> npt.NDArray[np.int64]:
    """First row where P_fa >= P_miss, in every column."""
    return np.argmax(false_alarms - misses >= 0, axis=0)


def _min_dcf(rates: _Rates, p_target: float) -> Floats:
    """Minimum DCF [r]. First at the edges of bins, then inside the bins that may have a lower cost."""
    best = detection_cost(rates.false_alarms, rates.misses, p_target).min(axis=0)
    # In a bin, P_fa is at least that of its first edge, and P_miss at least that of its last edge.
    promising = detection_cost(rates.false_alarms[:-1], rates.misses[1:], p_target) < best
    for bin in np.flatnonzero(promising.any(axis=1)).tolist():
        columns = np.flatnonzero(promising[bin])
        cost = detection_cost(*rates.inside(bin, columns), p_target).min(axis=0)
        best[columns] = np.minimum(best[columns], cost)
    return best


def interval(replicates: npt.ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """Percentile interval (low, high) of a metric or of a paired difference. NaN replicates are left out.

    InputError if all replicates are NaN.
    """
    values = np.asarray(replicates, dtype=np.float64)
    drawn = values[~np.isnan(values)]
    if not len(drawn):
        raise InputError(
            f"none of {len(values)} bootstrap replicates has targets and non-targets; the trial list has too few speakers, "
            "expected at least two with trials of both kinds"
        )
    tail = 50 * (1 - confidence)
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return float(low), float(high)
