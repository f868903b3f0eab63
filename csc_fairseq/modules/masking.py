"""Separation head: one mask in [0, 1] per source on the waveform encoder's frames (our choice)."""

from torch import Tensor, nn


class MaskEstimator(nn.Module):
    """1×1 convolution (here: a linear map per frame) to C masks, each in [0, 1]."""

    def __init__(self, channels: int, sources: int, waveform_channels: int) -> None:
        super().__init__()
        self.sources = sources
        self.activation = nn.PReLU()
        self.masks = nn.Linear(channels, sources * waveform_channels)

    def forward(self, frames: Tensor) -> Tensor:
        """(B, L, D) to (B, C, L, F) masks in [0, 1]."""
        masks = self.masks(self.activation(frames)).sigmoid()
        return masks.unflatten(-1, (self.sources, -1)).transpose(1, 2)
