"""EER and minimum DCF by hand, against scikit-learn's curve, with ties; the operating points; time and memory."""

import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from csc_fairseq.errors import InputError
from csc_fairseq.verification.metrics.error_rates import det_points, detection_cost, eer, min_dcf


@pytest.mark.parametrize(
    ("targets", "nontargets", "expected"),
    [
        ([3, 2], [1, 0], 0.0),
        ([1, 0], [3, 2], 1.0),
        ([4, 2], [3, 1], 0.5),
        # One of three targets lies below both non-targets: P_miss stays 1/3 while P_fa goes from 0 to 1/2.
        ([5, 4, 1], [3, 2], 1 / 3),
        # Falling threshold: (miss, fa) = (2/3, 0), (1/3, 1/4), (1/3, 1/2): fa reaches 1/3 a third of the way.
        ([9, 7, 1], [8, 6, 5, 4], 1 / 3),
        # A tie of everything is one step from (1, 0) to (0, 1).
        ([1], [1], 0.5),
        ([2, 2, 2], [2, 2], 0.5),
        # (1, 0), then target 3 (1/2, 0), then the tie of target 2 and non-target 2 at (0, 1/2): crossing in the middle.
        ([3, 2], [2, 1], 0.25),
    ],
)
def test_eer_by_hand(targets, nontargets, expected):
    assert eer(targets, nontargets) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("targets", "nontargets", "p_target", "expected"),
    [
        ([3, 2], [1, 0], 0.01, 0.0),
        # Rejecting all costs p / p; any other threshold accepts a non-target: 0.99 / 2 / 0.01 at least.
        ([1, 0], [3, 2], 0.01, 1.0),
        # For p > 1/2 the cost is over 1 - p, and accepting all costs 1.
        ([1, 0], [3, 2], 0.9, 1.0),
        # Threshold 9: P_miss 2/3, P_fa 0. Threshold 7: 1/3 and 1/4. Threshold 1: 0 and 1.
        ([9, 7, 1], [8, 6, 5, 4], 0.01, 2 / 3),
        ([9, 7, 1], [8, 6, 5, 4], 0.5, 1 / 3 + 1 / 4),
        ([9, 7, 1], [8, 6, 5, 4], 0.2, 2 / 3),  # against 1/3 + 4 * 1/4
        ([9, 7, 1], [8, 6, 5, 4], 0.3, 2 / 3),  # against 1/3 + (7/3) / 4 = 0.917
        # The tie accepts its non-target with its target: P_miss 1/2, P_fa 0 above it, 0 and 1/2 at it.
        ([3, 2], [2, 1], 0.25, 0.5),  # against 3 * 1/2
        ([3, 2], [2, 1], 0.8, 0.5),  # against 4 * 1/2 above it
    ],
)
def test_min_dcf_by_hand(targets, nontargets, p_target, expected):
    assert min_dcf(targets, nontargets, p_target) == pytest.approx(expected, abs=1e-12)


def sklearn_curve(targets, nontargets):
    """(P_fa, P_miss) of every operating point."""
    labels = np.r_[np.ones(len(targets)), np.zeros(len(nontargets))]
    false_alarms, hits, thresholds = roc_curve(labels, np.r_[targets, nontargets], drop_intermediate=False)
    return false_alarms, 1 - hits, thresholds


def sklearn_eer(targets, nontargets):
    """Crossing of the interpolated ROC curve with P_miss = P_fa, found by bisection."""
    false_alarms, misses, _ = sklearn_curve(targets, nontargets)
    # P_miss as a function of P_fa has jumps. As functions of the position on the curve, both are continuous.
    position = np.arange(len(misses))
    low, high = 0.0, len(misses) - 1.0
    for _ in range(80):
        middle = (low + high) / 2
        above = np.interp(middle, position, false_alarms) > np.interp(middle, position, misses)
        low, high = (low, middle) if above else (middle, high)
    return np.interp(low, position, false_alarms)


