"""fairseq task `csc_pretraining`: manifests and labels in, keyed mixtures out."""

import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional  # in dataclasses only: fairseq's parser does not read `X | None`

import torch
from fairseq.dataclass import FairseqDataclass
from fairseq.tasks import FairseqTask, register_task
from omegaconf import MISSING

import csc_fairseq.criterions.csc  # noqa: F401  registers the criterion, which fairseq does not import from a user directory
from csc_fairseq.data.augment import NoiseBank, RirBank
from csc_fairseq.data.identities import identity_table
from csc_fairseq.data.manifest import IDENTITY_LEVELS, Manifest, identity_labels, read_manifest
from csc_fairseq.data.mixing import MixingOptions
from csc_fairseq.data.mixture_dataset import MixtureDataset
from csc_fairseq.data.pool import RecordingPool
from csc_fairseq.errors import InputError
from csc_fairseq.models.csc import unwrapped
from csc_fairseq.options import option

logger = logging.getLogger(__name__)


@dataclass
class CscPretrainingConfig(FairseqDataclass):
    """Options of `task=csc_pretraining`."""

    data: str = option(
        MISSING, "folder with train.tsv, valid.tsv (wav2vec manifests) and label files of the same names"
    )
    identity: str = option(
        "speaker",
        "what counts as one identity: speaker (.spk), session (.session or folder), utterance, cluster (.cluster)",
    )
    sample_rate: int = option(16000, "Hz; recordings of another rate are refused unless resample is true")
    resample: bool = option(False, "resample recordings of another rate instead of refusing them")
    skip_bad: bool = option(False, "mix others in place of recordings that cannot be read, with a warning, instead of stopping")
    sources: int = option(2, "C, talkers per mixture")
    views: int = option(2, "V, mixtures per target recording, under independent conditions")
    view_seconds: float = option(2.0, "length of a mixture")
    sir_low: float = option(-5.0, "lowest signal-to-interference ratio in dB, target against each other talker")
    sir_high: float = option(5.0, "highest signal-to-interference ratio in dB")
    single_talker_share: float = option(0.3, "share of views with the target alone")
    single_talker_share_start: Optional[float] = option(
        None, "share in the first epoch; null: single_talker_share throughout"
    )
    curriculum_epochs: int = option(0, "epochs over which the share goes from its start to its final value")
    noise: Optional[str] = option(None, "manifest of noise recordings; null: white Gaussian noise")
    noise_probability: float = option(0.5, "share of views with noise")
    snr_low: float = option(0.0, "lowest signal-to-noise ratio in dB, target against noise")
    snr_high: float = option(20.0, "highest signal-to-noise ratio in dB")
    rir: Optional[str] = option(None, "manifest of room impulse responses; null: no reverberation")
    rir_probability: float = option(0.3, "share of views whose talkers are reverberated, where rir is given")
    cache_megabytes: int = option(
        1024, "decoded audio that a data worker keeps in memory, each of speech, noise and rir; more is read in parts"
    )
    valid_recordings: int = option(
        128, "validation targets: this many recordings of a validation manifest, evenly spaced; 0: all"
    )
    rebuild_batches: bool = option(
        True, "read by fairseq: draw the order anew every epoch, though data workers live on"
    )
    seed: int = option(1, "key of every random choice in mixing, with the epoch and the index")


