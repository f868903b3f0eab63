"""fairseq model `ctc_probe`: does an encoder keep the words? Letters read from its frames by one linear map (CTC).

Trained by fairseq's own task `audio_finetuning` and criterion `ctc`, which ask a model for `get_normalized_probs` of what its
`forward` answers. With a frozen encoder this is a probe: what one linear map cannot read is not plainly there.
"""

from dataclasses import dataclass
from typing import Optional  # in dataclasses only: fairseq's parser does not read `X | None`

import torch
import torch.nn.functional as F
from fairseq.data import Dictionary
from fairseq.dataclass import FairseqDataclass
from fairseq.models import register_model
from torch import Tensor, nn

from csc_fairseq.data.transcripts import SUFFIX, require_transcripts
from csc_fairseq.errors import InputError
from csc_fairseq.frame_encoders.protocol import FrameEncoder
from csc_fairseq.models.pretrained import SETTINGS, encoder_for
from csc_fairseq.models.resting_encoder import RestingEncoderModel
from csc_fairseq.modules.loudness import loudest_streams
from csc_fairseq.modules.verifier_head import LayerWeights
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
class CtcProbe(RestingEncoderModel):
    """An encoder, learned weights of its layers, and one linear map from frames to the logits of the dictionary.

    Of an encoder that separates, each recording's stream with the most energy is read. Frames are normalised to zero mean and
    unit variance over their channels first, without parameters, so that one learning rate fits encoders of any scale (our
    choice).

    Args:
        cfg: options; `pretrained` is not read.
        encoder: to be read from.
        symbols: size of the dictionary.
        blank: index of CTC's blank in it.

    Raises:
        InputError: a frozen encoder that is to thaw, a share of dropout outside [0, 1).
    """

    def __init__(self, cfg: CtcProbeConfig, encoder: FrameEncoder, symbols: int, blank: int) -> None:
        super().__init__(encoder, cfg.frozen, cfg.freeze_updates)
        if not 0 <= cfg.dropout < 1:
            raise InputError(f"model.dropout is {cfg.dropout}; expected a share from 0 to below 1")
        self.cfg = cfg
        self.blank = blank
        self.layer_weights = LayerWeights(encoder.layers)
        self.dropout = nn.Dropout(cfg.dropout)
        self.projection = nn.Linear(encoder.channels, symbols)
        self.train()  # puts a resting encoder into evaluation mode

    @classmethod
    def build_model(cls, cfg: CtcProbeConfig, task: object) -> "CtcProbe":
        """Called by fairseq; the task knows the dictionary, and a restored one the encoder's sizes.

        Raises:
            InputError: what `encoder_for`, `require_transcripts` and the model refuse; other labels, another sample rate, or
                normalised waveforms.
        """
        if task.cfg.labels != SUFFIX:
            raise InputError(f"task.labels is {task.cfg.labels!r}, expected {SUFFIX}, the letters of the transcripts")
        if task.cfg.normalize:
            raise InputError(
                "task.normalize is true, expected false: encoders scale waveforms themselves, as they were trained"
            )
        if SETTINGS not in task.state.state_dict:  # a checkpoint loads without its data
            require_transcripts(task.cfg.data)
        encoder = encoder_for(task, cfg.pretrained)
        if task.cfg.sample_rate != encoder.sample_rate:
            raise InputError(
                f"{cfg.pretrained}: was trained at {encoder.sample_rate} Hz, task.sample_rate is {task.cfg.sample_rate}; "
                f"set task.sample_rate={encoder.sample_rate}, and convert recordings of another rate"
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
        stream = loudest_streams(encoded.estimates, len(source), source.device)
        frames = self.layer_weights(encoded.layers)  # (B, C, L, D)
        frames = frames[torch.arange(len(stream), device=stream.device), stream]
        frames = frames.masked_fill(encoded.padding.unsqueeze(-1), 0.0).to(self.projection.weight.dtype)
        frames = self.dropout(F.layer_norm(frames, frames.shape[-1:]))
        return {
            "encoder_out": self.projection(frames).transpose(0, 1),
            "padding_mask": None if padding_mask is None else encoded.padding,
        }

    def get_logits(self, net_output: dict[str, Tensor | None], normalize: bool = False) -> Tensor:
        """(L, B, symbols) float32 logits of `forward`'s answer, or log-probabilities; where there is padding, surely blank."""
        logits = net_output["encoder_out"].float()
        if net_output["padding_mask"] is not None:
            blank = torch.full_like(logits[0, 0], -torch.inf)
            blank[self.blank] = 0.0
            logits = torch.where(net_output["padding_mask"].T.unsqueeze(-1), blank, logits)
        return logits.log_softmax(-1) if normalize else logits

    def get_normalized_probs(
        self, net_output: dict[str, Tensor | None], log_probs: bool, sample: dict | None = None
    ) -> Tensor:
        """(L, B, symbols) float32 probabilities, or their logarithms; see `get_logits`."""
        log_probabilities = self.get_logits(net_output, normalize=True)
        return log_probabilities if log_probs else log_probabilities.exp()
