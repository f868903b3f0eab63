"""Calibration: scores turned into log-likelihood ratios that a threshold known beforehand can be put to.

Fitted on development trials, never on those that are reported. Log-likelihood ratios are natural logarithms; positive
ones speak for a target.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from csc_fairseq.errors import InputError
from csc_fairseq.verification.metrics import check_prior, checked_scores, detection_cost


class CalibrationError(InputError):
    """Development scores to which no finite map fits best."""


@dataclass(frozen=True)
class Calibration:
    """The affine map scale * score + offset, from scores to log-likelihood ratios (nats)."""

    scale: float
    offset: float

    @classmethod
    def fit(cls, target_scores: npt.ArrayLike, nontarget_scores: npt.ArrayLike, p_target: float = 0.5) -> Self:
        """Logistic regression without penalty, its two kinds of trial weighted to a prior (Brümmer and du Preez 2006).

        Minimises p_target * mean over targets of log(1 + exp(-logit)) + (1 - p_target) * mean over non-targets of
        log(1 + exp(logit)), where logit is the log-likelihood ratio plus the log odds of the prior.

        Args:
            target_scores: [n_target] development scores of same-speaker trials; higher means more alike.
            nontarget_scores: [n_nontarget] development scores of different-speaker trials.
            p_target: prior probability of a target at which the map shall be best, in (0, 1).

        Raises:
            InputError: a side is empty, a score is NaN or infinite, or the prior is not in (0, 1).
            CalibrationError: some threshold does not err, so that the best scale is infinite.
        """
        target, nontarget = checked_scores(target_scores, nontarget_scores)
        log_odds = _log_odds(p_target)
        if target.min() >= nontarget.max() or target.max() <= nontarget.min():
            raise CalibrationError(
                f"a threshold tells the {len(target)} target and {len(nontarget)} non-target development scores apart "
                "without an error, so their likelihood ratios have no bound; calibrate on more or harder trials"
            )
        scores = np.concatenate([target, nontarget])
        if not np.isfinite(scores).all():
            raise InputError("a development score is infinite; check the recordings and the model")
        is_target = np.arange(len(scores)) < len(target)
        weights = np.where(is_target, p_target / len(target), (1 - p_target) / len(nontarget))
        # Scores are centred and scaled, for the solver's sake: cosines lie within a few hundredths of each other.
        centre, spread = scores.mean(), scores.std()
        model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10)
        model.fit(((scores - centre) / spread)[:, None], is_target, sample_weight=weights * len(scores))
        scale = float(model.coef_[0, 0] / spread)
        return cls(scale, float(model.intercept_[0] - scale * centre - log_odds))

    def llr(self, scores: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Log-likelihood ratios (nats) of scores of any shape."""
        return self.scale * np.asarray(scores, dtype=np.float64) + self.offset


def cllr(target_llrs: npt.ArrayLike, nontarget_llrs: npt.ArrayLike) -> float:
    """Cost C_llr of log-likelihood ratios (bits); lower is better, 1 is what a system costs that always says 0.

    Mean over both kinds of trial of log2(1 + exp(-llr)) and log2(1 + exp(llr)) (Brümmer and du Preez 2006).
    InputError: a side is empty, or a ratio is NaN.
    """
    target, nontarget = checked_scores(target_llrs, nontarget_llrs)
    nats = np.logaddexp(0, -target).mean() + np.logaddexp(0, nontarget).mean()
    return float(nats / (2 * np.log(2)))


def actual_dcf(target_llrs: npt.ArrayLike, nontarget_llrs: npt.ArrayLike, p_target: float) -> float:
    """Normalised detection cost (see `metrics.detection_cost`) at the threshold of a perfectly calibrated system.

    That is minus the log odds of the prior; a trial is accepted at or above it. At least `metrics.min_dcf`.
    InputError: a side is empty, a ratio is NaN, or the prior is not in (0, 1).
    """
    target, nontarget = checked_scores(target_llrs, nontarget_llrs)
    threshold = -_log_odds(p_target)
    return float(detection_cost((nontarget >= threshold).mean(), (target < threshold).mean(), p_target))


def _log_odds(p_target: float) -> float:
    check_prior(p_target)
    return float(np.log(p_target) - np.log1p(-p_target))
