"""Bayes decisions: from log-likelihood ratios to "the same voice" or not, at a stated prior and costs.

A log-likelihood ratio (LLR, natural logarithm) says how much more likely the score is if the voices are the same than if they
are not. It knows neither how often they are the same, which is the prior, nor what an error costs.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from csc_fairseq.errors import InputError


@dataclass(frozen=True)
class OperatingPoint:
    """How often targets come, and what errors cost. InputError, naming the options of `csc`, for impossible values.

    prior: probability that the voices are the same before anything is heard, in (0, 1); of a gallery, that the talker is one of
    its voices. cost_miss: of rejecting the same voice. cost_false_alarm: of accepting another one. Only the ratio of the costs
    counts.
    """

    prior: float = 0.5
    cost_miss: float = 1.0
    cost_false_alarm: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.prior < 1:
            raise InputError(f"--prior {self.prior:g}: expected a probability between 0 and 1, both excluded")
        for option, cost in (("--cost-miss", self.cost_miss), ("--cost-false-alarm", self.cost_false_alarm)):
            if not 0 < cost < math.inf:
                raise InputError(f"{option} {cost:g}: expected a number above 0")

    @property
    def threshold(self) -> float:
        """The LLR (nats) at and above which accepting costs least: log(C_fa (1 - P) / (C_miss P))."""
        return math.log(self.cost_false_alarm / self.cost_miss) - self._log_odds

    def accepts(self, llr: float) -> bool:
        """Whether to decide for the same voice. llr: nats."""
        return llr >= self.threshold

    def posterior(self, llr: float) -> float:
        """Probability that the voices are the same, from their LLR (nats)."""
        return float(1 / (1 + np.exp(-np.clip(llr + self._log_odds, -700, 700))))

    def identified(self, llrs: npt.ArrayLike) -> "Identification":
        """Who of a gallery talks, or nobody of it, from the LLRs (nats) of its N voices, [N], N >= 1.

        The prior is shared evenly by the voices. To name a voice costs C_fa unless it is the right one; to name none costs
        C_miss where the talker is in the gallery. What costs less is decided (our choice). Of one voice that is `accepts`.
        """
        ratios = np.asarray(llrs, dtype=np.float64)
        weights = ratios + self._log_odds - math.log(len(ratios))  # against "none of them", whose weight is 0
        highest = max(float(weights.max()), 0.0)
        shares = np.exp(weights - highest)
        absent = math.exp(-highest)
        best = int(ratios.argmax())
        wrong = absent + float(shares.sum() - shares[best])
        named = self.cost_false_alarm * wrong <= self.cost_miss * float(shares.sum())
        return Identification(best, named, float(shares[best] / (absent + shares.sum())))

    def identified_apart(self, llrs: npt.ArrayLike) -> list["Identification"]:
        """The same for all T talkers of a recording, who are different people, so that a voice is at most one of them; [T, N].

        Voices are shared out so that all together are most probable (our choice), and `identified` decides of each talker between
        the voices that no other one has. Who was taken for two talkers is named once. posterior: given what the others have.
        """
        from scipy.optimize import linear_sum_assignment  # takes a second

        ratios = np.asarray(llrs, dtype=np.float64)
        talkers, voices = ratios.shape
        weights = np.clip(ratios + self._log_odds - math.log(voices), -700, 700)
        # One more column for each talker: nobody of the gallery, whose weight is 0.
        rows, columns = linear_sum_assignment(np.hstack([weights, np.zeros((talkers, talkers))]), maximize=True)
        open_to = np.ones_like(ratios, dtype=bool)
        for row, column in zip(rows, columns, strict=True):
            if column < voices:
                open_to[np.arange(talkers) != row, column] = False
        return [self.identified(np.where(free, own, -np.inf)) for own, free in zip(ratios, open_to, strict=True)]

    def __str__(self) -> str:
        return (
            f"prior {self.prior:g}, a miss costs {self.cost_miss:g}, a false alarm {self.cost_false_alarm:g}: "
            f"threshold {self.threshold:+z.2f}"
        )

    @property
    def _log_odds(self) -> float:
        return math.log(self.prior) - math.log1p(-self.prior)


class Identification(NamedTuple):
    """best: the most likely voice. named: whether it is the decision; otherwise that is "unknown". posterior: its probability."""

    best: int
    named: bool
    posterior: float
