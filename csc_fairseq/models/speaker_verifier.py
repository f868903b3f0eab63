"""fairseq model `speaker_verifier`: a pre-trained encoder, pooling over time, and one linear map to the embedding."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import List, NamedTuple, Optional  # noqa: UP035  in dataclasses only: fairseq's parser does not read newer forms

import torch
import torch.nn.functional as F
from fairseq.dataclass import FairseqDataclass
from fairseq.models import BaseFairseqModel, register_model
from torch import Tensor, nn

from csc_fairseq.errors import InputError
from csc_fairseq.frame_encoders.protocol import FrameEncoder
from csc_fairseq.frame_encoders.xvector import WIDTHS
from csc_fairseq.models.pretrained import encoder_for
from csc_fairseq.modules.verifier_head import POOLINGS, FramePooling, LayerWeights
from csc_fairseq.optimizers.layerwise_adam import set_rate
from csc_fairseq.options import option

OWN = "own"


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
class SpeakerVerifier(BaseFairseqModel):
    """Encoder, weighted sum of its layers, pooling, layer norm, linear map; the same head for every encoder (our choice).

    InputError for options that contradict each other or the encoder.
    """

    def __init__(self, cfg: SpeakerVerifierConfig, encoder: FrameEncoder) -> None:
        super().__init__()
        check_options(cfg, encoder)
        self.cfg = cfg
        self.num_updates = 0
        self.encoder = encoder
        if cfg.pooling == OWN:
            self.layer_weights = self.pooling = None
            channels = encoder.embedding_channels
        else:
            self.layer_weights = LayerWeights(encoder.layers)
            self.pooling = FramePooling(encoder.channels, cfg.pooling)
            channels = self.pooling.out_channels
        self.norm = nn.LayerNorm(channels)
        self.projection = nn.Linear(channels, cfg.embedding_channels)
        self._prepare_encoder()

    @classmethod
    def build_model(cls, cfg: SpeakerVerifierConfig, task: object) -> "SpeakerVerifier":
        """Called by fairseq. InputError also where the task's recordings or mixtures are not what the encoder takes."""
        from_scratch = {
            "kind": "xvector",
            "sample_rate": task.cfg.sample_rate,
            "widths": list(cfg.xvector_widths),
        }
        encoder = encoder_for(task, cfg.pretrained, from_scratch)
        if encoder.sample_rate != task.cfg.sample_rate:
            raise InputError(
                f"{cfg.pretrained}: was trained at {encoder.sample_rate} Hz, task.sample_rate is {task.cfg.sample_rate}; "
                f"set task.sample_rate={encoder.sample_rate}, and task.resample=true for recordings of another rate"
            )
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

    @property
    def tuning(self) -> bool:
        """Whether the encoder is trained at this update."""
        return not self.cfg.frozen and self.num_updates >= self.cfg.freeze_updates

    def forward(self, source: Tensor, padding_mask: Tensor | None = None) -> VerifierOutput:
        """Embeds recordings.

        Args:
            source: (B, T) waveforms. padding_mask: (B, T) bool, True = padding; None: none.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.tuning):
            encoded = self.encoder(source, padding_mask)
        if self.pooling is None:
            vectors = encoded.embeddings
        else:
            vectors = self.pooling(self.layer_weights(encoded.layers), encoded.padding)
        vectors = self.projection(self.norm(vectors.to(self.projection.weight.dtype)))
        return VerifierOutput(F.normalize(vectors.float(), dim=-1), encoded.estimates)

    def train(self, mode: bool = True) -> "SpeakerVerifier":
        """What is left as it is also behaves as in evaluation: no dropout, no statistics that move."""
        super().train(mode)
        self.encoder.train(mode and self.tuning)
        for block in self.encoder.blocks()[: self.cfg.freeze_blocks]:
            block.eval()
        return self

    def set_num_updates(self, num_updates: int) -> None:
        """Decides whether the encoder is trained yet; fairseq calls `train` before it."""
        super().set_num_updates(num_updates)
        self.num_updates = num_updates
        self.train(self.training)

    def max_positions(self) -> None:
        """No limit on length."""
        return None

    def _prepare_encoder(self) -> None:
        """Freezes what is to stay, and gives every parameter its rate for `layerwise_adam`."""
        blocks = self.encoder.blocks()
        for depth, block in enumerate(reversed(blocks)):
            set_rate(block.parameters(), self.cfg.encoder_rate * self.cfg.block_rate_decay**depth)
        set_rate(self._head_parameters(), 1.0)
        for block in blocks if self.cfg.frozen else blocks[: self.cfg.freeze_blocks]:
            block.requires_grad_(False)

    def _head_parameters(self) -> Iterator[nn.Parameter]:
        return (parameter for name, parameter in self.named_parameters() if not name.startswith("encoder."))


def check_options(cfg: SpeakerVerifierConfig, encoder: FrameEncoder) -> None:
    """InputError for options that contradict each other or the encoder."""
    if cfg.frozen:
        if cfg.pretrained is None:
            raise InputError("model.frozen=true would keep random weights; give model.pretrained, or set model.frozen=false")
        trained = {"freeze_updates": 0, "freeze_blocks": 0, "encoder_rate": 1.0, "block_rate_decay": 1.0}
        for name, off in trained.items():
            if getattr(cfg, name) != off:
                raise InputError(
                    f"model.{name} is {getattr(cfg, name)}, which trains an encoder that model.frozen=true leaves as it is; "
                    f"drop one of the two"
                )
    if cfg.pooling not in (*POOLINGS, OWN):
        raise InputError(f"model.pooling is {cfg.pooling!r}; choose one of {', '.join((*POOLINGS, OWN))}")
    if cfg.pooling == OWN and encoder.embedding_channels is None:
        raise InputError(
            f"model.pooling={OWN} needs an encoder with embeddings of its own, and {cfg.pretrained or 'an x-vector'} "
            f"has none; choose one of {', '.join(POOLINGS)}"
        )
    blocks = len(encoder.blocks())
    if not 0 <= cfg.freeze_blocks <= blocks:
        raise InputError(f"model.freeze_blocks is {cfg.freeze_blocks}; the encoder has {blocks} blocks")
    for name in ("encoder_rate", "block_rate_decay"):
        if not 0 < getattr(cfg, name) <= 1:
            raise InputError(f"model.{name} is {getattr(cfg, name)}; expected above 0 and at most 1, or model.frozen=true")
