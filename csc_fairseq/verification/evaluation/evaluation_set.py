"""What a benchmark is run on: recordings, their speakers and trials, and what they are degraded with.

`read_sets` is the one place where all of it is read and checked.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from csc_fairseq.data.augment import NoiseBank, RirBank
from csc_fairseq.data.manifest import NAMES, Manifest, label_path, read_labels, read_manifest
from csc_fairseq.data.pool import RecordingPool
from csc_fairseq.digests import file_digest, stamp_digest
from csc_fairseq.errors import InputError
from csc_fairseq.verification.evaluation.benchmark_options import BenchmarkOptions
from csc_fairseq.verification.metrics.bootstrap import SpeakerBootstrap
from csc_fairseq.verification.trials.drawing import TrialOptions, labelled_trials
from csc_fairseq.verification.trials.material import Material
from csc_fairseq.verification.trials.speaker_attributes import read_speaker_attributes, require_columns
from csc_fairseq.verification.trials.trial_file import read_trials
from csc_fairseq.verification.trials.trial_list import MOST_INTERFERERS, TrialList

FEWEST = 5  # speakers with target trials; an interval from fewer would be a guess
DEVELOPMENT_TRIALS = 200_000  # under every condition; two parameters are fitted to their scores
OR_FORCE = ", or --force"


@dataclass(frozen=True)
class LabelledTrials:
    """The trials with what is known of their speakers.

    speakers: str [N], of every recording. attributes: further labels of every recording, by name (gender, …).
    """

    trials: TrialList
    speakers: np.ndarray
    attributes: Mapping[str, np.ndarray] = field(default_factory=dict)
    _bootstraps: dict[tuple[bytes, int, int], SpeakerBootstrap] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def all_pairs(cls, manifest: Manifest, seed: int) -> Self:
        """All pairs of a labelled manifest's recordings, targets across sessions if there are any.

        InputError if there are no targets or no non-targets.
        """
        return cls(labelled_trials(manifest, seed, TrialOptions()), _labels(manifest))

    @classmethod
    def development(cls, manifest: Manifest, seed: int, enrol_utterances: int = 1) -> Self:
        """All pairs, or a keyed choice of as many as calibration needs. InputError as for `all_pairs`.

        enrol_utterances: recordings of an enrolled voice.
        """
        options = TrialOptions(sample=DEVELOPMENT_TRIALS, enrol_utterances=enrol_utterances)
        trials = labelled_trials(manifest, seed, options)
        return cls(trials, _labels(manifest))

    @classmethod
    def none(cls, manifest: Manifest) -> Self:
        """For recordings that are only embedded: nothing is compared, and nothing interferes."""
        empty = np.empty(0, dtype=np.int64)
        interferers = np.full((len(manifest), MOST_INTERFERERS), -1, dtype=np.int64)
        trials = TrialList((), empty, empty, empty.astype(bool), interferers)
        return cls(trials, _labels(manifest))

    @cached_property
    def enrol_recordings(self) -> np.ndarray:
        """int64 [n]: a recording of every trial's enrolled voice."""
        first = np.array([recordings[0] for recordings in self.trials.models], dtype=np.int64)
        return first[self.trials.enrol]

    @cached_property
    def numbers(self) -> np.ndarray:
        """int64 [N]: speakers by number, since millions of texts take long to compare."""
        return np.unique(self.speakers, return_inverse=True)[1]

    def bootstrap(self, chosen: np.ndarray, replicates: int, seed: int) -> SpeakerBootstrap:
        """For the trials `chosen`, bool [n]; the same object for the same trials."""
        key = np.packbits(chosen).tobytes(), replicates, seed
        if key not in self._bootstraps:
            self._bootstraps[key] = SpeakerBootstrap(
                self.trials.targets[chosen],
                self.numbers[self.enrol_recordings[chosen]],
                self.numbers[self.trials.test[chosen]],
                replicates,
                seed,
            )
        return self._bootstraps[key]

    def group_masks(self) -> dict[str, np.ndarray]:
        """Kinds of trials, bool [n], by name.

        "same gender": all targets, and the non-targets whose two speakers agree in it. "cross gender": all targets, and
        the non-targets whose two speakers differ. "gender=f": both sides are that. A trial is in no kind if the value of
        one of its speakers is unknown (""). A kind is left out if it has no non-targets, or targets of fewer than FEWEST
        speakers.
        """
        targets = self.trials.targets
        masks = {}
        for name, values in self.attributes.items():
            enrol, test = values[self.enrol_recordings], values[self.trials.test]
            known = (enrol != "") & (test != "")
            masks[f"same {name}"] = known & (targets | (enrol == test))
            masks[f"cross {name}"] = known & (targets | (enrol != test))
            for value in np.unique(values[values != ""]):
                masks[f"{name}={value}"] = (enrol == value) & (test == value)
        return {
            name: mask
            for name, mask in masks.items()
            if not targets[mask].all() and len(np.unique(self.speakers[self.trials.test[mask & targets]])) >= FEWEST
        }


