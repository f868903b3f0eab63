"""fairseq task `speaker_verification`: trains on labelled recordings in keyed mixtures, validates on trials of other speakers."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from fairseq.tasks import register_task
from omegaconf import MISSING

import csc_fairseq.criterions.speaker  # noqa: F401  registers the criterion, which fairseq does not import from a user directory
from csc_fairseq.checkpoints.checkpoint import PRETRAINING_SPEAKERS
from csc_fairseq.data.manifest import Manifest, identity_labels, label_path, read_labels, read_manifest
from csc_fairseq.data.pool import RecordingPool
from csc_fairseq.data.speaker_dataset import SpeakerDataset
from csc_fairseq.errors import InputError
from csc_fairseq.options import option
from csc_fairseq.tasks.mixing_config import MixingConfig, mixing_options, noise_bank, reading, rir_bank
from csc_fairseq.tasks.mixture_task import MixtureTask, manifest_path
from csc_fairseq.verification.trials.material import Material
from csc_fairseq.verification.trials.trial_dataset import VALIDATION_CONDITIONS, TrialDataset, draw_trials
from csc_fairseq.verification.trials.trial_list import MOST_TRIALS

logger = logging.getLogger(__name__)


@dataclass
class SpeakerVerificationConfig(MixingConfig):
    """Options of `task=speaker_verification`."""

    data: str = option(
        MISSING, "folder with train.tsv, dev.tsv (wav2vec manifests) and train.spk, dev.spk; dev has other speakers"
    )
    identity: str = option(
        "speaker",
        "what counts as one speaker in training: speaker (.spk), session, cluster (.cluster), utterance: two crops of a recording, "
        "as SimCLR has it, without labels",
    )
    views: int = option(1, "V, mixtures per target recording; 2 or more for losses that compare utterances")
    least_recordings: int = option(1, "speakers with fewer recordings interfere, but are not learnt")
    distinct_speakers: bool = option(False, "every batch holds dataset.batch_size different speakers")
    valid_trials: int = option(
        600, "validation trials, half of them targets; each is scored clean and under another talker"
    )
    valid_seconds: float = option(4.0, "validation recordings are cut to so many seconds")
    valid_sir_db: float = option(0.0, "validation under another talker: signal-to-interference ratio in dB")


@register_task("speaker_verification", dataclass=SpeakerVerificationConfig)
class SpeakerVerificationTask(MixtureTask):
    """Numbers the training speakers, makes batches of their keyed mixtures, and validates on trials of other speakers."""

    def __init__(self, cfg: SpeakerVerificationConfig) -> None:
        super().__init__(cfg, cfg.identity)
        self._last_mixtures: dict | None = None
        if cfg.least_recordings < 1:
            raise InputError(f"task.least_recordings is {cfg.least_recordings}, expected at least 1")
        if not 2 <= cfg.valid_trials <= MOST_TRIALS:
            raise InputError(
                f"task.valid_trials is {cfg.valid_trials}, expected 2 to {MOST_TRIALS}, half of them targets"
            )
        if cfg.valid_seconds * cfg.sample_rate < 1:
            raise InputError(f"task.valid_seconds is {cfg.valid_seconds}, expected a length above 0")

    def _training_identities(self) -> list[str]:
        manifest = read_manifest(manifest_path(self.cfg, "train"))
        least = self.cfg.least_recordings
        names = sorted(name for name, count in Counter(self._labels(manifest)).items() if count >= least)
        if len(names) < 2:
            found = f"only {names[0]!r}" if names else "none"
            raise InputError(
                f"{manifest.path}: expected two speakers at least with {least} recordings or more each, found {found}; add "
                f"speakers{' or recordings' if least > 1 else ''}"
                + (", or lower task.least_recordings" if least > self.cfg.views else "")
                + (
                    ", or take a loss that compares no recordings (criterion.loss=aam task.views=1 task.distinct_speakers=false "
                    "task.least_recordings=1)"
                    if self.cfg.views > 1
                    else ""
                )
            )
        return names

    def _labels(self, manifest: Manifest) -> Sequence[str]:
        return identity_labels(manifest, self.cfg.identity)

    def load_dataset(self, split: str, combine: bool = False, **kwargs) -> None:
        """Mixtures of split `train`; trials of every other one, whose speakers training must not have."""
        if split == "train":
            self.datasets[split] = self._training_set(read_manifest(manifest_path(self.cfg, split)))
        elif combine:
            raise InputError("dataset.combine_valid_subsets is true; list the subsets in dataset.valid_subset instead")
        else:
            self.datasets[split] = self._trials(self._validation_manifest(split))

    def _training_set(self, manifest: Manifest) -> SpeakerDataset:
        cfg = self.cfg
        pool = self._pool(manifest, self._labels(manifest), fixed=False)
        left_out = int((pool.identities < 0).sum())
        if left_out:
            logger.info(
                f"{manifest.path}: {pool.group_count - len(self.identities)} of {pool.group_count} speakers, with {left_out} of "
                f"{len(pool)} recordings, are left out as targets, since they have fewer than {cfg.least_recordings}; "
                "they may interfere"
            )
        return SpeakerDataset(
            pool,
            mixing_options(cfg),
            cfg.seed,
            split_key="train",
            noise=noise_bank(cfg),
            rirs=rir_bank(cfg),
            skip_bad=cfg.skip_bad,
            distinct_speakers=cfg.distinct_speakers,
            distinct_recordings=cfg.distinct_speakers and cfg.identity != "utterance",
        )

    def _validation_manifest(self, split: str) -> Manifest:
        path = manifest_path(self.cfg, split)
        if not path.exists():
            raise InputError(
                f"{path}: not found; prepare a split of speakers that are not in training (`csc prepare folders --splits`) and "
                "name it in dataset.valid_subset, or train without validation (dataset.disable_validation=true)"
            )
        manifest = read_manifest(path)
        training = read_manifest(manifest_path(self.cfg, "train"))
        # Who speaks in training may be unknown.
        heard = read_labels(training, "spk") if label_path(training, "spk").is_file() else []
        shared = sorted(set(read_labels(manifest, "spk")) & set(heard))
        if shared:
            raise InputError(
                f"{path}: speaker {shared[0]!r} is in {training.path.name} too ({len(shared)} such speakers), expected "
                "others; name a split of other speakers in dataset.valid_subset"
            )
        known = sorted(set(read_labels(manifest, "spk")) & set(self.state.state_dict.get(PRETRAINING_SPEAKERS) or ()))
        if known:
            logger.warning(
                f"{path}: speaker {known[0]!r} was heard in pre-training, as {len(known)} were by their labels; if they are "
                "the same people, error rates are too good, and the checkpoint they choose may not be the best for other people"
            )
        return manifest

    def _trials(self, manifest: Manifest) -> TrialDataset:
        cfg = self.cfg
        conditions = [condition_at(cfg.valid_sir_db) for condition_at in VALIDATION_CONDITIONS.values()]
        trials = draw_trials(manifest, cfg.valid_trials, cfg.seed)
        material = Material(
            pool=RecordingPool(manifest, read_labels(manifest, "spk"), {}, *reading(cfg)),
            interferers=trials.interferers,
            noises={},
            rirs=None,
            longest=round(cfg.valid_seconds * cfg.sample_rate),
            seed=cfg.seed,
        )
        return TrialDataset(material, trials, conditions)

    def train_step(self, sample, model, criterion, optimizer, update_num, ignore_grad=False):
        """The base's. After a validation, the dummy batch of a rank without data holds trials: the last mixtures replace it."""
        if ignore_grad and self._last_mixtures is not None:
            sample = self._last_mixtures
        self._last_mixtures = sample
        return super().train_step(sample, model, criterion, optimizer, update_num, ignore_grad)

    def get_batch_iterator(self, dataset, *args, **kwargs):
        """fairseq's. InputError for training sets of less than one batch a rank, or two if fairseq drops an epoch's last batch."""
        size, ranks = kwargs.get("max_sentences"), kwargs.get("num_shards", 1)
        if isinstance(dataset, SpeakerDataset) and size:
            needed = ranks * (2 if kwargs.get("skip_remainder_batch", False) else 1)
            batches = dataset.batch_count(size)
            if batches < needed:
                raise InputError(
                    f"{dataset.pool.manifest.path}: its {len(dataset)} target recordings make {batches} batches of {size}, "
                    f"expected {needed} at least ({ranks} ranks); lower dataset.batch_size or add recordings"
                )
        return super().get_batch_iterator(dataset, *args, **kwargs)
