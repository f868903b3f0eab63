"""What a fine-tuning puts on a backbone: from the frames of its layers to one embedding per stream."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from csc_fairseq.errors import InputError
from csc_fairseq.modules.pooling import AttentiveStatistics, weighted_statistics

POOLINGS = ("mean", "statistics", "attentive")
ATTENTION_CHANNELS = 128
OWN = "own"
"""The pooling that takes the embeddings of the backbone itself."""


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


class VerifierHead(nn.Module):
    """Weighted sum of layers, pooling, layer norm, linear map; the same head for every backbone (our choice).

    With pooling "own" the linear map begins as the identity, if the embedding is to have the pre-trained one's size: the first
    cosines are those of pre-training, but for the mean that the layer norm takes away.

    Args:
        layers: K, of the backbone. channels: D of its frames. own_channels: size of its own embeddings, None if it has none.
        pooling: one of POOLINGS, or OWN. embedding_channels: E.

    Raises:
        InputError: another pooling, or OWN for a backbone without embeddings.
    """

    def __init__(
        self, layers: int, channels: int, own_channels: int | None, pooling: str, embedding_channels: int
    ) -> None:
        super().__init__()
        if pooling == OWN and own_channels is None:
            raise InputError(
                f"the pooling {OWN!r} needs a backbone with embeddings of its own; choose one of {', '.join(POOLINGS)}"
            )
        if pooling == OWN:
            self.layer_weights = self.pooling = None
            vector_channels = own_channels
        else:
            self.layer_weights = LayerWeights(layers)
            self.pooling = FramePooling(channels, pooling)
            vector_channels = self.pooling.out_channels
        self.norm = nn.LayerNorm(vector_channels)
        self.projection = nn.Linear(vector_channels, embedding_channels)
        if pooling == OWN and vector_channels == embedding_channels:
            nn.init.eye_(self.projection.weight)  # fine-tuning then begins with what pre-training reached
            nn.init.zeros_(self.projection.bias)

    def forward(self, layers: Tensor, padding: Tensor, own: Tensor | None) -> Tensor:
        """What a backbone says (`EncodedFrames`) to embeddings.

        Args:
            layers: (K, B, C, L, D). padding: (B, L), True = padding. own: (B, C, own_channels); None if it has none.

        Returns:
            (B, C, E) float32 of unit norm.
        """
        vectors = own if self.pooling is None else self.pooling(self.layer_weights(layers), padding)
        return F.normalize(self.projection(self.norm(vectors.to(self.projection.weight.dtype))).float(), dim=-1)
