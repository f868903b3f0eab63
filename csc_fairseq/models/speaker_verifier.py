"""fairseq model `speaker_verifier`: a pre-trained backbone, pooling over time, and one linear map to the embedding."""

from dataclasses import dataclass, field
from typing import Any, List, NamedTuple, Optional  # noqa: UP035  in dataclasses only: fairseq's parser does not read newer forms

from fairseq.dataclass import FairseqDataclass
from fairseq.models import register_model
from torch import Tensor

from csc_fairseq.backbones.backbone import Backbone
from csc_fairseq.backbones.xvector import WIDTHS
from csc_fairseq.errors import InputError
from csc_fairseq.models.fine_tuned import RESAMPLING, FineTunedModel, backbone_for, require_trained_rate
from csc_fairseq.modules.verifier_head import OWN, POOLINGS, VerifierHead
from csc_fairseq.optimizers.layerwise_adam import set_rate
from csc_fairseq.options import option


@dataclass
class SpeakerVerifierConfig(FairseqDataclass):
    """Options of `model=speaker_verifier`."""

    pretrained: Optional[str] = option(
        None, "checkpoint of csc, wav2vec2 or hubert; null: an x-vector on filterbanks, from scratch"
    )
    frozen: bool = option(False, "leave the encoder as it is and train the head alone")
    freeze_updates: int = option(0, "leave the encoder as it is for so many updates")
    freeze_blocks: int = option(0, "leave the lowest so many blocks of the encoder as they are")
    encoder_rate: float = option(
        1.0, "learning rate of the encoder's uppermost block over the head's; with optimizer=layerwise_adam"
    )
    block_rate_decay: float = option(1.0, "learning rate of a block over that of the block above it; likewise")
    pooling: str = option(
        "attentive", f"frames to one vector: {', '.join(POOLINGS)}; or {OWN}, the pre-trained encoder's embedding"
    )
    embedding_channels: int = option(128, "E, size of the embedding")
    xvector_widths: List[int] = field(  # noqa: UP006
        default_factory=lambda: list(WIDTHS),
        metadata={"help": "channels of the x-vector's five layers, where pretrained is null"},
    )


class VerifierOutput(NamedTuple):
    """What the verifier says about B recordings of T samples, in which C streams are told apart."""

    embeddings: Tensor
    """(B, C, E) float32, unit norm"""
    estimates: Tensor | None
    """(B, C, T) separated waveforms, stream for stream; None for encoders that do not separate"""


@register_model("speaker_verifier", dataclass=SpeakerVerifierConfig)
class SpeakerVerifier(FineTunedModel):
    """A backbone and a `VerifierHead`. InputError for options that contradict each other or the backbone."""

    def __init__(self, cfg: SpeakerVerifierConfig, encoder: Backbone) -> None:
        check_options(cfg, encoder)
        head = VerifierHead(
            encoder.layers, encoder.channels, encoder.embedding_channels, cfg.pooling, cfg.embedding_channels
        )
        super().__init__(encoder, head, cfg.frozen, cfg.freeze_updates, cfg.freeze_blocks)
        self.cfg = cfg
        self._set_rates()

    @classmethod
    def build_model(cls, cfg: SpeakerVerifierConfig, task: Any) -> "SpeakerVerifier":
        """Called by fairseq. InputError also where the task's recordings or mixtures are not what the encoder takes."""
        from_scratch = {
            "kind": "xvector",
            "sample_rate": task.cfg.sample_rate,
            "widths": list(cfg.xvector_widths),
        }
        encoder = backbone_for(task, cfg.pretrained, from_scratch)
        require_trained_rate(cfg.pretrained, encoder.sample_rate, task.cfg.sample_rate, RESAMPLING)
        if encoder.streams > 1 and encoder.streams != task.cfg.sources:
            raise InputError(
                f"{cfg.pretrained}: separates {encoder.streams} talkers, task.sources is {task.cfg.sources}; "
                f"set task.sources={encoder.streams}"
            )
        return cls(cfg, encoder)

    @property
    def streams(self) -> int:
        """C, talkers told apart."""
        return self.encoder.streams

    def forward(self, source: Tensor, padding_mask: Tensor | None = None) -> VerifierOutput:
        """Embeds recordings.

        Args:
            source: (B, T) waveforms. padding_mask: (B, T) bool, True = padding; None: none.
        """
        encoded = self.encode(source, padding_mask)
        embeddings = self.head(encoded.layers, encoded.padding, encoded.embeddings)
        return VerifierOutput(embeddings, encoded.estimates)

    def _set_rates(self) -> None:
        """Gives every parameter its rate for `layerwise_adam`."""
        for depth, block in enumerate(reversed(self.encoder.blocks())):
            set_rate(block.parameters(), self.cfg.encoder_rate * self.cfg.block_rate_decay**depth)
        set_rate(self.head.parameters(), 1.0)


def check_options(cfg: SpeakerVerifierConfig, encoder: Backbone) -> None:
    """InputError for options that contradict each other or the encoder."""
    untrained = {"freeze_updates": 0, "freeze_blocks": 0, "encoder_rate": 1.0, "block_rate_decay": 1.0}
    training = {name: off for name, off in untrained.items() if getattr(cfg, name) != off}
    if cfg.frozen and training:
        raise InputError(
            f"model.{' and model.'.join(training)} train{'s' if len(training) == 1 else ''} an encoder that model.frozen=true "
            "leaves as it is; add "
            + " ".join(f"model.{name}={off}" for name, off in training.items())
            + ", or drop model.frozen"
        )
    for name in ("frozen", "freeze_updates", "freeze_blocks"):
        if cfg.pretrained is None and getattr(cfg, name):
            raise InputError(
                f"model.{name}={str(getattr(cfg, name)).lower()} would keep random weights; give model.pretrained, or drop it"
            )
    if cfg.pooling not in (*POOLINGS, OWN):
        raise InputError(f"model.pooling is {cfg.pooling!r}; choose one of {', '.join((*POOLINGS, OWN))}")
    if cfg.pooling == OWN and encoder.embedding_channels is None:
        raise InputError(
            f"model.pooling={OWN} needs an encoder with embeddings of its own, and {cfg.pretrained or 'an x-vector'} "
            f"has none; choose one of {', '.join(POOLINGS)}"
        )
    for name in ("encoder_rate", "block_rate_decay"):
        if not 0 < getattr(cfg, name) <= 1:
            raise InputError(
                f"model.{name} is {getattr(cfg, name)}; expected above 0 and at most 1, or model.frozen=true"
            )
