"""Learned waveform encoder and decoder (our choice: the free filterbank of time-domain separation)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def frame_count(samples: int | Tensor, hop: int) -> int | Tensor:
    """Frames of a waveform: ceil(samples / hop) + 1, so that every sample lies in exactly two of them.

    One hop of zeros comes before the waveform, and zeros complete the last frame.
    """
    return (samples + hop - 1) // hop + 1


class WaveformEncoder(nn.Module):
    """ReLU(Conv1d) from samples to non-negative frames.

    Args:
        channels: number of filters F.
        window: filter length in samples, even; the hop is half of it.
    """

    def __init__(self, channels: int, window: int) -> None:
        super().__init__()
        self.window, self.hop = window, window // 2
        self.filters = nn.Conv1d(1, channels, window, stride=self.hop, bias=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """(B, T) samples to (B, F, L) non-negative frames, L = frame_count(T)."""
        samples = waveform.shape[-1]
        frames = frame_count(samples, self.hop)
        tail = frames * self.hop - samples
        padded = F.pad(waveform, (self.hop, tail))
        return F.relu(self.filters(padded.unsqueeze(1)))


class WaveformDecoder(nn.Module):
    """Transposed convolution from frames back to samples; sizes mirror `WaveformEncoder`."""

    def __init__(self, channels: int, window: int) -> None:
        super().__init__()
        self.hop = window // 2
        self.filters = nn.ConvTranspose1d(channels, 1, window, stride=self.hop, bias=False)

    def forward(self, frames: Tensor, samples: int) -> Tensor:
        """(B, F, L) frames to (B, samples) waveforms."""
        waveform = self.filters(frames).squeeze(1)
        return waveform[:, self.hop : self.hop + samples]


class GlobalNorm(nn.Module):
    """Normalises over the channels *and* valid frames of each example, with a gain and a bias per channel.

    Unlike a norm per frame, it keeps how loud frames are relative to each other (our choice, after the global layer norm of
    time-domain separation). Padded frames enter no statistic.
    """

    def __init__(self, channels: int, eps: float = 1e-8) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, frames: Tensor, padding: Tensor) -> Tensor:
        """(B, L, F) frames and (B, L) padding (True = padded) to (B, L, F). What padded frames hold means nothing."""
        # In float32: there are more numbers than half precision can count.
        valid = (~padding).unsqueeze(-1).float()
        count = valid.sum(1, keepdim=True) * frames.shape[-1]
        mean = (frames.float() * valid).sum((1, 2), keepdim=True) / count
        centred = frames.float() - mean
        variance = (centred.square() * valid).sum((1, 2), keepdim=True) / count
        return (centred * torch.rsqrt(variance + self.eps)).to(frames.dtype) * self.gain + self.bias