@pytest.mark.parametrize("decimals", [8, 1, 0])  # 1 and 0: many ties
@pytest.mark.parametrize("shift", [0.0, 0.7, 3.0, -1.0])
@pytest.mark.parametrize("sizes", [(137, 911), (911, 137), (1, 30)])
def test_agrees_with_sklearn(decimals, shift, sizes):
    rng = np.random.default_rng(3)
    targets, nontargets = (rng.normal(m, 1, n).round(decimals) for m, n in zip((shift, 0), sizes, strict=True))
    assert eer(targets, nontargets) == pytest.approx(sklearn_eer(targets, nontargets), abs=1e-9)
    curve = sklearn_curve(targets, nontargets)
    for p_target in (0.01, 0.05, 0.5, 0.9):
        lowest = (p_target * curve[1] + (1 - p_target) * curve[0]).min() / min(p_target, 1 - p_target)
        assert min_dcf(targets, nontargets, p_target) == pytest.approx(lowest, abs=1e-9)
    for ours, theirs in zip(det_points(targets, nontargets), curve, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_operating_points_by_hand():
    false_alarms, misses, thresholds = det_points([3, 2, 2], [2, 1, 1, 0])
    np.testing.assert_allclose(thresholds, [np.inf, 3, 2, 1, 0])
    np.testing.assert_allclose(false_alarms, [0, 0, 1 / 4, 3 / 4, 1])
    np.testing.assert_allclose(misses, [1, 2 / 3, 0, 0, 0])


def test_depends_on_the_order_of_scores_only():
    rng = np.random.default_rng(0)
    targets, nontargets = rng.normal(1, 1, 200), rng.normal(0, 1, 300)
    rate, cost = eer(targets, nontargets), min_dcf(targets, nontargets, 0.05)
    assert eer(np.exp(targets)[::-1], np.exp(nontargets)) == pytest.approx(rate, abs=1e-12)
    assert min_dcf(np.exp(targets)[::-1], np.exp(nontargets), 0.05) == pytest.approx(cost, abs=1e-12)
    assert eer(-targets, -nontargets) == pytest.approx(1 - rate, abs=1e-12)
    # Targets and non-targets exchanged, in falling order, are the same problem with the other prior.
    assert min_dcf(-nontargets, -targets, 0.95) == pytest.approx(cost, abs=1e-12)


def test_scores_are_left_as_they_are():
    targets, nontargets = np.array([3.0, 1.0, 2.0]), np.array([2.0, 0.0])
    for measure in (eer, det_points, lambda *sides: min_dcf(*sides, 0.1)):
        measure(targets, nontargets)
    assert targets.tolist() == [3, 1, 2] and nontargets.tolist() == [2, 0]


@pytest.mark.parametrize("measure", [eer, det_points, lambda *sides: min_dcf(*sides, 0.1)])
def test_bad_scores(measure):
    with pytest.raises(InputError, match="0 target and 2 non-target"):
        measure([], [1, 2])
    with pytest.raises(InputError, match="1 of 3 scores are NaN"):
        measure([1, np.nan], [0])


@pytest.mark.parametrize("p_target", [0, 1, -0.1, np.nan])
def test_bad_prior(p_target):
    with pytest.raises(InputError, match=f"p_target is {p_target}"):
        min_dcf([1], [0], p_target)
    with pytest.raises(InputError, match=f"p_target is {p_target}"):
        detection_cost(0.1, 0.1, p_target)


def test_is_small():
    """A tenth of ten million trials in less than a tenth of 2 GB; for the time see benchmarks/metrics.py."""
    rng = np.random.default_rng(0)
    targets, nontargets = rng.normal(2, 1, 500_000), rng.normal(0, 1, 500_000)
    tracemalloc.start()
    eer(targets, nontargets)
    min_dcf(targets, nontargets, 0.01)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.2e9  # the two sides alone are 8 MB
