"""Options of the tasks that train on keyed mixtures, and what is made from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional  # in dataclasses only: fairseq's parser does not read `X | None`

from fairseq.dataclass import FairseqDataclass
from omegaconf import MISSING

from csc_fairseq.data.augment import NoiseBank, RirBank
from csc_fairseq.data.manifest import Manifest, domain_labels, read_manifest
from csc_fairseq.data.mixing_plans import MixingOptions
from csc_fairseq.options import option


@dataclass
class MixingConfig(FairseqDataclass):
    """Where recordings are and how they are mixed, for every task that mixes."""

    data: str = option(
        MISSING, "folder with train.tsv, valid.tsv (wav2vec manifests) and label files of the same names"
    )
    sample_rate: int = option(16000, "Hz; recordings of another rate are refused unless resample is true")
    resample: bool = option(False, "resample recordings of another rate instead of refusing them")
    skip_bad: bool = option(
        False, "mix others in place of recordings that cannot be read, with a warning, instead of stopping"
    )
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
    same_domain_share: float = option(
        0.0,
        "share of mixtures whose interferers are of the target's corpus or channel: the line in train.domain, or without that file "
        "the top folder; 0: anybody interferes",
    )
    domain_weights: Optional[dict[str, float]] = option(
        None,
        "by corpus or channel, as same_domain_share has them: how often recordings are targets in an epoch, and how many times "
        "likelier than by their length they interfere, such as {libri: 2, vox2: 0.5}; others have 1; null: all have 1",
    )
    random_sign: bool = option(True, "turn half of all talkers upside down: the sign of a recording means nothing")
    cache_megabytes: int = option(
        1024,
        "decoded audio that a data worker keeps in memory, each of speech, noise, rir and fixed mixtures; the rest is read in "
        "crops",
    )
    rebuild_batches: bool = option(True, "read by fairseq: draw a new order every epoch, though data workers live on")
    seed: int = option(1, "key of every random choice in mixing, with the epoch and the index")


def mixing_options(cfg: MixingConfig) -> MixingOptions:
    """The options of mixing alone. InputError for impossible values."""
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
        same_domain_share=cfg.same_domain_share,
        random_sign=cfg.random_sign,
    )


def reading(cfg: MixingConfig) -> tuple[int, bool, int]:
    """How recordings are read, the last arguments of `Recordings`: sample_rate (Hz), resample, cache_megabytes."""
    return cfg.sample_rate, cfg.resample, cfg.cache_megabytes


def domains(cfg: MixingConfig, manifest: Manifest) -> Sequence[str] | None:
    """The domain of every recording; None where mixing does not ask for them. InputError for a faulty .domain file."""
    return domain_labels(manifest) if cfg.same_domain_share or cfg.domain_weights else None


def domain_weights(cfg: MixingConfig) -> dict[str, float] | None:
    """Weights of domains in training; None: all have 1."""
    return dict(cfg.domain_weights) if cfg.domain_weights else None


def noise_bank(cfg: MixingConfig) -> NoiseBank | None:
    """Recordings of noise; None: noise is white."""
    return NoiseBank(read_manifest(cfg.noise), *reading(cfg)) if cfg.noise else None


def rir_bank(cfg: MixingConfig) -> RirBank | None:
    """Room responses; None: no reverberation."""
    return RirBank(read_manifest(cfg.rir), *reading(cfg)) if cfg.rir else None
