"""Calibration against known distributions and a direct minimisation; costs by hand."""

import numpy as np
import pytest
from scipy.optimize import minimize

from csc_fairseq.errors import InputError
from csc_fairseq.verification.metrics.calibration import Calibration, actual_dcf, cllr
from csc_fairseq.verification.metrics.error_rates import min_dcf


def cosines(targets, nontargets, seed=0, overlap=1.0):
    """Two normal distributions of one deviation: their log-likelihood ratio is 2 z / overlap², z = (score - 0.6) / 0.03."""
    rng = np.random.default_rng(seed)
    return (0.6 + 0.03 * rng.normal(mean, overlap, n) for mean, n in ((1, targets), (-1, nontargets)))


def objective(parameters, target, nontarget, p_target):
    log_odds = np.log(p_target / (1 - p_target))
    target, nontarget = (parameters[0] * side + parameters[1] + log_odds for side in (target, nontarget))
    return p_target * np.logaddexp(0, -target).mean() + (1 - p_target) * np.logaddexp(0, nontarget).mean()


@pytest.mark.parametrize("p_target", [0.01, 0.5, 0.9])
def test_finds_the_ratio_of_normal_distributions(p_target):
    target, nontarget = cosines(20_000, 50_000)
    calibration = Calibration.fit(target, nontarget, p_target)
    assert calibration.scale == pytest.approx(2 / 0.03, rel=0.05)
    np.testing.assert_allclose(calibration.llr([0.57, 0.6, 0.63]), [-2, 0, 2], atol=0.15)


@pytest.mark.parametrize("p_target", [0.01, 0.5])
def test_equals_a_direct_minimisation(p_target):
    target, nontarget = cosines(80, 700, seed=1)
    calibration = Calibration.fit(target, nontarget, p_target)
    sides = [(side - 0.6) / 0.03 for side in (target, nontarget)]
    best = minimize(
        objective, [1.0, 0.0], (*sides, p_target), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-15}
    )
    expected = best.x[0] / 0.03, best.x[1] - best.x[0] * 0.6 / 0.03
    np.testing.assert_allclose([calibration.scale, calibration.offset], expected, rtol=1e-5)


def test_does_not_depend_on_scale_shift_order_or_repetition():
    target, nontarget = cosines(50, 300, seed=2)
    llrs = Calibration.fit(target, nontarget, 0.1).llr(target)
    other = Calibration.fit(1000 * target[::-1] - 7e4, np.repeat(1000 * nontarget - 7e4, 3), 0.1)
    np.testing.assert_allclose(other.llr(1000 * target - 7e4), llrs, rtol=1e-5, atol=1e-6)


def test_makes_known_thresholds_work():
    development, test = cosines(5000, 50_000, seed=3, overlap=0.7), cosines(5000, 50_000, seed=4, overlap=0.7)
    calibration = Calibration.fit(*development, 0.05)
    target, nontarget = map(calibration.llr, test)
    for p_target in (0.01, 0.05):
        least = min_dcf(target, nontarget, p_target)
        assert least <= actual_dcf(target, nontarget, p_target) < 1.1 * least
        assert actual_dcf(target + 3, nontarget + 3, p_target) > 1.5 * least
    cost = cllr(target, nontarget)
    assert cost < cllr(target + 1, nontarget + 1) and cost < cllr(2 * target, 2 * nontarget)
    assert cost < cllr(target / 2, nontarget / 2) < 1


@pytest.mark.filterwarnings("error")  # of the solver, where it does not converge
def test_hard_cases_converge():
    rng = np.random.default_rng(0)
    target, nontarget = rng.normal(30, 1, 1000), rng.normal(0, 1, 100_000)
    nontarget[0] = 30.0  # the one error
    assert np.isfinite(Calibration.fit(target, nontarget, 0.01).scale)
    calibration = Calibration.fit([0, 2], [1, 3])
    assert calibration.scale < 0 and calibration.llr(1.5) == pytest.approx(0, abs=1e-9)


def test_cllr_by_hand():
    assert cllr([0, 0], [0]) == pytest.approx(1)
    assert cllr([np.log(3)], [0]) == pytest.approx((np.log2(4 / 3) + 1) / 2)
    assert cllr([np.log(3), 0], [-np.log(7)]) == pytest.approx(((np.log2(4 / 3) + 1) / 2 + np.log2(8 / 7)) / 2)
    assert cllr([np.inf], [-np.inf]) == 0
    assert cllr([-2000], [0]) == pytest.approx((2000 / np.log(2) + 1) / 2)


def test_actual_dcf_by_hand():
    # At p = 0.2 the threshold is log 4 = 1.386.
    assert actual_dcf([2, 1.4, 1], [1, 1.5, -1, 0], 0.2) == pytest.approx(1 / 3 + 4 * 1 / 4)
    # At p = 0.5 it is 0, and a ratio of just that is accepted on either side.
    assert actual_dcf([0, 0, -1], [0, -1], 0.5) == pytest.approx(1 / 3 + 1 / 2)
    assert actual_dcf([1], [-1], 0.5) == 0
    assert actual_dcf([-9], [9], 0.01) == pytest.approx(1 + 99)


def test_bad_input():
    with pytest.raises(InputError, match="separates the 2 target and 3 non-target development scores"):
        Calibration.fit([3, 2], [1, 0, 2])
    with pytest.raises(InputError, match="separates"):
        Calibration.fit([1, 1], [1, 1])
    with pytest.raises(InputError, match="infinite"):
        Calibration.fit([1, -np.inf], [0, 0.5])
    with pytest.raises(InputError, match="p_target is 1"):
        Calibration.fit([1, 3], [0, 2], 1)
    for measure in (Calibration.fit, cllr, lambda *sides: actual_dcf(*sides, 0.1)):
        with pytest.raises(InputError, match="0 target and 1 non-target"):
            measure([], [1])
        with pytest.raises(InputError, match="1 of 2 scores are NaN"):
            measure([np.nan], [1])
