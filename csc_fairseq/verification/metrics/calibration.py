"""Calibration: turns scores into log-likelihood ratios, for which the best threshold is known in advance.

It is fitted on development trials, never on the trials that are reported. Log-likelihood ratios are natural logarithms;
positive values mean that a target is more likely.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from csc_fairseq.errors import InputError
from csc_fairseq.verification.metrics.error_rates import check_prior, checked_scores, detection_cost


class CalibrationError(InputError):
    """No finite map fits the development scores best."""


@dataclass(frozen=True)
class Calibration:
    """The affine map scale * score + offset, from scores to log-likelihood ratios (nats)."""

    scale: float
    offset: float

    @classmethod
    def fit(cls, target_scores: npt.ArrayLike, nontarget_scores: npt.ArrayLike, p_target: float = 0.5) -> Self:
        """Logistic regression without penalty, with targets and non-targets weighted by a prior (Brümmer and du Preez 2006).

        Minimises p_target * mean over targets of log(1 + exp(-logit)) + (1 - p_target) * mean over non-targets of
        log(1 + exp(logit)), where logit is the log-likelihood ratio plus the log odds of the prior.

        Args:
            target_scores: [n_target] development scores of same-speaker trials; higher means more similar.
            nontarget_scores: [n_nontarget] development scores of different-speaker trials.
            p_target: prior probability of a target for which the map is optimal, in (0, 1).

        Raises:
            InputError: a side is empty, a score is NaN or infinite, or the prior is not in (0, 1).
            CalibrationError: a threshold makes no error, so the best scale is infinite.
        """
        target, nontarget = checked_scores(target_scores, nontarget_scores)
        log_odds = _log_odds(p_target)
        if target.min() >= nontarget.max() or target.max() <= nontarget.min():
            raise CalibrationError(
                f"a threshold separates the {len(target)} target and {len(nontarget)} non-target development scores "
                "without an error, so their likelihood ratios have no bound; calibrate on more or harder trials"
            )
        scores = np.concatenate([target, nontarget])
        if not np.isfinite(scores).all():
            raise InputError("a development score is infinite; check the recordings and the model")
        is_target = np.arange(len(scores)) < len(target)
        weights = np.where(is_target, p_target / len(target), (1 - p_target) / len(nontarget))
        # The solver needs centred and scaled scores: cosines may differ by a few hundredths only.
        centre, spread = scores.mean(), scores.std()
        model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10)
        model.fit(((scores - centre) / spread)[:, None], is_target, sample_weight=weights * len(scores))
        scale = float(model.coef_[0, 0] / spread)
        return cls(scale, float(model.intercept_[0] - scale * centre - log_odds))

    def llr(self, scores: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Log-likelihood ratios (nats) of scores of any shape."""
        return self.scale * np.asarray(scores, dtype=np.float64) + self.offset


def cllr(target_llrs: npt.ArrayLike, nontarget_llrs: npt.ArrayLike) -> float:
    """Cost C_llr of log-likelihood ratios (bits). Lower is better; a system that always says 0 has cost 1.

    Mean over both kinds of trial of log2(1 + exp(-llr)) and log2(1 + exp(llr)) (Brümmer and du Preez 2006).
    InputError: a side is empty, or a ratio is NaN.
    """
    target, nontarget = checked_scores(target_llrs, nontarget_llrs)
    nats = np.logaddexp(0, -target).mean() + np.logaddexp(0, nontarget).mean()
    return float(nats / (2 * np.log(2)))


def actual_dcf(target_llrs: npt.ArrayLike, nontarget_llrs: npt.ArrayLike, p_target: float) -> float:
    """Normalised detection cost (see `error_rates.detection_cost`) at the threshold of a perfectly calibrated system.

    This threshold is minus the log odds of the prior. A trial is accepted at or above it. The cost is never below
    `error_rates.min_dcf`.
    InputError: a side is empty, a ratio is NaN, or the prior is not in (0, 1).
    """
    target, nontarget = checked_scores(target_llrs, nontarget_llrs)
    threshold = -_log_odds(p_target)
    return float(detection_cost((nontarget >= threshold).mean(), (target < threshold).mean(), p_target))


def _log_odds(p_target: float) -> float:
    check_prior(p_target)
    return float(np.log(p_target) - np.log1p(-p_target))
