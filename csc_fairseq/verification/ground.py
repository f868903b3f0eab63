"""What a benchmark is run on: recordings with their trials, and what they are degraded with."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from csc_fairseq.data.augment import NoiseBank, RirBank
from csc_fairseq.data.manifest import Manifest, read_labels
from csc_fairseq.data.pool import RecordingPool
from csc_fairseq.verification.cells import Trialled
from csc_fairseq.verification.embedding import Material
from csc_fairseq.verification.store import file_digest, stamp_digest
from csc_fairseq.verification.trial_checks import labelled_trials
from csc_fairseq.verification.trials import MOST_INTERFERERS, TrialList, TrialOptions

DEVELOPMENT_TRIALS = 200_000  # under every condition; two parameters are fitted to their scores


@dataclass(frozen=True)
class Ground:
    """Recordings, trials and degradations, whatever the encoder.

    trialled: the trials of the manifest's recordings. noises: manifests by kind. rir: of room responses, None for none.
    seconds: recordings are cut to so many. seed: of mixtures.
    """

    manifest: Manifest
    trialled: Trialled
    noises: Mapping[str, Manifest]
    rir: Manifest | None
    seconds: float
    seed: int

    @property
    def available_interferers(self) -> int:
        """Who can talk over every tested recording: 0, 1 or 2 talkers."""
        trials = self.trialled.trials
        return int((trials.interferers[trials.test] >= 0).sum(axis=1).min(initial=MOST_INTERFERERS))

    def compared(self) -> list[int]:
        """Recordings that some trial enrols or tests; all of them where there are no trials."""
        trials = self.trialled.trials
        if not len(trials.enrol):
            return list(range(len(self.manifest)))
        enrolled = {recording for model in trials.models for recording in model}
        return sorted(enrolled | set(trials.test.tolist()))

    def material(self, sample_rate: int) -> Material:
        """What conditions are rendered from, at an encoder's rate in Hz."""
        return Material(
            pool=RecordingPool(self.manifest, self.trialled.speakers.tolist(), {}, sample_rate),
            interferers=self.trialled.trials.interferers,
            noises={kind: NoiseBank(recordings, sample_rate) for kind, recordings in self.noises.items()},
            rirs=RirBank(self.rir, sample_rate) if self.rir else None,
            longest=round(self.seconds * sample_rate),
            seed=self.seed,
        )

    @cached_property
    def key(self) -> list[object]:
        """All that embeddings depend on besides encoder and condition: manifests by their content, recordings by their stamps."""
        return [
            _digest(self.manifest),
            {kind: _digest(recordings) for kind, recordings in sorted(self.noises.items())},
            _digest(self.rir) if self.rir else None,
            hashlib.blake2b(self.trialled.trials.interferers.tobytes(), digest_size=16).hexdigest(),
            self.seconds,
            self.seed,
        ]


def _digest(recordings: Manifest) -> list[str]:
    files = (recordings.file(index) for index in range(len(recordings)))
    return [file_digest(recordings.path), stamp_digest(files)]


def all_pairs(manifest: Manifest, seed: int) -> TrialList:
    """All pairs of a labelled manifest's recordings, targets across sessions if there are any. InputError for none."""
    return labelled_trials(manifest, seed, TrialOptions())


def development_trials(manifest: Manifest, seed: int) -> TrialList:
    """All pairs, or a keyed choice of as many as calibration needs."""
    return labelled_trials(manifest, seed, TrialOptions(sample=DEVELOPMENT_TRIALS))


def without_trials(manifest: Manifest) -> Trialled:
    """Recordings that are only embedded: nobody is compared, nobody interferes."""
    none = np.empty(0, dtype=np.int64)
    trials = TrialList((), none, none, none.astype(bool), np.full((len(manifest), 2), -1, dtype=np.int64))
    return Trialled(trials, np.array(read_labels(manifest, "spk")), {})
