"""What test and enrolment recordings are rendered from, in an evaluation and in validation during training."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from csc_fairseq.data.augment import NoiseBank, RirBank
from csc_fairseq.data.mixing_plans import MixingPlan
from csc_fairseq.data.pool import RecordingPool
from csc_fairseq.data.rendering import Mixture, render
from csc_fairseq.verification.trials.condition_plans import plan
from csc_fairseq.verification.trials.conditions import Condition


@dataclass(frozen=True)
class Material:
    """Everything that recordings under a condition are rendered from.

    pool: the recordings of the manifest, at the encoder's rate. interferers: int64 [N, 2] (`TrialList.interferers`).
    noises: banks by kind. rirs: room responses, None for none. longest: recordings are cut to this number of samples.
    seed: seed of crops, noises and rooms.
    """

    pool: RecordingPool
    interferers: np.ndarray
    noises: Mapping[str, NoiseBank]
    rirs: RirBank | None
    longest: int
    seed: int

    def plan(self, condition: Condition, recording: int, side: str) -> MixingPlan:
        """The plan of one recording under a condition. side: "test" or "enrolment"."""
        return plan(
            condition,
            self.pool,
            recording,
            self.interferers[recording],
            self.seed,
            side,
            self.longest,
            self.noises,
            self.rirs,
        )

    def render(self, condition: Condition, recording: int, side: str) -> Mixture:
        """The audio of the plan. InputError, naming the file, if a file cannot be read."""
        noise = self.noises.get(condition.noise) if condition.noise else None
        return render(self.plan(condition, recording, side), self.pool, noise, self.rirs)
