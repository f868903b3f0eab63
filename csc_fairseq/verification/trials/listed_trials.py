"""What a list from a file needs before use: checks against the speakers, and interferers if the list has none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from csc_fairseq.data.manifest import Manifest, label_path
from csc_fairseq.errors import InputError
from csc_fairseq.verification.trials.trial_list import TrialList, assign_interferers, label_numbers


@dataclass(frozen=True)
class ListedTrials:
    """A list and its file.

    path: the file. speakers: label of every recording of the manifest, None if unknown. lines: int64 [n], line of every
    trial. `trials` may have models that no trial uses; the lists that the methods return have none of these.
    """

    path: Path
    manifest: Manifest
    speakers: Sequence[str] | None
    lines: np.ndarray
    trials: TrialList

    def with_own_interferers(self, seed: int) -> TrialList:
        """The checked list with its own interferers. Recordings that it does not test get new ones, if speakers are known."""
        self._check_sides()
        interferers = self.trials.interferers
        if self.speakers is not None:
            self._check_interferers()
            tested = np.unique(self.trials.test)
            interferers = assign_interferers(self.speakers, seed)
            interferers[tested] = self.trials.interferers[tested]
        return self._kept(np.ones(len(self.lines), dtype=bool), interferers)

    def with_new_interferers(self, seed: int) -> TrialList:
        """The checked list with new interferers, without trials whose enrolled speaker interferes. Needs speakers."""
        self._check_sides()
        interferers = assign_interferers(self._numbers, seed)
        kept = (self._speakers_of(interferers)[self.trials.test] != self._enrolled[:, None]).all(axis=1)
        self._require_both_kinds(self.trials.targets[kept], int((~kept).sum()))
        return self._kept(kept, interferers)

    def _check_sides(self) -> None:
        """InputError: a recording compared with itself, labels that contradict the speakers, only one kind of trial."""
        trials, count = self.trials, len(self.manifest)
        owned = np.concatenate([np.array(own) + model * count for model, own in enumerate(trials.models)])
        self._refuse(
            np.isin(trials.enrol * count + trials.test, owned),
            lambda trial: f"{self._test(trial)} is compared with itself; remove the trial",
        )
        self._require_both_kinds(trials.targets)
        if self.speakers is not None:
            same = self._enrolled == self._numbers[trials.test]
            self._refuse(same != trials.targets, self._contradiction)

    def _contradiction(self, trial: int) -> str:
        enrolled = self.speakers[self.trials.models[self.trials.enrol[trial]][0]]
        tested = self.speakers[self.trials.test[trial]]
        found = f"one speaker, {enrolled}" if enrolled == tested else f"the speakers {enrolled} and {tested}"
        kind = "target" if self.trials.targets[trial] else "non-target"
        return f"is a {kind} trial of {found}, by {self._speaker_file}; correct the label or the names"

    def _check_interferers(self) -> None:
        """InputError if an interferer has the same speaker as the test, the model or the other interferer."""
        interfering = self._speakers_of(self.trials.interferers)[self.trials.test]
        twice = (interfering[:, 0] == interfering[:, 1]) & (interfering[:, 0] >= 0)
        own = (interfering == self._numbers[self.trials.test, None]).any(axis=1)
        remedy = f"by {self._speaker_file}; make the list again with `csc trials`"
        self._refuse(
            own | twice,
            lambda trial: f"the interferers of {self._test(trial)} are not of two other speakers, {remedy}",
        )
        self._refuse(
            (interfering == self._enrolled[:, None]).any(axis=1),
            lambda trial: f"the enrolled speaker is an interferer of {self._test(trial)}, {remedy}",
        )

    def _kept(self, kept: np.ndarray, interferers: np.ndarray) -> TrialList:
        """The trials `kept`, bool [n], and the models that they use."""
        trials = self.trials
        used, enrol = np.unique(trials.enrol[kept], return_inverse=True)
        return TrialList(
            models=tuple(trials.models[model] for model in used.tolist()),
            enrol=enrol,
            test=trials.test[kept],
            targets=trials.targets[kept],
            interferers=interferers,
            names=tuple(trials.names[model] for model in used.tolist()) if trials.names else (),
            dropped=int((~kept).sum()),
        )

    def _require_both_kinds(self, targets: np.ndarray, dropped: int = 0) -> None:
        for kind, found in (("target", targets.any()), ("non-target", not targets.all())):
            if not found:
                left = f" left, {dropped} were dropped because the enrolled speaker interferes" if dropped else ""
                raise InputError(
                    f"{self.path}: has no {kind} trials{left}; expected both kinds, error rates need both; add some"
                )

    def _refuse(self, faulty: np.ndarray, message: Callable[[int], str]) -> None:
        """InputError for the first `faulty` trial, bool [n]. It counts the others."""
        trials = np.flatnonzero(faulty).tolist()
        if trials:
            others = f" (and {len(trials) - 1} more such trials)" if len(trials) > 1 else ""
            raise InputError(f"{self.path}:{self.lines[trials[0]]}: {message(trials[0])}{others}")

    @cached_property
    def _numbers(self) -> np.ndarray:
        """Speaker of every recording, int64 [N]."""
        return label_numbers(self.speakers)

    @cached_property
    def _enrolled(self) -> np.ndarray:
        """Enrolled speaker of every trial, int64 [n]."""
        return self._numbers[[own[0] for own in self.trials.models]][self.trials.enrol]

    def _speakers_of(self, interferers: np.ndarray) -> np.ndarray:
        """Speakers of the interferers, int64 [N, 2], −1 for none."""
        return np.where(interferers < 0, -1, self._numbers[interferers])

    def _test(self, trial: int) -> str:
        return self.manifest.names[self.trials.test[trial]]

    @property
    def _speaker_file(self) -> Path:
        return label_path(self.manifest, "spk")
