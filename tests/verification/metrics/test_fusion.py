"""Fusion against known distributions and a direct minimisation; who weighs how much; what has no weights."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from csc_fairseq.errors import InputError
from csc_fairseq.verification.metrics.calibration import CalibrationError
from csc_fairseq.verification.metrics.error_rates import eer
from csc_fairseq.verification.metrics.fusion import Fusion

COVARIANCE = np.array([[1.0, 0.3], [0.3, 0.5]])
MEANS = np.array([[-0.4, 0.2], [0.8, 0.9]])  # of non-targets and of targets


def trials(targets, nontargets, seed=0):
    """Two normal distributions of one covariance: their log-likelihood ratio is linear in the two scores."""
    rng = np.random.default_rng(seed)
    kinds = np.arange(targets + nontargets) < targets
    return rng.multivariate_normal(np.zeros(2), COVARIANCE, len(kinds)) + MEANS[kinds.astype(int)], kinds


def test_finds_the_ratio_of_normal_distributions():
    fusion = Fusion.fit([trials(40_000, 100_000)])
    expected = np.linalg.solve(COVARIANCE, MEANS[1] - MEANS[0])
    np.testing.assert_allclose(fusion.weights, expected, rtol=0.05)
    assert fusion.offset == pytest.approx(-expected @ MEANS.mean(axis=0), abs=0.05)
    scores, kinds = trials(4000, 4000, seed=1)
    found = fusion.llr(scores)
    distance = np.sqrt((MEANS[1] - MEANS[0]) @ expected)  # of the two means, in standard deviations
    assert eer(found[kinds], found[~kinds]) == pytest.approx(norm.cdf(-distance / 2), abs=0.015)


def test_equals_a_direct_minimisation():
    """Each condition weighs a half, and in each both kinds weigh a half of that, however many trials there are."""
    conditions = [trials(60, 500, seed=2), trials(200, 90, seed=3)]

    def objective(parameters):
        total = 0.0
        for scores, kinds in conditions:
            logits = scores @ parameters[:2] + parameters[2]
            total += np.logaddexp(0, -logits[kinds]).mean() + np.logaddexp(0, logits[~kinds]).mean()
        return total

    best = minimize(
        objective, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-14, "maxiter": 5000}
    )
    fusion = Fusion.fit(conditions)
    np.testing.assert_allclose([*fusion.weights, fusion.offset], best.x, rtol=1e-5)


def test_does_not_depend_on_scales_shifts_order_or_repetition():
    first, second = trials(50, 300, seed=4), trials(30, 80, seed=5)
    llrs = Fusion.fit([first, second]).llr(first[0])
    scale, shift = np.array([1000.0, 0.01]), np.array([-7e4, 3.0])
    repeated = [
        (np.repeat(scores, 3, axis=0)[::-1] * scale + shift, np.repeat(kinds, 3)[::-1])
        for scores, kinds in (second, first)
    ]
    np.testing.assert_allclose(Fusion.fit([*repeated]).llr(first[0] * scale + shift), llrs, rtol=1e-5, atol=1e-6)


def test_weights_are_those_of_the_sum():
    fusion = Fusion((2.0, -3.0), 0.5)
    np.testing.assert_allclose(fusion.llr([[1.0, 1.0], [0.5, 0.0]]), [-0.5, 1.5])
    assert fusion.llr(np.array([np.nan, 1.0])) != fusion.llr(np.array([np.nan, 1.0]))


def test_sums_without_bounds_or_with_many_weights():
    scores, kinds = trials(20, 40)
    apart = scores + np.where(kinds[:, None], 10.0, 0.0) * [1, -1]  # only the difference of both separates
    with pytest.raises(CalibrationError, match="a sum separates the 20 target and 40 non-target development trials"):
        Fusion.fit([(apart, kinds)])
    for second in (2 * scores[:, 0] - 3, np.full(60, 0.5)):
        with pytest.raises(
            CalibrationError, match="one of the development scores is constant, or follows from the others"
        ):
            Fusion.fit([(np.stack([scores[:, 0], second], axis=1), kinds)])


def test_faulty_trials():
    scores, kinds = trials(20, 40)
    for conditions in ([], [(scores, kinds), (scores, np.ones(60, bool))], [(scores, np.zeros(60, bool))]):
        with pytest.raises(InputError, match="development trials lack targets or non-targets"):
            Fusion.fit(conditions)
    scores[3, 1] = np.nan
    with pytest.raises(InputError, match="a development score is NaN or infinite"):
        Fusion.fit([(scores, kinds)])
