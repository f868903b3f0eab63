"""From frames to one vector a stream: which layers count, and what is kept of time."""

import torch
from torch import Tensor, nn

from csc_fairseq.errors import InputError
from csc_fairseq.modules.pooling import AttentiveStatistics, weighted_statistics

POOLINGS = ("mean", "statistics", "attentive")
ATTENTION_CHANNELS = 128


class LayerWeights(nn.Module):
    """A weighted sum over layers; the weights are learnt, positive and sum to 1 (ELMo, arXiv 1802.05365, without its scale).

    At the start all layers count alike. A single layer has no weight to learn.
    """

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(layers)) if layers > 1 else None

    def shares(self) -> Tensor:
        """(K,) weights of the layers, float32."""
        return torch.ones(1) if self.logits is None else self.logits.float().softmax(0)

    def forward(self, layers: Tensor) -> Tensor:
        """(K, B, C, L, D) frames of K layers to (B, C, L, D)."""
        if self.logits is None:
            return layers.squeeze(0)
        return torch.einsum("k,kbcld->bcld", self.shares().to(layers.dtype), layers)


class FramePooling(nn.Module):
    """Frames to one vector per stream. Padding changes nothing.

    Args:
        channels: D of the frames.
        kind: mean; statistics (mean and standard deviation); attentive (both, with weights that are learnt).

    Raises:
        InputError: another kind.
    """

    def __init__(self, channels: int, kind: str) -> None:
        super().__init__()
        if kind not in POOLINGS:
            raise InputError(f"the pooling is {kind!r}, expected one of {', '.join(POOLINGS)}")
        self.kind = kind
        self.out_channels = channels if kind == "mean" else 2 * channels
        self.attention = (
            AttentiveStatistics(channels, cues=0, hidden=ATTENTION_CHANNELS) if kind == "attentive" else None
        )

    def forward(self, frames: Tensor, padding: Tensor) -> Tensor:
        """(B, C, L, D) frames and (B, L) padding (True = padded, at least one frame is not) to (B, C, out_channels)."""
        hidden = padding[:, None, :, None]
        frames = frames.masked_fill(hidden, 0.0)
        if self.attention is not None:
            return self.attention(frames, frames[..., :0], padding)
        valid = (~hidden).float()
        weights = (valid / valid.sum(2, keepdim=True)).to(frames.dtype)
        return (weights * frames).sum(2) if self.kind == "mean" else weighted_statistics(frames, weights)
