"""Decisions: cases by hand, what each choice costs, and agreement with the evaluation's cost."""

import math

import numpy as np
import pytest

from csc_fairseq.decisions.decision import OperatingPoint
from csc_fairseq.verification.metrics.calibration import actual_dcf
from tests.making import fails


@pytest.mark.parametrize(
    ("point", "threshold"),
    [
        (OperatingPoint(), 0.0),  # even odds, equal costs
        (OperatingPoint(prior=0.01), math.log(99)),
        (OperatingPoint(prior=0.8), -math.log(4)),
        (OperatingPoint(prior=0.5, cost_miss=10), -math.log(10)),  # misses hurt: accept more
        (OperatingPoint(prior=0.25, cost_false_alarm=3), math.log(9)),
        (OperatingPoint(prior=0.25, cost_miss=3), 0.0),
    ],
)
def test_threshold_by_hand(point, threshold):
    assert point.threshold == pytest.approx(threshold, abs=1e-12)
    assert point.accepts(threshold + 1e-9) and not point.accepts(threshold - 1e-9)
    assert OperatingPoint().accepts(0.0)  # at the threshold as above it, as the evaluation counts
    assert point.identified([threshold + 1e-9]).named and not point.identified([threshold - 1e-9]).named
    assert f"threshold {threshold:+.2f}" in str(point)


def test_posterior_by_hand():
    assert OperatingPoint(0.5).posterior(math.log(3)) == pytest.approx(0.75)
    assert OperatingPoint(0.1).posterior(math.log(9)) == pytest.approx(0.5)  # odds 1/9 times 9
    assert OperatingPoint(0.5).posterior(1e6) == 1 and OperatingPoint(0.5).posterior(-1e6) < 1e-300


@pytest.mark.parametrize("prior", [0.01, 0.3, 0.5])
def test_the_evaluation_decides_in_the_same_way(prior):
    rng = np.random.default_rng(0)
    targets, others = rng.normal(2, 2, 500), rng.normal(-2, 2, 700)
    point = OperatingPoint(prior)
    misses = np.mean([not point.accepts(llr) for llr in targets])
    alarms = np.mean([point.accepts(llr) for llr in others])
    expected = (prior * misses + (1 - prior) * alarms) / min(prior, 1 - prior)
    assert actual_dcf(targets, others, prior) == pytest.approx(expected)


def test_gallery_by_hand():
    """Two voices share a prior of 0.5; their likelihood ratios are 6 and 2."""
    found = OperatingPoint(0.5).identified([math.log(6), math.log(2)])
    # odds 1 shared by two: 6 / 2 = 3, 2 / 2 = 1, nobody 1
    assert (found.best, found.named) == (0, True) and found.posterior == pytest.approx(3 / 5)
    # a wrong name costs 3 times a miss: 3 * (1 + 1) = 6 > 3 + 1, so nobody is named
    assert not OperatingPoint(0.5, cost_false_alarm=3).identified([math.log(6), math.log(2)]).named
    # 2 times: 4 = 3 + 1, as cheap; 1.99 times: named
    assert OperatingPoint(0.5, cost_false_alarm=1.99).identified([math.log(6), math.log(2)]).named


def test_a_larger_gallery_needs_more():
    """A voice with LLR 2 among N strangers: the more are enrolled, the likelier that one of them fits by chance."""
    point = OperatingPoint(0.5)
    named = [point.identified([2.0, *[-3.0] * others]).named for others in range(30)]
    assert named[0] and not named[-1] and named == sorted(named, reverse=True)


def test_the_cheapest_choice_is_taken():
    rng = np.random.default_rng(1)
    for _ in range(200):
        size = int(rng.integers(1, 6))
        llrs = rng.normal(0, 3, size)
        prior, miss, alarm = rng.uniform(0.05, 0.95), *rng.uniform(0.2, 5, 2)
        weights = np.append(np.exp(llrs) * prior / size, 1 - prior)
        posterior = weights / weights.sum()
        naming = [alarm * (1 - posterior[voice]) for voice in range(size)]
        silence = miss * (1 - posterior[-1])
        found = OperatingPoint(prior, miss, alarm).identified(llrs)
        assert found.best == int(np.argmin(naming))
        assert found.named == (min(naming) <= silence)
        assert found.posterior == pytest.approx(posterior[found.best])


def test_extreme_ratios_stay_finite():
    for llrs in ([900.0, -900.0], [-900.0, -901.0], [0.0]):
        found = OperatingPoint(0.5).identified(llrs)
        assert found.best == 0 and np.isfinite(found.posterior) and found.named == (llrs[0] >= 0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prior": 0.0}, "--prior 0: expected a probability between 0 and 1, both excluded"),
        ({"prior": 1.0}, "--prior 1: expected"),
        ({"prior": math.nan}, "--prior nan: expected"),
        ({"cost_miss": 0.0}, "--cost-miss 0: expected a number above 0"),
        ({"cost_false_alarm": -2.0}, "--cost-false-alarm -2: expected"),
        ({"cost_false_alarm": math.inf}, "--cost-false-alarm inf: expected"),
    ],
)
def test_impossible_values(values, message):
    assert fails(lambda: OperatingPoint(**values)).startswith(message)


def test_a_voice_is_one_talker_of_a_recording():
    """Both are most like voice 0. The first is more so, the second is like nobody else, or also like voice 1."""
    point, three = OperatingPoint(0.5), [[4.0, -5.0], [3.0, -5.0], [-5.0, -5.0]]
    alone = [point.identified(llrs) for llrs in three]
    assert [(one.best, one.named) for one in alone] == [(0, True), (0, True), (0, False)]
    assert [one.named for one in point.identified_apart(three)] == [True, False, False]
    found = point.identified_apart([[4.0, -5.0], [3.0, 2.5]])
    assert [(one.best, one.named) for one in found] == [(0, True), (1, True)]
    # Together the other way round is more probable, 3.5 + 3 against 4 + -5.
    found = point.identified_apart([[4.0, 3.5], [3.0, -5.0]])
    assert [(one.best, one.named) for one in found] == [(1, True), (0, True)]
    # Voice 0 is taken: odds of voice 1 are exp(2.5) / 2.
    odds = math.exp(2.5) / 2
    assert point.identified_apart([[9.0, -5.0], [3.0, 2.5]])[1].posterior == pytest.approx(odds / (1 + odds))
    for llrs in ([1.0, 2.0], [-1.0, 0.1]):  # a single talker
        assert point.identified_apart([llrs]) == [point.identified(llrs)]
