"""fairseq task `csc_pretraining`: manifests and labels in, keyed mixtures out."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Optional  # fairseq's parser does not read `X | None`

import torch
from fairseq.tasks import register_task

import csc_fairseq.criterions.csc  # noqa: F401  registers the criterion, which fairseq does not import from a user directory
from csc_fairseq.data.fixed_mixture_dataset import FixedMixtureDataset
from csc_fairseq.data.fixed_mixtures import FixedMixtures, are_fixed_mixtures, read_fixed_mixtures
from csc_fairseq.data.fixed_views import FixedViews, source_labels
from csc_fairseq.data.identities import identity_table
from csc_fairseq.data.manifest import identity_labels, read_manifest
from csc_fairseq.data.mixture_dataset import MixtureDataset
from csc_fairseq.data.pool import RecordingPool
from csc_fairseq.data.view_dataset import ViewDataset
from csc_fairseq.errors import InputError
from csc_fairseq.models.csc import unwrapped
from csc_fairseq.options import option
from csc_fairseq.tasks.mixing_config import MixingConfig, mixing_options, noise_bank, rir_bank
from csc_fairseq.tasks.mixture_task import MixtureTask, manifest_path
from csc_fairseq.training.mixed_precision import grad_scaler

logger = logging.getLogger(__name__)


@dataclass
class CscPretrainingConfig(MixingConfig):
    """Options of `task=csc_pretraining`."""

    identity: str = option(
        "speaker",
        "what counts as one identity: speaker (.spk), session (.session or folder), utterance, cluster (.cluster)",
    )
    valid_recordings: int = option(
        128, "validation targets: this many recordings of a validation manifest, evenly spaced; 0: all"
    )
    fixed_mixtures: Optional[str] = option(
        None, "manifest of fixed mixtures to train on beside those that are mixed; null: none"
    )
    fixed_share: float = option(0.5, "share of training items that are parts of them")


@register_task("csc_pretraining", dataclass=CscPretrainingConfig)
class CscPretrainingTask(MixtureTask):
    """Loads manifests, numbers the training identities, and makes datasets of keyed mixtures."""

    def __init__(self, cfg: CscPretrainingConfig) -> None:
        super().__init__(cfg, cfg.identity)

    def _path(self, split: str) -> Path:
        path = manifest_path(self.cfg, split)
        if split == "valid" and path.with_name("train.tsv").exists() and not path.exists():
            how = "folders … --valid-per-speaker 2" if self.cfg.identity == "speaker" else "audio … --valid-share 0.05"
            raise InputError(
                f"{path}: not found; hold recordings out with `csc prepare {how}`, or train without validation "
                "(dataset.disable_validation=true)"
            )
        return path

    def _training_identities(self) -> list[str]:
        path = self._path("train")
        if are_fixed_mixtures(path):
            return identity_table(source_labels(read_fixed_mixtures(path), self.cfg.identity))
        return identity_table(identity_labels(read_manifest(path), self.cfg.identity))

    def load_dataset(self, split: str, combine: bool = False, **kwargs) -> None:
        """Makes the dataset of a split; every split but `train` is the same in all epochs.

        A manifest of fixed mixtures is not mixed: its items are parts of them.
        """
        if combine and split != "train":
            raise InputError("dataset.combine_valid_subsets is true; list the subsets in dataset.valid_subset instead")
        path = self._path(split)
        self.datasets[split] = self._parts_of(path, split) if are_fixed_mixtures(path) else self._mixed(path, split)

    def _mixed(self, path: Path, split: str) -> ViewDataset:
        """Recordings of a manifest, mixed."""
        cfg, fixed = self.cfg, split != "train"
        manifest = read_manifest(path)
        pool = self._pool(manifest, identity_labels(manifest, cfg.identity), fixed)
        if fixed:
            _tell_of_strangers(pool)
        given = None
        if cfg.fixed_mixtures and not fixed:
            given = self._views(read_fixed_mixtures(cfg.fixed_mixtures))
        return MixtureDataset(
            pool,
            mixing_options(cfg),
            cfg.seed,
            split_key=split,
            noise=noise_bank(cfg),
            rirs=rir_bank(cfg),
            fixed=fixed,
            indices=evenly_spaced(len(manifest), cfg.valid_recordings) if fixed else None,
            skip_bad=cfg.skip_bad,
            given=given,
            given_share=cfg.fixed_share,
        )

    def _parts_of(self, path: Path, split: str) -> ViewDataset:
        """Parts of fixed mixtures."""
        cfg, fixed = self.cfg, split != "train"
        if cfg.fixed_mixtures and not fixed:
            raise InputError(f"{path}: is of fixed mixtures, so nothing is mixed; leave task.fixed_mixtures out")
        mixtures = read_fixed_mixtures(path)
        views = self._views(mixtures)
        indices = evenly_spaced(len(mixtures), cfg.valid_recordings) if fixed else None
        return FixedMixtureDataset(mixtures, views, cfg.seed, split, fixed, indices, cfg.skip_bad)

    def _views(self, mixtures: FixedMixtures) -> FixedViews:
        cfg = self.cfg
        labels = source_labels(mixtures, cfg.identity)
        views = FixedViews(mixtures, labels, self._table(), mixing_options(cfg), cfg.resample, cfg.cache_megabytes)
        _tell_of_strangers(views.sources)
        return views

    def get_batch_iterator(self, dataset, *args, **kwargs):
        """fairseq's. It drops an epoch's last batch, full or not: InputError for training sets of less than two batches a rank."""
        needed = 2 * (kwargs.get("max_sentences") or 1) * kwargs.get("num_shards", 1)
        if not dataset.fixed and len(dataset) < needed:
            raise InputError(
                f"{dataset.manifest.path}: {len(dataset)} recordings, fewer than two batches for each of "
                f"{kwargs.get('num_shards', 1)} ranks ({needed}); lower dataset.batch_size or add recordings"
            )
        return super().get_batch_iterator(dataset, *args, **kwargs)

    def begin_epoch(self, epoch: int, model) -> None:
        """InputError if the checkpoint has other identities: the rows of its table would mean other people."""
        unwrapped(model).require_same_identities(f"{self.cfg.data}/train.tsv")

    def train_step(self, sample, model, criterion, optimizer, update_num, ignore_grad=False):
        """The base's step. A dummy batch, which a rank without data gets, is not kept, and nobody is compared with its talkers."""
        if ignore_grad:
            sample = sample | {"present": torch.zeros_like(sample["present"])}
        step = super().train_step(sample, model, criterion, optimizer, update_num, ignore_grad)
        if ignore_grad:
            unwrapped(model).discard()
        return step

    def optimizer_step(self, optimizer, model, update_num) -> None:
        """fairseq's step, then the model takes in this update's queries, unless the step overflowed: then it is not made."""
        scaler = grad_scaler(optimizer)
        scale = 0.0 if scaler is None else scaler.get_scale()
        super().optimizer_step(optimizer, model, update_num)
        if scaler is None or scaler.get_scale() >= scale:  # an overflow lowers it
            unwrapped(model).commit()
        self._end_step()


def _tell_of_strangers(pool: RecordingPool) -> None:
    """A warning if identities of a pool have no row in the table."""
    if unknown := int((pool.identities < 0).sum()):
        logger.warning(
            f"{pool.manifest.path}: {unknown} of {len(pool)} recordings have an identity that is not in training; "
            "with a table of global vectors they count for separation and view_eer, not for accuracy and bound"
        )


def evenly_spaced(total: int, count: int) -> list[int] | None:
    """`count` of `total` positions, evenly spaced; None (all) where count is 0 or no smaller than total."""
    if count <= 0 or count >= total:
        return None
    return [math.floor(position * total / count) for position in range(count)]
