"""Letters from frames: a weighted sum of layers and one linear map, for connectionist temporal classification (CTC)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from csc_fairseq.modules.loudness import loudest_streams
from csc_fairseq.modules.verifier_head import LayerWeights


class CtcHead(nn.Module):
    """Of a backbone that separates, each recording's stream with the most energy is read.

    Frames are normalised to zero mean and unit variance over their channels first, without parameters, so that one learning
    rate fits backbones of any scale (our choice).

    Args:
        layers: K, of the backbone. channels: D of its frames. symbols: size of the dictionary. blank: index of CTC's blank.
        dropout: share of the frames' channels that training drops.
    """

    def __init__(self, layers: int, channels: int, symbols: int, blank: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.blank = blank
        self.layer_weights = LayerWeights(layers)
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Linear(channels, symbols)

    def forward(self, layers: Tensor, padding: Tensor, estimates: Tensor | None) -> Tensor:
        """What a backbone says (`EncodedFrames`) to logits.

        Args:
            layers: (K, B, C, L, D). padding: (B, L), True = padding. estimates: (B, C, T); None if it does not separate.

        Returns:
            (L, B, symbols) logits.
        """
        frames = self.layer_weights(layers)  # (B, C, L, D)
        stream = loudest_streams(estimates, len(frames), frames.device)
        frames = frames[torch.arange(len(stream), device=stream.device), stream]
        frames = frames.masked_fill(padding.unsqueeze(-1), 0.0).to(self.projection.weight.dtype)
        return self.projection(self.dropout(F.layer_norm(frames, frames.shape[-1:]))).transpose(0, 1)

    def log_probabilities(self, logits: Tensor, padding: Tensor | None, normalize: bool = True) -> Tensor:
        """(L, B, symbols) float32 log-probabilities, or for normalize=False logits; padded frames are surely blank.

        logits: of `forward`. padding: (B, L), True = padding; None: none.
        """
        logits = logits.float()
        if padding is not None:
            blank = torch.full_like(logits[0, 0], -torch.inf)
            blank[self.blank] = 0.0
            logits = torch.where(padding.T.unsqueeze(-1), blank, logits)
        return logits.log_softmax(-1) if normalize else logits
