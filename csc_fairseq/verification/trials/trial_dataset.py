"""Verification trials as batches, for error rates during training: unseen speakers, clean and with another talker."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from fairseq.data import FairseqDataset

from csc_fairseq.data.manifest import Manifest, read_labels
from csc_fairseq.errors import InputError
from csc_fairseq.verification.trials.conditions import CLEAN, Condition
from csc_fairseq.verification.trials.drawing import TrialOptions, labelled_trials
from csc_fairseq.verification.trials.material import Material
from csc_fairseq.verification.trials.trial_list import TrialList

FEWEST_TRIALS = 20  # targets, and as many non-targets, for an error rate
LEAST_SPEAKERS = 3  # one is enrolled, another is tested, a third talks over the test

VALIDATION_CONDITIONS: dict[str, Callable[[float], Condition]] = {
    "clean": lambda sir_db: CLEAN,
    "talker": lambda sir_db: Condition(f"talker {sir_db:g} dB", talkers=1, sir_db=sir_db),
}
"""Conditions of validation during training: by the name under which error rates are logged, the condition at an SIR in dB. Batches
number them in this order."""


def draw_trials(manifest: Manifest, count: int, seed: int) -> TrialList:
    """At most `count` trials of a labelled manifest. Half of them are targets, if there are enough, drawn evenly over speakers.

    If a .session file gives some speaker several sessions, target trials are across sessions. Keyed by seed
    (`build_trials`). InputError: fewer than LEAST_SPEAKERS speakers, or fewer than FEWEST_TRIALS trials of either kind.
    """
    found = len(set(read_labels(manifest, "spk")))
    if found < LEAST_SPEAKERS:
        raise InputError(
            f"{manifest.path}: has {found} speakers, expected at least {LEAST_SPEAKERS} for trials under another talker; "
            "add speakers"
        )
    trials = labelled_trials(manifest, seed, TrialOptions(sample=count, even_targets=True))
    targets = int(trials.targets.sum())
    if min(targets, len(trials.targets) - targets) < FEWEST_TRIALS:
        raise InputError(
            f"{manifest.path}: makes {targets} target and {len(trials.targets) - targets} non-target trials, expected "
            f"{FEWEST_TRIALS} of each for an error rate; add recordings, or raise task.valid_trials ({count})"
        )
    return trials


class TrialItem(NamedTuple):
    """One tested recording under one condition, with its trials.

    index: number of the item. condition: number of the condition. waveform: float32 [T], the recording as heard under the
    condition. enrol: int64 [k], enrolment recordings that it is compared with. targets: bool [k], True for the same
    speaker.
    """

    index: int  # type: ignore[assignment]  # tuples have a method of this name
    condition: int
    waveform: np.ndarray
    enrol: np.ndarray
    targets: np.ndarray


class TrialDataset(FairseqDataset):
    """Items are (test recording, condition). The trials are the same for every condition and in every epoch.

    Items of one recording are neighbours, so that its conditions share its enrolments in a batch. Enrolments are clean in
    every condition. Recordings are cut to their first `material.longest` samples.
    InputError, naming the recording: a condition needs another talker over a test recording, and there is no other speaker.
    """

    def __init__(self, material: Material, trials: TrialList, conditions: Sequence[Condition]) -> None:
        self.material = material
        self.conditions = tuple(conditions)
        order = np.argsort(trials.test, kind="stable")
        self.tests, first = np.unique(trials.test[order], return_index=True)
        enrol = np.array([recordings[0] for recordings in trials.models], dtype=np.int64)[trials.enrol]
        self._enrol = np.split(enrol[order], first[1:])
        self._targets = np.split(trials.targets[order], first[1:])
        self.sizes = np.minimum(material.pool.frames[self.tests], material.longest).repeat(len(self.conditions))
        for condition in self.conditions:
            for recording in self.tests.tolist():
                material.plan(condition, recording, "test")

    def __len__(self) -> int:
        return len(self.tests) * len(self.conditions)

    def __getitem__(self, index: int) -> TrialItem:
        """One item. RecordingError, naming the file, if a recording cannot be read or is silent."""
        place, condition = divmod(int(index), len(self.conditions))
        mixture = self.material.render(self.conditions[condition], int(self.tests[place]), "test")
        return TrialItem(int(index), condition, mixture.samples, self._enrol[place], self._targets[place])

    def collater(self, samples: Sequence[TrialItem]) -> dict:
        """A batch of R items with n trials in all, and their M different enrolments, which are read here; {} for no items.

        id: long [R]. enrol: source float32 [M, T], zero-padded; padding_mask bool [M, T], True = padding. test: the same
        with [R, T']. trial_enrol, trial_test: long [n], rows of enrol and test. targets: bool [n]. conditions: long [n],
        number of the trial's condition. nsentences: n. ntokens: samples without padding, enrolments included.

        RecordingError, naming the file: an enrolment that cannot be read or is silent.
        """
        if not samples:
            return {}
        recordings, trial_enrol = np.unique(np.concatenate([item.enrol for item in samples]), return_inverse=True)
        enrol = [self.material.render(CLEAN, recording, "enrolment").samples for recording in recordings.tolist()]
        test = [item.waveform for item in samples]
        trials = torch.tensor([len(item.enrol) for item in samples])
        return {
            "id": torch.tensor([item.index for item in samples]),
            "enrol": _padded(enrol),
            "test": _padded(test),
            "trial_enrol": torch.from_numpy(trial_enrol),
            "trial_test": torch.arange(len(samples)).repeat_interleave(trials),
            "targets": torch.from_numpy(np.concatenate([item.targets for item in samples])),
            "conditions": torch.tensor([item.condition for item in samples]).repeat_interleave(trials),
            "nsentences": int(trials.sum()),
            "ntokens": sum(len(waveform) for waveform in [*enrol, *test]),
        }

    def num_tokens(self, index: int) -> int:
        """Samples of the item's test recording. Its enrolments are not counted, because other items share them."""
        return int(self.sizes[index])

    def num_tokens_vec(self, indices: np.ndarray) -> np.ndarray:
        """num_tokens of several items; int64 [len(indices)]."""
        return self.sizes[indices]

    def size(self, index: int) -> int:
        """Same as num_tokens."""
        return self.num_tokens(index)

    def ordered_indices(self) -> np.ndarray:
        """0, 1, 2, …, in every epoch; int64 [len]."""
        return np.arange(len(self))

    def filter_indices_by_size(self, indices: np.ndarray, max_sizes: object) -> tuple[np.ndarray, list[int]]:
        """Keeps all: recordings are already cut to a length, and error rates need all trials."""
        return indices, []


def _padded(waveforms: Sequence[np.ndarray]) -> dict[str, torch.Tensor]:
    """Waveforms [T_i] as one batch: source float32 [B, T], zero-padded; padding_mask bool [B, T], True = padding."""
    lengths = torch.tensor([len(waveform) for waveform in waveforms])
    source = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(waveform) for waveform in waveforms], batch_first=True)
    return {"source": source, "padding_mask": torch.arange(source.shape[1]) >= lengths[:, None]}
