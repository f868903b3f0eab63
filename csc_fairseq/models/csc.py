"""fairseq model `csc`: the separative encoder plus the table of global speaker vectors."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from fairseq.dataclass import FairseqDataclass
from fairseq.models import BaseFairseqModel, register_model
from omegaconf import II
from torch import Tensor

from csc_fairseq.errors import InputError
from csc_fairseq.modules.identity_rows import IdentityRows
from csc_fairseq.modules.separative_encoder import SeparativeEncoder, SeparativeEncoderConfig, SeparativeOutput
from csc_fairseq.modules.speaker_table import ALPHA_RANGE, SpeakerTable
from csc_fairseq.options import option


@dataclass
class CscConfig(SeparativeEncoderConfig, FairseqDataclass):
    """Options of `model=csc`: the encoder's sizes and the table's."""

    sources: int = option(II("task.sources"), SeparativeEncoderConfig.__dataclass_fields__["sources"].metadata["help"])
    alpha: float = option(12.0, "concentration α of the contrastive loss, within [1, 40]")

    def __post_init__(self) -> None:
        """Checks nothing: `sources` still refers to the task's. `encoder_config` checks, once every value is known."""


def encoder_config(cfg: CscConfig) -> SeparativeEncoderConfig:
    """The encoder's own part of the model's options. InputError for impossible values."""
    return SeparativeEncoderConfig(
        **{field.name: getattr(cfg, field.name) for field in fields(SeparativeEncoderConfig)}
    )


@register_model("csc", dataclass=CscConfig)
class CscModel(IdentityRows, BaseFairseqModel):
    """Encoder and identity table. Inference needs the encoder alone (`csc_fairseq.load_model`).

    Args:
        cfg: options. identities: names of the training identities, in the order of the table's rows.

    Raises:
        InputError: impossible sizes, or an α outside its range.
    """

    def __init__(self, cfg: CscConfig, identities: Sequence[str]) -> None:
        super().__init__()
        if not ALPHA_RANGE[0] <= cfg.alpha <= ALPHA_RANGE[1]:
            raise InputError(f"model.alpha is {cfg.alpha}; it must lie within [{ALPHA_RANGE[0]:g}, {ALPHA_RANGE[1]:g}]")
        self.cfg = cfg
        self.num_updates = 0
        self.set_identities(identities, rows="table.weight")
        self.encoder = SeparativeEncoder(encoder_config(cfg))
        self.table = SpeakerTable(len(identities), cfg.embedding_channels, cfg.alpha)

    @classmethod
    def build_model(cls, cfg: CscConfig, task: Any) -> "CscModel":
        """Called by fairseq; the task knows the identities."""
        return cls(cfg, task.identities)

    def forward(
        self,
        source: Tensor,
        padding_mask: Tensor | None = None,
        recordings: Tensor | None = None,
        groups: Tensor | None = None,
    ) -> SeparativeOutput:
        """(B, T) mixtures to `SeparativeOutput`; see `SeparativeEncoder.forward`."""
        return self.encoder(source, padding_mask, recordings, groups)

    def extract_features(
        self, source: Tensor, padding_mask: Tensor | None = None, mask: bool = False, layer: int | None = None
    ) -> dict:
        """Frames of the shared trunk, in the form of wav2vec 2.0. The heads do not run.

        Args:
            source: (B, T) waveforms of any level. padding_mask: (B, T) bool, True = padding; None: none.
            mask: False; callers of wav2vec 2.0 pass it, but this encoder masks nothing.
            layer: the block after which to stop, counted from 0 as wav2vec 2.0 does; None: the last.

        Returns:
            x: (B, L, D) output of block `layer`. features: the same. padding_mask: (B, L) bool, None if none was given.
            layer_results: for each block up to `layer`, its output (L, B, D), and None twice, where wav2vec 2.0 has more.

        Raises:
            InputError: mask is true, or the trunk has no block `layer`.
        """
        if mask:
            raise InputError("extract_features: mask is true, but CSC masks nothing; call it with mask=False")
        layers, padding = self.encoder.trunk_layers(source, padding_mask, layer)
        return {
            "x": layers[-1],
            "padding_mask": padding if padding_mask is not None else None,
            "features": layers[-1],
            "layer_results": [(frames.transpose(0, 1), None, None) for frames in layers],
        }

    def remove_pretraining_modules(self, last_layer: int | None = None) -> None:
        """Removes what only pre-training needs: the identity table, the condition memory and the attention to it.

        As with wav2vec 2.0, load the weights before. Afterwards `attended` is `queries`.

        Args:
            last_layer: the last block of the trunk to keep, counted from 0; None: all. The heads were trained on what the very
                last block gives: without that block, estimates and queries mean little, so use `extract_features`.

        Raises:
            InputError: the trunk has no block `last_layer`; nothing is removed then.
        """
        self.encoder.require_block(last_layer)
        self.table = None
        self.drop_identities()
        self.encoder.remove_memory()
        if last_layer is not None:
            self.encoder.remove_blocks_above(last_layer)

    def set_num_updates(self, num_updates: int) -> None:
        """Decides whether this update sees the memory bank: a function of the update alone, so ranks and restarts agree."""
        super().set_num_updates(num_updates)
        self.num_updates = num_updates
        draw = torch.rand((), generator=torch.Generator().manual_seed(num_updates))
        self.encoder.memory_hidden = bool(draw < self.cfg.memory_drop)

    def max_positions(self) -> None:
        """No limit on length."""
        return None


def unwrapped(model: Any) -> CscModel:
    """The model inside the wrappers that fairseq puts around it for several processes (one or two of them)."""
    while not isinstance(model, CscModel):
        model = model.module
    return model
