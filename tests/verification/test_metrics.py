"""EER by hand, against scikit-learn, with ties; the speaker bootstrap against an explicit one."""

import time

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from csc_fairseq.errors import InputError
from csc_fairseq.verification import metrics
from csc_fairseq.verification.metrics import bootstrap_eer, eer


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
def test_hand_computed(targets, nontargets, expected):
    assert eer(targets, nontargets) == pytest.approx(expected, abs=1e-12)


def sklearn_eer(targets, nontargets):
    """Crossing of the interpolated ROC curve with P_miss = P_fa, found by bisection."""
    labels = np.r_[np.ones(len(targets)), np.zeros(len(nontargets))]
    false_alarms, hits, _ = roc_curve(labels, np.r_[targets, nontargets], drop_intermediate=False)
    # The curve as a function of its arc parameter: P_fa has jumps as a function of itself, not of that.
    position = np.arange(len(hits))
    low, high = 0.0, len(hits) - 1.0
    for _ in range(80):
        middle = (low + high) / 2
        above = np.interp(middle, position, false_alarms) > 1 - np.interp(middle, position, hits)
        low, high = (low, middle) if above else (middle, high)
    return np.interp(low, position, false_alarms)


@pytest.mark.parametrize("decimals", [8, 1, 0])  # 1 and 0: many ties
@pytest.mark.parametrize("shift", [0.0, 0.7, 3.0, -1.0])
def test_agrees_with_sklearn(decimals, shift):
    rng = np.random.default_rng(3)
    targets, nontargets = (rng.normal(m, 1, n).round(decimals) for m, n in ((shift, 137), (0, 911)))
    assert eer(targets, nontargets) == pytest.approx(sklearn_eer(targets, nontargets), abs=1e-9)


def test_depends_on_the_order_of_scores_only():
    rng = np.random.default_rng(0)
    targets, nontargets = rng.normal(1, 1, 200), rng.normal(0, 1, 300)
    rate = eer(targets, nontargets)
    assert eer(np.exp(targets)[::-1], np.exp(nontargets)) == pytest.approx(rate, abs=1e-12)
    assert eer(-targets, -nontargets) == pytest.approx(1 - rate, abs=1e-12)


def test_bad_scores():
    with pytest.raises(InputError, match="0 target and 2 non-target"):
        eer([], [1, 2])
    with pytest.raises(InputError, match="1 of 3 scores are NaN"):
        eer([1, np.nan], [0])


def make_trials(speakers=7, utterances=3, seed=0):
    """Scores of all ordered pairs: cosine-like, with speakers that differ in difficulty."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(speakers), utterances)
    spread = rng.uniform(0.3, 2, speakers)[labels]
    vectors = rng.normal(size=(speakers, 4))[labels] + spread[:, None] * rng.normal(size=(len(labels), 4))
    enrol, test = np.nonzero(~np.eye(len(labels), dtype=bool))
    scores = np.einsum("ij,ij->i", vectors[enrol], vectors[test])
    return scores, labels[enrol] == labels[test], labels[enrol], labels[test]


def test_bootstrap_equals_an_explicit_one():
    """Every drawn copy of a speaker becomes a speaker of its own, and the trials are written out one by one."""
    scores, targets, enrol, test = make_trials()
    rng = np.random.default_rng(11)
    rates = []
    for copies in rng.multinomial(7, np.full(7, 1 / 7), size=200):
        resampled_targets, resampled_nontargets = [], []
        for score, target, one, other in zip(scores, targets, enrol, test, strict=True):
            if target:
                resampled_targets += [score] * copies[one]
            else:
                resampled_nontargets += [score] * (copies[one] * copies[other])
        rates.append(eer(resampled_targets, resampled_nontargets))
    expected = np.percentile(rates, [2.5, 97.5])
    assert expected[1] - expected[0] > 0.05
    interval = bootstrap_eer(scores, targets, enrol, test, replicates=200, seed=11)
    np.testing.assert_allclose(interval, expected, atol=1e-12)


def test_bootstrap_does_not_depend_on_blocks_order_or_names(monkeypatch):
    scores, targets, enrol, test = make_trials(seed=1)
    whole = bootstrap_eer(scores, targets, enrol, test, replicates=50)
    monkeypatch.setattr(metrics, "CELLS_PER_BLOCK", 3 * len(scores))
    assert bootstrap_eer(scores, targets, enrol, test, replicates=50) == whole
    order = np.random.default_rng(2).permutation(len(scores))
    names = np.array([f"speaker {i}" for i in range(7)])
    shuffled = bootstrap_eer(scores[order], targets[order], names[enrol[order]], names[test[order]], replicates=50)
    np.testing.assert_allclose(shuffled, whole, atol=1e-12)


def test_bootstrap_interval_covers_and_narrows():
    few, many = make_trials(8, 4, seed=5), make_trials(60, 4, seed=5)
    widths = []
    for scores, targets, enrol, test in (few, many):
        low, high = bootstrap_eer(scores, targets, enrol, test, replicates=300)
        assert low < eer(scores[targets], scores[~targets]) < high
        widths.append(high - low)
    assert widths[1] < 0.7 * widths[0]


def test_bootstrap_is_fast():
    trials = make_trials(30, 8)
    half = [column[::2] for column in trials]  # 28 680 trials
    start = time.perf_counter()
    bootstrap_eer(*half, replicates=1000)
    assert time.perf_counter() - start < 20  # 2 s on one core; the explicit loop takes minutes


def test_bootstrap_bad_input():
    scores, targets, enrol, test = make_trials()
    with pytest.raises(InputError, match=r"lengths \[10, 420, 420, 420\]"):
        bootstrap_eer(scores[:10], targets, enrol, test)
    with pytest.raises(InputError, match="1 trials are marked"):
        bootstrap_eer(scores, np.r_[~targets[:1], targets[1:]], enrol, test)
