"""fairseq model `ctc_probe`: does an encoder keep the words? Letters read from its frames by one linear map (CTC).

Trained by fairseq's own task `audio_finetuning` and criterion `ctc`, which ask a model for `get_normalized_probs` of what its
`forward` answers. With a frozen encoder this is a probe: what one linear map cannot read is not plainly there.
"""

from dataclasses import dataclass
from typing import Any, Optional  # in dataclasses only: fairseq's parser does not read `X | None`

import torch
from fairseq.data import Dictionary
from fairseq.dataclass import FairseqDataclass
from fairseq.models import register_model
from torch import Tensor

from csc_fairseq.backbones.backbone import Backbone
from csc_fairseq.checkpoints.checkpoint import BACKBONE_SETTINGS
from csc_fairseq.corpora.transcripts import SUFFIX, require_transcripts
from csc_fairseq.errors import InputError
from csc_fairseq.models.fine_tuned import FineTunedModel, backbone_for, require_trained_rate
from csc_fairseq.modules.ctc_head import CtcHead
from csc_fairseq.options import option

# fairseq's task keeps the dictionary, a class of plain lists, in every checkpoint; without this PyTorch refuses to read it
# again, and training could not resume.
torch.serialization.add_safe_globals([Dictionary])


@dataclass
class CtcProbeConfig(FairseqDataclass):
    """Options of `model=ctc_probe`."""

    pretrained: Optional[str] = option(None, "checkpoint of the encoder: csc, wav2vec2 or hubert")
    frozen: bool = option(True, "never train the encoder: a probe of what it keeps; false: tune it")
    freeze_updates: int = option(0, "updates for which an encoder that is tuned stays as it was")
    dropout: float = option(0.0, "share of the frames' channels dropped before the linear map, in training")


@register_model("ctc_probe", dataclass=CtcProbeConfig)
class CtcProbe(FineTunedModel):
    """A backbone and a `CtcHead`.

    Args:
        cfg: options; `pretrained` is not read.
        encoder: the backbone.
        symbols: size of the dictionary.
        blank: index of CTC's blank in it.

    Raises:
        InputError: a frozen backbone that is to thaw, a share of dropout outside [0, 1).
    """

    def __init__(self, cfg: CtcProbeConfig, encoder: Backbone, symbols: int, blank: int) -> None:
        if not 0 <= cfg.dropout < 1:
            raise InputError(f"model.dropout is {cfg.dropout}; expected a share from 0 to below 1")
        head = CtcHead(encoder.layers, encoder.channels, symbols, blank, cfg.dropout)
        super().__init__(encoder, head, cfg.frozen, cfg.freeze_updates)
        self.cfg = cfg
        self.train()  # puts a resting backbone into evaluation mode

    @classmethod
    def build_model(cls, cfg: CtcProbeConfig, task: Any) -> "CtcProbe":
        """Called by fairseq; the task knows the dictionary, and a restored one the encoder's sizes.

        Raises:
            InputError: what `backbone_for`, `require_transcripts` and the model refuse; other labels, another sample rate, or
                normalised waveforms.
        """
        if task.cfg.labels != SUFFIX:
            raise InputError(f"task.labels is {task.cfg.labels!r}, expected {SUFFIX}, the letters of the transcripts")
        if task.cfg.normalize:
            raise InputError(
                "task.normalize is true, expected false: encoders scale waveforms themselves, as they were trained"
            )
        if BACKBONE_SETTINGS not in task.state.state_dict:  # a checkpoint loads without its data
            require_transcripts(task.cfg.data)
        encoder = backbone_for(task, cfg.pretrained)
        require_trained_rate(
            cfg.pretrained, encoder.sample_rate, task.cfg.sample_rate, "convert recordings of another rate"
        )
        return cls(cfg, encoder, len(task.target_dictionary), task.target_dictionary.index(task.blank_symbol))

    def forward(self, source: Tensor, padding_mask: Tensor | None = None) -> dict[str, Tensor | None]:
        """Waveforms to logits, in the form of fairseq's recognisers.

        Args:
            source: (B, T). padding_mask: (B, T) bool, True = padding; None: none.

        Returns:
            {"encoder_out": (L, B, symbols), "padding_mask": (B, L) bool, or None if none was given}.
        """
        encoded = self.encode(source, padding_mask)
        return {
            "encoder_out": self.head(encoded.layers, encoded.padding, encoded.estimates),
            "padding_mask": None if padding_mask is None else encoded.padding,
        }

    def get_logits(self, net_output: dict[str, Tensor | None], normalize: bool = False) -> Tensor:
        """(L, B, symbols) float32 logits of `forward`'s answer, or log-probabilities; where there is padding, surely blank."""
        return self.head.log_probabilities(net_output["encoder_out"], net_output["padding_mask"], normalize)

    def get_normalized_probs(
        self, net_output: dict[str, Tensor | None], log_probs: bool, sample: dict | None = None
    ) -> Tensor:
        """(L, B, symbols) float32 probabilities, or their logarithms; see `get_logits`."""
        log_probabilities = self.get_logits(net_output, normalize=True)
        return log_probabilities if log_probs else log_probabilities.exp()
