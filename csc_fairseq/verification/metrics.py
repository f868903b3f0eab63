"""Equal error rate and its confidence interval.

Definition used throughout: a trial is accepted when its score is >= the threshold; P_miss is the share of target
trials rejected, P_fa the share of non-target trials accepted. The operating points at all distinct scores are joined
by straight lines, and the EER is the point of that line where P_miss = P_fa. Tied scores fall together: they make one
step, whatever their order in the list.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from csc_fairseq.errors import InputError

# Replicates are evaluated in blocks of this many (replicate, trial) cells: 4 M float64 cells are 32 MB an array.
CELLS_PER_BLOCK = 4_000_000


def eer(target_scores: npt.ArrayLike, nontarget_scores: npt.ArrayLike) -> float:
    """Equal error rate, a share in [0, 1]; lower is better, 0.5 is chance. O(n log n) in the number of trials.

    Args:
        target_scores: [n_target] scores of same-speaker trials; higher means more alike.
        nontarget_scores: [n_nontarget] scores of different-speaker trials.

    Raises:
        InputError: a side is empty, or a score is NaN.
    """
    target = np.asarray(target_scores, dtype=np.float64).ravel()
    nontarget = np.asarray(nontarget_scores, dtype=np.float64).ravel()
    scores = np.concatenate([target, nontarget])
    is_target = np.arange(len(scores)) < len(target)
    order, last_of_tie = _sorted_trials(scores, is_target)
    return float(_weighted_eer(np.ones((1, len(scores))), is_target[order], last_of_tie)[0])


def bootstrap_eer(
    scores: npt.ArrayLike,
    targets: npt.ArrayLike,
    enrol_speakers: npt.ArrayLike,
    test_speakers: npt.ArrayLike,
    replicates: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the EER, resampling *speakers*, jointly on both sides of the trials.

    Trials that share a speaker are not independent, so speakers are what is drawn with replacement. A speaker drawn w
    times stands for w different speakers with the same recordings. So a non-target trial counts w[enrol] * w[test]
    times, and a target trial w times: a trial between two copies of one speaker would be a false target, and counting
    it (w * w) makes intervals about 1.5 times too wide (our choice, by simulation).

    Args:
        scores: [n] trial scores, higher means more alike.
        targets: [n] bool, True for same-speaker trials.
        enrol_speakers: [n] speaker of the enrolment side (any labels).
        test_speakers: [n] speaker of the test side, labels shared with `enrol_speakers`.
        replicates: number of bootstrap replicates.
        seed: seed of the resampling.
        confidence: mass of the interval.

    Returns:
        (low, high), shares in [0, 1]. A replicate that drew no target or no non-target trial is left out.

    Raises:
        InputError: lengths differ, a side is empty, a score is NaN, labels contradict `targets`, or no replicate has
            both kinds of trial.
    """
    scores = np.asarray(scores, dtype=np.float64)
    targets = np.asarray(targets, dtype=bool)
    enrol_speakers, test_speakers = np.asarray(enrol_speakers), np.asarray(test_speakers)
    lengths = [len(scores), len(targets), len(enrol_speakers), len(test_speakers)]
    if len(set(lengths)) != 1:
        raise InputError(
            f"scores, targets, enrol and test speakers have lengths {lengths}; expected one entry per trial in each"
        )
    speakers, numbers = np.unique(np.concatenate([enrol_speakers, test_speakers]), return_inverse=True)
    order, last_of_tie = _sorted_trials(scores, targets)
    is_target = targets[order]
    enrol, test = numbers[: len(scores)][order], numbers[len(scores) :][order]
    contradictions = int(np.count_nonzero((enrol == test) != is_target))
    if contradictions:
        raise InputError(
            f"{contradictions} trials are marked target with two speakers, or non-target with one; mend the trial list"
        )

    rng = np.random.default_rng(seed)
    copies = rng.multinomial(len(speakers), np.full(len(speakers), 1 / len(speakers)), size=replicates).astype(
        np.float64
    )
    block = max(1, CELLS_PER_BLOCK // len(scores))
    values = []
    for start in range(0, replicates, block):
        drawn = copies[start : start + block]
        weights = drawn[:, enrol]
        weights *= np.where(is_target, 1.0, drawn[:, test])
        values.append(_weighted_eer(weights, is_target, last_of_tie))
    rates = np.concatenate(values)
    rates = rates[~np.isnan(rates)]
    if not len(rates):
        raise InputError(
            f"{len(speakers)} speakers are too few for a bootstrap; expected two or more with trials of both kinds"
        )
    tail = 50 * (1 - confidence)
    low, high = np.percentile(rates, [tail, 100 - tail])
    return float(low), float(high)


def _sorted_trials(
    scores: npt.NDArray[np.float64], targets: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Order of falling score [n], and the positions in that order where a run of tied scores ends [distinct scores]."""
    n_target = int(np.count_nonzero(targets))
    if not n_target or n_target == len(scores):
        raise InputError(
            f"found {n_target} target and {len(scores) - n_target} non-target trials; an EER needs at least one of each"
        )
    if np.isnan(scores).any():
        raise InputError(
            f"{int(np.isnan(scores).sum())} of {len(scores)} scores are NaN; check the recordings and the model"
        )
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    return order, np.flatnonzero(np.append(falling[1:] != falling[:-1], True))


def _weighted_eer(
    weights: npt.NDArray[np.float64], is_target: npt.NDArray[np.bool_], last_of_tie: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """EER [R] of each row of trial weights [R, n], trials by falling score; NaN where one kind of trial is missing."""
    start = np.zeros((len(weights), 1))  # the threshold above every score: nothing accepted
    accepted_target = np.hstack([start, np.cumsum(weights * is_target, axis=1)[:, last_of_tie]])
    accepted_nontarget = np.hstack([start, np.cumsum(weights * ~is_target, axis=1)[:, last_of_tie]])
    usable = (accepted_target[:, -1] > 0) & (accepted_nontarget[:, -1] > 0)
    result = np.full(len(weights), np.nan)
    hits = accepted_target[usable] / accepted_target[usable, -1:]
    false_alarms = accepted_nontarget[usable] / accepted_nontarget[usable, -1:]
    # P_fa - P_miss rises from -1 to 1 as the threshold falls; the EER lies on the step that crosses 0.
    gap = false_alarms - (1 - hits)
    after = np.argmax(gap >= 0, axis=1)
    rows = np.arange(len(gap))
    gap_before, gap_after = gap[rows, after - 1], gap[rows, after]
    fa_before, fa_after = false_alarms[rows, after - 1], false_alarms[rows, after]
    result[usable] = fa_before + (fa_after - fa_before) * -gap_before / (gap_after - gap_before)
    return result
