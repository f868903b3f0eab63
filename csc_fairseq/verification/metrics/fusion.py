"""Fusion: a weighted sum of several scores of each trial that is a log-likelihood ratio (nats).

The weights are fitted on development trials, never on the trials that are reported.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from csc_fairseq.errors import InputError
from csc_fairseq.verification.metrics.calibration import CalibrationError

SAME = 1e-9  # smallest variance along any direction of standardised scores with which weights can be told apart


@dataclass(frozen=True)
class Fusion:
    """The map sum over s of weights[s] * score[s], plus offset, from S scores to a log-likelihood ratio (nats)."""

    weights: tuple[float, ...]
    offset: float

    @classmethod
    def fit(cls, conditions: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]]) -> Self:
        """Logistic regression without penalty on the trials of all conditions (Brümmer and others 2007, "Fusion of
        heterogeneous speaker recognition systems").

        Each condition weighs the same, and within each its targets as much as its non-targets, however many there are.

        Args:
            conditions: for each (scores [n, S], higher means more similar; targets, bool [n]).

        Raises:
            InputError: a condition without targets or without non-targets, or a score that is NaN or infinite.
            CalibrationError: a sum makes no error, so the best weights are infinite; or one score follows from the others.
        """
        pairs = [(np.asarray(scores, np.float64), np.asarray(targets, bool)) for scores, targets in conditions]
        if not pairs or any(targets.all() or not targets.any() for _, targets in pairs):
            raise InputError("development trials lack targets or non-targets; add speakers with several recordings")
        scores, is_target = (np.concatenate(side) for side in zip(*pairs, strict=True))
        if not np.isfinite(scores).all():
            raise InputError("a development score is NaN or infinite; check the recordings and the models")
        trial_weights = np.concatenate([np.where(kind, 0.5 / kind.sum(), 0.5 / (~kind).sum()) for _, kind in pairs])
        # The solver needs centred and scaled scores, as in `Calibration`.
        centre, spread = scores.mean(axis=0), scores.std(axis=0)
        scaled = (scores - centre) / np.where(spread > 0, spread, 1)
        if np.linalg.eigvalsh(scaled.T @ scaled / len(scaled))[0] < SAME:
            raise CalibrationError(
                "one of the development scores is constant, or follows from the others, so that their weights cannot be told "
                "apart; sum encoders that differ"
            )
        model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # where there is no best sum, which is found out below
            model.fit(scaled, is_target, sample_weight=trial_weights * len(scaled) / len(pairs))
        found = model.decision_function(scaled)
        if found[is_target].min() > found[~is_target].max():
            raise CalibrationError(
                f"a sum separates the {int(is_target.sum())} target and {int((~is_target).sum())} non-target development "
                "trials without an error, so its weights have no bound; take more speakers or harder conditions"
            )
        weights = model.coef_[0] / spread
        return cls(tuple(float(weight) for weight in weights), float(model.intercept_[0] - weights @ centre))

    def llr(self, scores: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Log-likelihood ratios (nats), [...], of scores [..., S]."""
        return np.asarray(scores, dtype=np.float64) @ np.array(self.weights) + self.offset
