"""Error rates of verification: equal error rate, minimum detection cost, operating points.

Definitions: a trial is accepted if its score is >= the threshold. P_miss is the share of target trials that are rejected.
P_fa is the share of non-target trials that are accepted. There is an operating point at each distinct score, and one where
nothing is accepted. Equal scores make one step together, in whatever order they are in the list.
"""

from bisect import bisect_right
from typing import Literal

import numpy as np
import numpy.typing as npt

from csc_fairseq.errors import InputError


def eer(target_scores: npt.ArrayLike, nontarget_scores: npt.ArrayLike) -> float:
    """Equal error rate, a share in [0, 1]; lower is better, 0.5 is chance. O(n log n) in the number of trials.

    Straight lines join the operating points. The EER is where this line has P_miss = P_fa.

    Args:
        target_scores: [n_target] scores of same-speaker trials; higher means more similar.
        nontarget_scores: [n_nontarget] scores of different-speaker trials.

    Raises:
        InputError: a side is empty, or a score is NaN.
    """
    target, nontarget = _rising(target_scores, nontarget_scores)

    def rates(threshold: float, accepted_from: Literal["left", "right"]) -> tuple[float, float]:
        """(P_fa, P_miss) where scores >= the threshold are accepted ("left"), or only those above it ("right")."""
        false_alarms = (len(nontarget) - np.searchsorted(nontarget, threshold, accepted_from)) / len(nontarget)
        hits = (len(target) - np.searchsorted(target, threshold, accepted_from)) / len(target)
        return false_alarms, 1 - hits

    def excess(threshold: float) -> float:
        """P_miss - P_fa, which grows with the threshold."""
        false_alarms, misses = rates(threshold, "left")
        return misses - false_alarms

    # The EER is on the step that ends at the highest score with P_fa >= P_miss. Bisection finds this score.
    reached = [(side, bisect_right(side, 0.0, key=excess)) for side in (target, nontarget)]
    threshold = max(side[count - 1] for side, count in reached if count)
    return float(crossing(*rates(threshold, "right"), *rates(threshold, "left")))


def crossing(
    fa_before: npt.ArrayLike, miss_before: npt.ArrayLike, fa_after: npt.ArrayLike, miss_after: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """P_fa at which the line between two operating points has P_fa = P_miss.

    The first point must have P_fa < P_miss, the second P_fa >= P_miss. Scalars or arrays of one shape.
    """
    gap_before, gap_after = np.subtract(fa_before, miss_before), np.subtract(fa_after, miss_after)
    return fa_before + np.subtract(fa_after, fa_before) * -gap_before / (gap_after - gap_before)


def min_dcf(target_scores: npt.ArrayLike, nontarget_scores: npt.ArrayLike, p_target: float) -> float:
    """Minimum of the normalised detection cost over all thresholds; in [0, 1], lower is better. O(n log n).

    Args:
        target_scores: [n_target] scores of same-speaker trials; higher means more similar.
        nontarget_scores: [n_nontarget] scores of different-speaker trials.
        p_target: prior probability of a target, in (0, 1).

    Raises:
        InputError: a side is empty, a score is NaN, or the prior is not in (0, 1).
    """
    target, nontarget = _rising(target_scores, nontarget_scores)
    # Some best threshold is a target score, or above all of them: to raise any other threshold to the next target score
    # only rejects non-targets. Of equal target scores, index i is the number of misses at the first one. At the others, i
    # is larger than the number of misses, which cannot make a minimum.
    misses = np.arange(len(target) + 1) / len(target)
    false_alarms = np.zeros(len(target) + 1)
    false_alarms[:-1] = (len(nontarget) - np.searchsorted(nontarget, target)) / len(nontarget)
    return float(detection_cost(false_alarms, misses, p_target).min())


def detection_cost(false_alarms: npt.ArrayLike, misses: npt.ArrayLike, p_target: float) -> npt.NDArray[np.float64]:
    """Normalised detection cost of operating points, with C_miss = C_fa = 1 (as in NIST's evaluation plans).

    The cost p_target * P_miss + (1 - p_target) * P_fa is divided by min(p_target, 1 - p_target): the cost of accepting all
    or of rejecting all, whichever is lower. Scalars or arrays of one shape. InputError if the prior is not in (0, 1).
    """
    check_prior(p_target)
    cost = p_target * np.asarray(misses) + (1 - p_target) * np.asarray(false_alarms)
    return cost / min(p_target, 1 - p_target)


def det_points(
    target_scores: npt.ArrayLike, nontarget_scores: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The operating points, for curves: (p_fa, p_miss, thresholds), each [distinct scores + 1], with falling thresholds.

    The first threshold is infinite and accepts nothing: (0, 1). The last accepts everything: (1, 0).

    Args:
        target_scores: [n_target] scores of same-speaker trials; higher means more similar.
        nontarget_scores: [n_nontarget] scores of different-speaker trials.

    Raises:
        InputError: a side is empty, or a score is NaN.
    """
    target, nontarget = _rising(target_scores, nontarget_scores)
    scores = np.union1d(target, nontarget)[::-1]
    false_alarms = 1 - np.searchsorted(nontarget, scores) / len(nontarget)
    misses = np.searchsorted(target, scores) / len(target)
    return np.append(0.0, false_alarms), np.append(1.0, misses), np.append(np.inf, scores)


def checked_scores(
    target_scores: npt.ArrayLike, nontarget_scores: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Both sides as flat float64 arrays. InputError if there are no targets or no non-targets, or a score is NaN."""
    target = np.asarray(target_scores, dtype=np.float64).ravel()
    nontarget = np.asarray(nontarget_scores, dtype=np.float64).ravel()
    check_kinds(len(target), len(nontarget))
    faulty = int(np.isnan(target).sum() + np.isnan(nontarget).sum())
    if faulty:
        raise InputError(
            f"{faulty} of {len(target) + len(nontarget)} scores are NaN; check the recordings and the model"
        )
    return target, nontarget


def check_kinds(targets: int, nontargets: int) -> None:
    """InputError if there are no targets or no non-targets."""
    if not targets or not nontargets:
        raise InputError(
            f"found {targets} target and {nontargets} non-target trials; error rates need at least one of each"
        )


def check_prior(p_target: float) -> None:
    """InputError if the prior probability of a target is not in (0, 1)."""
    if not 0 < p_target < 1:
        raise InputError(f"p_target is {p_target}, expected a probability between 0 and 1, both excluded")


def _rising(
    target_scores: npt.ArrayLike, nontarget_scores: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Both sides, checked, each sorted. To sort numbers is several times as fast as to sort trials by their numbers."""
    target, nontarget = checked_scores(target_scores, nontarget_scores)
    return np.sort(target), np.sort(nontarget)
