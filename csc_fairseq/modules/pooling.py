"""Speaker head: C streams of frame features, pooled over time into one query per talker (csc.md 1.5)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def masked_stream_energy(masks: Tensor, frames: Tensor) -> Tensor:
    """How much of each frame a stream owns, and how loud the stream is there.

    Args:
        masks: (B, C, L, F) in [0, 1].
        frames: (B, L, F) non-negative frames of the waveform encoder.

    Returns:
        (B, C, L, 2): log share of the frame's energy in [-7, 0], log energy relative to the stream's loudest frame in [-7, 0].
        Detached: the embedding must not change the masks through it.
    """
    energy = (masks * frames.unsqueeze(1)).sum(-1).detach()
    floor = 1e-3
    share = energy / energy.sum(1, keepdim=True).clamp_min(1e-8)
    loudness = energy / energy.amax(-1, keepdim=True).clamp_min(1e-8)
    return torch.stack([(share + floor).log(), (loudness + floor).log()], dim=-1)


class AttentiveStatistics(nn.Module):
    """Attention-weighted mean and standard deviation over time, one scalar weight a frame."""

    def __init__(self, channels: int, cues: int, hidden: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(channels + cues, hidden), nn.Tanh(), nn.Linear(hidden, 1))

    def forward(self, frames: Tensor, cues: Tensor, padding: Tensor) -> Tensor:
        """(B, C, L, D) frames, (B, C, L, n) cues, (B, L) padding (True = padded) to (B, C, 2·D): mean, then deviation."""
        scores = self.score(torch.cat([frames, cues], dim=-1)).float()
        weights = scores.masked_fill(padding[:, None, :, None], -torch.inf).softmax(dim=2).to(frames.dtype)
        mean = (weights * frames).sum(2)
        variance = (weights * (frames - mean.unsqueeze(2)).square()).sum(2)
        return torch.cat([mean, (variance + 1e-5).sqrt()], dim=-1)


class SpeakerHead(nn.Module):
    """Frames to one unit-norm query per stream; a stream is tied to a waveform by that waveform's mask.

    Args:
        channels: D of the frames. sources: C. stream_channels: E_s. embedding_channels: E.
    """

    def __init__(self, channels: int, sources: int, stream_channels: int, embedding_channels: int) -> None:
        super().__init__()
        self.sources = sources
        self.streams = nn.Linear(channels, sources * stream_channels)
        self.activation = nn.PReLU()
        self.pooling = AttentiveStatistics(stream_channels, cues=2, hidden=stream_channels // 2)
        self.norm = nn.LayerNorm(2 * stream_channels)
        self.embedding = nn.Linear(2 * stream_channels, embedding_channels)

    def forward(self, frames: Tensor, cues: Tensor, padding: Tensor) -> Tensor:
        """(B, L, D) frames, (B, C, L, 2) energy cues, (B, L) padding to queries (B, C, E) of unit norm."""
        streams = self.activation(self.streams(frames)).unflatten(-1, (self.sources, -1)).transpose(1, 2)
        statistics = self.pooling(streams, cues, padding)
        return F.normalize(self.embedding(self.norm(statistics)).float(), dim=-1)
