"""Speaker head: C streams of frame features, pooled over time into one query per talker (our choice: attentive statistics)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SPECTRUM_FLOOR = 1e-2  # of frames of unit scale: below -40 dB, filters carry noise rather than a voice


def stream_energy(masked: Tensor) -> Tensor:
    """How much of each frame a stream owns, and how loud the stream is there.

    Args:
        masked: (B, C, L, F) non-negative masked frames of the waveform encoder.

    Returns:
        (B, C, L, 2): log share of the streams' energy in [-7, 0], log energy relative to the stream's loudest frame in [-7, 0].
    """
    energy = masked.float().sum(-1)  # half precision takes the smallest divisor for 0
    floor = 1e-3
    share = energy / energy.sum(1, keepdim=True).clamp_min(1e-8)
    loudness = energy / energy.amax(-1, keepdim=True).clamp_min(1e-8)
    return torch.stack([(share + floor).log(), (loudness + floor).log()], dim=-1).to(masked.dtype)


def weighted_statistics(frames: Tensor, weights: Tensor) -> Tensor:
    """Mean, then standard deviation over time: (B, C, L, D) frames, (B, C, L, 1) weights that sum to 1, to (B, C, 2·D)."""
    mean = (weights * frames).sum(2)
    variance = (weights * (frames - mean.unsqueeze(2)).square()).sum(2)
    return torch.cat([mean, (variance + 1e-5).sqrt()], dim=-1)


class AttentiveStatistics(nn.Module):
    """Attention-weighted mean and standard deviation over time, with one weight per frame.

    Args:
        channels: D of the frames. cues: n, further figures per frame, which the weights depend on and the statistics do not.
        hidden: size of the hidden layer that computes the weights.
    """

    def __init__(self, channels: int, cues: int, hidden: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(channels + cues, hidden), nn.Tanh(), nn.Linear(hidden, 1))

    def forward(self, frames: Tensor, cues: Tensor, padding: Tensor) -> Tensor:
        """(B, C, L, D) frames, (B, C, L, n) cues, (B, L) padding (True = padded) to (B, C, 2·D): mean, then deviation."""
        scores = self.score(torch.cat([frames, cues], dim=-1)).float()
        weights = scores.masked_fill(padding[:, None, :, None], -torch.inf).softmax(dim=2).to(frames.dtype)
        return weighted_statistics(frames, weights)


class SpeakerHead(nn.Module):
    """Frames to one unit-norm query per stream. A stream belongs to a waveform because it reads what that waveform's mask leaves.

    A stream's frames are the sum of two linear maps. One is of the trunk's frames, with weights of its own for every stream. The
    other is of the log-spectrum that the stream's mask leaves, with the same weights for all streams (our choice: the trunk then
    need not carry the envelope of the voice).

    Args:
        channels: D of the frames. sources: C. waveform_channels: F. stream_channels: E_s. embedding_channels: E.
    """

    def __init__(
        self, channels: int, sources: int, waveform_channels: int, stream_channels: int, embedding_channels: int
    ) -> None:
        super().__init__()
        self.sources = sources
        self.streams = nn.Linear(channels, sources * stream_channels)
        self.spectrum_norm = nn.LayerNorm(waveform_channels)
        self.spectrum = nn.Linear(waveform_channels, stream_channels)
        self.activation = nn.PReLU()
        self.pooling = AttentiveStatistics(stream_channels, cues=2, hidden=stream_channels // 2)
        self.norm = nn.LayerNorm(2 * stream_channels)
        self.embedding = nn.Linear(2 * stream_channels, embedding_channels)

    def forward(self, frames: Tensor, masked: Tensor, padding: Tensor) -> Tensor:
        """(B, L, D) frames, (B, C, L, F) masked frames of the waveform encoder, (B, L) padding to queries (B, C, E) of unit norm.

        No gradient goes back through the masked frames: masks learn from separation alone.
        """
        return self.pool(*self.describe(frames, masked), padding)

    def describe(self, frames: Tensor, masked: Tensor) -> tuple[Tensor, Tensor]:
        """The streams before pooling: their frames (B, C, L, E_s), and their `stream_energy` cues (B, C, L, 2)."""
        masked = masked.detach()
        spectrum = self.spectrum(self.spectrum_norm((masked + SPECTRUM_FLOOR).log()))
        streams = self.streams(frames).unflatten(-1, (self.sources, -1)).transpose(1, 2)
        return self.activation(streams + spectrum), stream_energy(masked)

    def pool(self, streams: Tensor, cues: Tensor, padding: Tensor) -> Tensor:
        """What `describe` gives, and (B, L) padding, to queries (B, C, E) of unit norm."""
        return F.normalize(self.embedding(self.norm(self.pooling(streams, cues, padding))).float(), dim=-1)
