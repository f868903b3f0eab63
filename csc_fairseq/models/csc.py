"""fairseq model `csc`: the separative encoder plus the table of global speaker vectors."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from fairseq.dataclass import FairseqDataclass
from fairseq.models import BaseFairseqModel, register_model
from omegaconf import II
from torch import Tensor, nn

from csc_fairseq.data.rng import text_key
from csc_fairseq.errors import InputError
from csc_fairseq.modules.separative_encoder import SeparativeEncoder, SeparativeEncoderConfig, SeparativeOutput
from csc_fairseq.modules.speaker_table import ALPHA_RANGE, SpeakerTable
from csc_fairseq.options import option


@dataclass
class CscConfig(SeparativeEncoderConfig, FairseqDataclass):
    """Options of `model=csc`: the encoder's sizes and the table's."""

    sources: int = option(II("task.sources"), SeparativeEncoderConfig.__dataclass_fields__["sources"].metadata["help"])
    alpha: float = option(12.0, "concentration α of the contrastive loss, within [1, 40]")
    learn_alpha: bool = option(False, "train α; off by default, since a learnt α sinks early on and training crawls")


def encoder_config(cfg: CscConfig) -> SeparativeEncoderConfig:
    """The encoder's own part of the model's options."""
    return SeparativeEncoderConfig(
        **{field.name: getattr(cfg, field.name) for field in fields(SeparativeEncoderConfig)}
    )


@register_model("csc", dataclass=CscConfig)
class CscModel(BaseFairseqModel):
    """Encoder and identity table. Inference needs the encoder alone (`csc_fairseq.load_model`)."""

    def __init__(self, cfg: CscConfig, identities: Sequence[str]) -> None:
        super().__init__()
        if not ALPHA_RANGE[0] <= cfg.alpha <= ALPHA_RANGE[1]:
            raise InputError(f"model.alpha is {cfg.alpha}; it must lie within [{ALPHA_RANGE[0]:g}, {ALPHA_RANGE[1]:g}]")
        self.cfg = cfg
        self.num_updates = 0
        self.register_buffer("identity_key", torch.tensor(text_key("\n".join(identities))))
        self._loaded_identities: int | None = None
        self.encoder = SeparativeEncoder(encoder_config(cfg))
        self.table = SpeakerTable(len(identities), cfg.embedding_channels, cfg.alpha, cfg.learn_alpha)

    @classmethod
    def build_model(cls, cfg: CscConfig, task: object) -> "CscModel":
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
    ) -> dict[str, Tensor | None]:
        """Shared features in wav2vec 2.0's form.

        Args:
            source: (B, T). padding_mask: (B, T) bool, True = padding.
            mask, layer: only False and None; wav2vec 2.0's callers pass them, but this encoder masks nothing and has one layer.

        Raises:
            InputError: another value of mask or layer.

        Returns:
            {"x": (B, L, D), "padding_mask": (B, L) bool or None, "features": the same as "x"}.
        """
        if mask or layer is not None:
            raise InputError(
                "CSC features are not masked and have one layer; call extract_features with mask=False and layer=None"
            )
        output = self.encoder(source, padding_mask)
        return {
            "x": output.features,
            "padding_mask": output.feature_padding if padding_mask is not None else None,
            "features": output.features,
        }

    def load_state_dict(self, state_dict: dict, *args, **kwargs):
        """fairseq's, but weights of other identities are not loaded: `require_same_identities` then says so.

        It cannot be said here, because fairseq's trainer replaces any complaint by one of its own about architectures.
        """
        if int(state_dict["identity_key"]) != int(self.identity_key):
            self._loaded_identities = len(state_dict["table.weight"])
            return None
        return super().load_state_dict(state_dict, *args, **kwargs)

    def require_same_identities(self, manifest: str) -> None:
        """InputError if the checkpoint that was loaded last had other identities than this model; `manifest` lists these."""
        if self._loaded_identities is not None:
            raise InputError(
                f"{manifest}: its {len(self.table.weight)} identities differ from the checkpoint's {self._loaded_identities}; "
                "resume on the manifest it was trained on, or start a new run folder (hydra.run.dir)"
            )

    def set_num_updates(self, num_updates: int) -> None:
        """Decides whether this update sees the memory bank: a function of the update alone, so ranks and restarts agree."""
        super().set_num_updates(num_updates)
        self.num_updates = num_updates
        draw = torch.rand((), generator=torch.Generator().manual_seed(num_updates))
        self.encoder.memory_hidden = bool(draw < self.cfg.memory_drop)

    def max_positions(self) -> None:
        """No limit on length."""
        return None


def unwrapped(model: nn.Module) -> CscModel:
    """The model inside the wrappers that fairseq puts around it for several processes (one or two of them)."""
    while not isinstance(model, CscModel):
        model = model.module
    return model