@register_task("csc_pretraining", dataclass=CscPretrainingConfig)
class CscPretrainingTask(FairseqTask):
    """Loads manifests, numbers the training identities, and makes datasets of keyed mixtures."""

    def __init__(self, cfg: CscPretrainingConfig) -> None:
        super().__init__(cfg)
        if cfg.identity not in IDENTITY_LEVELS:
            raise InputError(f"task.identity is {cfg.identity!r}; choose one of {', '.join(IDENTITY_LEVELS)}")
        torch.set_flush_denormal(True)  # silent sources make denormal numbers, which slow a CPU several times
        self.state.add_factory("identities", self._training_identities)
        self.state.add_factory("sample_rate", lambda: cfg.sample_rate)
        self.state.add_factory("identity_level", lambda: cfg.identity)
        self._step_ended: float | None = None

    @classmethod
    def setup_task(cls, cfg: CscPretrainingConfig, **kwargs) -> "CscPretrainingTask":
        """Called by fairseq, which passes `from_checkpoint` when it loads a model; that changes nothing here."""
        return cls(cfg)

    @property
    def identities(self) -> list[str]:
        """Names of the training identities; their order is the order of the table's rows."""
        return self.state.identities

    def _manifest(self, split: str) -> Manifest:
        path = Path(self.cfg.data) / f"{split}.tsv"
        if split == "valid" and path.with_name("train.tsv").exists() and not path.exists():
            raise InputError(
                f"{path}: not found; hold recordings out with `csc prepare folders --valid-per-speaker N`, or train without "
                "validation (dataset.disable_validation=true)"
            )
        return read_manifest(path)

    def _training_identities(self) -> list[str]:
        return identity_table(identity_labels(self._manifest("train"), self.cfg.identity))

    def state_dict(self) -> dict:
        """What a checkpoint keeps so that inference needs no data: identities, their level, the sample rate."""
        return {
            "identities": self.state.identities,
            "identity_level": self.state.identity_level,
            "sample_rate": self.state.sample_rate,
        }

    def load_dataset(self, split: str, combine: bool = False, **kwargs) -> None:
        """Makes the dataset of a split; every split but `train` has fixed mixes."""
        if combine and split != "train":
            raise InputError("dataset.combine_valid_subsets is true; list the subsets in dataset.valid_subset instead")
        cfg, fixed = self.cfg, split != "train"
        reading = (cfg.sample_rate, cfg.resample, cfg.cache_megabytes)
        manifest = self._manifest(split)
        labels = identity_labels(manifest, cfg.identity)
        table = {name: row for row, name in enumerate(self.identities)}
        pool = RecordingPool(manifest, labels, table, *reading)
        indices = None
        if fixed:
            indices = evenly_spaced(len(manifest), cfg.valid_recordings)
            unknown = int((pool.identities < 0).sum())
            if unknown:
                logger.warning(
                    f"{manifest.path}: {unknown} of {len(labels)} recordings have an identity that training has not; "
                    "they count for separation, not for accuracy and bound"
                )
        self.datasets[split] = MixtureDataset(
            pool,
            self._mixing_options(),
            cfg.seed,
            split_key=split,
            noise=NoiseBank(read_manifest(cfg.noise), *reading) if cfg.noise else None,
            rirs=RirBank(read_manifest(cfg.rir), *reading) if cfg.rir else None,
            fixed=fixed,
            indices=indices,
            skip_bad=cfg.skip_bad,
        )

    def _mixing_options(self) -> MixingOptions:
        cfg = self.cfg
        return MixingOptions(
            sample_rate=cfg.sample_rate,
            view_frames=round(cfg.view_seconds * cfg.sample_rate),
            views=cfg.views,
            sources=cfg.sources,
            sir_db=(cfg.sir_low, cfg.sir_high),
            single_talker_share=cfg.single_talker_share,
            single_talker_share_start=cfg.single_talker_share_start,
            curriculum_epochs=cfg.curriculum_epochs,
            noise_probability=cfg.noise_probability,
            noise_snr_db=(cfg.snr_low, cfg.snr_high),
            rir_probability=cfg.rir_probability if cfg.rir else 0.0,
        )

    def get_batch_iterator(self, dataset, *args, **kwargs):
        """fairseq's, for training sets of at least two batches a rank: it drops an epoch's last batch, full or not."""
        needed = 2 * (kwargs.get("max_sentences") or 1) * kwargs.get("num_shards", 1)
        if not dataset.fixed and len(dataset) < needed:
            raise InputError(
                f"{dataset.pool.manifest.path}: {len(dataset)} recordings, fewer than two batches for each of "
                f"{kwargs.get('num_shards', 1)} ranks ({needed}); lower dataset.batch_size or add recordings"
            )
        return super().get_batch_iterator(dataset, *args, **kwargs)

    def begin_epoch(self, epoch: int, model) -> None:
        """Refuses to train a checkpoint of other identities: its table's rows would mean other people."""
        unwrapped(model).require_same_identities(f"{self.cfg.data}/train.tsv")

    def train_step(self, sample, model, criterion, optimizer, update_num, ignore_grad=False):
        """fairseq's step, timed: the time since the end of the last one is the wait for data, and some logging."""
        started = time.perf_counter()
        waited = 0.0 if self._step_ended is None else started - self._step_ended
        loss, sample_size, logging_output = super().train_step(
            sample, model, criterion, optimizer, update_num, ignore_grad
        )
        if ignore_grad:  # a dummy batch: another rank has data left, this one has none
            unwrapped(model).encoder.memory.discard_last()
        self._step_ended = time.perf_counter()
        logging_output["wait_seconds"] = waited
        logging_output["step_seconds"] = self._step_ended - started + waited
        return loss, sample_size, logging_output

    def optimizer_step(self, optimizer, model, update_num) -> None:
        """fairseq's step, then the memory takes in this update's queries."""
        super().optimizer_step(optimizer, model, update_num)
        unwrapped(model).encoder.memory.commit()
        self._step_ended = time.perf_counter()

    def valid_step(self, sample, model, criterion):
        """fairseq's step; what validation takes is nobody's waiting for data."""
        self._step_ended = None
        return super().valid_step(sample, model, criterion)

    def max_positions(self) -> None:
        """No limit: views have a fixed length."""
        return None


def evenly_spaced(total: int, count: int) -> list[int] | None:
    """`count` of `total` positions, evenly spaced; None (all) where count is 0 or no smaller than total."""
    if count <= 0 or count >= total:
        return None
    return [math.floor(position * total / count) for position in range(count)]