@dataclass(frozen=True)
class EvaluationSet:
    """Recordings, their trials, and what they are degraded with, whatever the encoder.

    labelled: trials of the manifest's recordings. seconds: recordings are cut to so many. seed: of mixtures. noises:
    manifests by kind. rir: of room responses, None for none.
    """

    manifest: Manifest
    labelled: LabelledTrials
    seconds: float
    seed: int
    noises: Mapping[str, Manifest] = field(default_factory=dict)
    rir: Manifest | None = None

    @property
    def trials(self) -> TrialList:
        """What is compared with what; no trials in a cohort."""
        return self.labelled.trials

    @cached_property
    def speakers(self) -> set[str]:
        """Everybody who is recorded."""
        return set(self.labelled.speakers.tolist())

    @property
    def available_interferers(self) -> int:
        """How many talkers there are for every tested recording: 0, 1 or 2."""
        trials = self.trials
        return int((trials.interferers[trials.test] >= 0).sum(axis=1).min(initial=MOST_INTERFERERS))

    def compared(self) -> list[int]:
        """Recordings that some trial enrols or tests; all of them where there are no trials."""
        trials = self.trials
        if not len(trials.enrol):
            return list(range(len(self.manifest)))
        enrolled = {recording for model in trials.models for recording in model}
        return sorted(enrolled | set(trials.test.tolist()))

    def material(self, sample_rate: int) -> Material:
        """What conditions are rendered from, at an encoder's rate in Hz."""
        return Material(
            pool=RecordingPool(self.manifest, self.labelled.speakers.tolist(), {}, sample_rate),
            interferers=self.trials.interferers,
            noises={kind: NoiseBank(recordings, sample_rate) for kind, recordings in self.noises.items()},
            rirs=RirBank(self.rir, sample_rate) if self.rir else None,
            longest=round(self.seconds * sample_rate),
            seed=self.seed,
        )

    @cached_property
    def key(self) -> list[object]:
        """All that embeddings depend on besides encoder and condition: manifests by content, recordings by size and time."""
        return [
            _digest(self.manifest),
            {kind: _digest(recordings) for kind, recordings in sorted(self.noises.items())},
            _digest(self.rir) if self.rir else None,
            hashlib.blake2b(self.trials.interferers.tobytes(), digest_size=16).hexdigest(),
            self.seconds,
            self.seed,
        ]


class EvaluationSets(NamedTuple):
    """What an evaluation runs on. development: to calibrate scores on. cohort: to normalise them with. None: not asked for."""

    test: EvaluationSet
    development: EvaluationSet | None
    cohort: EvaluationSet | None


def read_sets(options: BenchmarkOptions) -> EvaluationSets:
    """Reads and checks manifests, labels, sessions, trials, the speaker table, noises and rooms.

    InputError for a faulty file, and for speakers that two manifests share. Speakers are compared before trials are
    drawn, which may take long. The manifest of the training is not read where `force` lifts that check.
    """
    train = None if options.force else options.train
    paths = (options.manifest, options.dev, options.cohort, train)
    test, development, cohort, training = (None if path is None else read_manifest(path) for path in paths)
    others = {options.dev: _speakers(development), options.cohort: _speakers(cohort)}
    refuse_shared_speakers(options.manifest, _speakers(test), others)
    for path, recordings in ((options.manifest, test), (options.dev, development)):
        refuse_shared_speakers(path, _speakers(recordings), {train: _speakers(training)}, OR_FORCE)
    noises = {kind: read_manifest(path) for kind, path in (options.noises or {}).items()}
    rir = read_manifest(options.rir) if options.rir else None

    def evaluation_set(recordings: Manifest, labelled: LabelledTrials) -> EvaluationSet:
        return EvaluationSet(recordings, labelled, options.seconds, options.seed, noises, rir)

    return EvaluationSets(
        evaluation_set(test, _test_trials(options, test)),
        evaluation_set(development, LabelledTrials.development(development, options.seed)) if development else None,
        evaluation_set(cohort, LabelledTrials.none(cohort)) if cohort else None,
    )


def refuse_shared_speakers(
    manifest: Path | None, speakers: Collection[str], others: Mapping[Path | None, Collection[str]], remedy: str = ""
) -> None:
    """InputError if speakers of a manifest are among `others`, by the file that names them. remedy: what helps besides."""
    for path, names in others.items():
        if shared := sorted({*speakers} & {*names}):
            raise InputError(
                f"{manifest}: {len(shared)} of its {len(speakers)} speakers are those of {path} too ({shared[0]}, …); "
                "figures say nothing about speakers that were also used for training, calibration or normalisation: "
                f"choose others{remedy}"
            )


def _labels(recordings: Manifest) -> np.ndarray:
    """str [N]: the speaker of every recording, from the .spk file."""
    return np.array(read_labels(recordings, "spk"))


def _speakers(recordings: Manifest | None) -> set[str]:
    """Those of a labelled manifest; the empty set without one."""
    return set() if recordings is None else set(_labels(recordings).tolist())


def _test_trials(options: BenchmarkOptions, manifest: Manifest) -> LabelledTrials:
    """Those of the list if one is given, else all pairs, with the columns of the speaker table."""
    if options.trials is None:
        labelled = LabelledTrials.all_pairs(manifest, options.seed)
    else:
        trials = read_trials(options.trials, manifest, options.enrolments, options.seed)
        labelled = LabelledTrials(trials, _labels(manifest))
    if options.speaker_table is None:
        return labelled
    known = read_speaker_attributes(options.speaker_table, manifest, labelled.speakers.tolist())
    require_columns(options.speaker_table, known, options.groups)
    return replace(labelled, attributes={name: known[name] for name in options.groups})


def _digest(recordings: Manifest) -> list[str]:
    files = (recordings.file(index) for index in range(len(recordings)))
    names = [] if recordings.slices is None else [file_digest(label_path(recordings, NAMES))]
    return [file_digest(recordings.path), stamp_digest(files), *names]
