"""What a head asks of a backbone, whatever pre-trained it: waveforms in, frames of every layer out."""

from typing import Any, NamedTuple

from torch import Tensor, nn


class EncodedFrames(NamedTuple):
    """What a backbone says about B waveforms of T samples."""

    layers: Tensor
    """(K, B, C, L, D) frames of K layers, for each of C streams. Padded frames may hold anything."""
    padding: Tensor
    """(B, L) bool, True = padding."""
    embeddings: Tensor | None
    """(B, C, E) the backbone's own embeddings, float32 of unit norm; None if it has none."""
    estimates: Tensor | None
    """(B, C, T) separated waveforms at the level of the input, zeros where padded, row c belonging to stream c; None if it does not
    separate."""


class Backbone(nn.Module):
    """Waveforms to frames.

    Args:
        sample_rate: Hz of the waveforms that it takes.
        streams: C, 1 for backbones that do not tell talkers apart.
        layers: K.
        channels: D.
        embedding_channels: E, None for backbones without an embedding of their own.
        shortest: fewest valid samples of a waveform; shorter ones give undefined frames.
        settings: plain values from which `backbone_from_settings` builds the same network, without its weights.
    """

    padding_matters = False
    """Whether frames of a padded waveform differ from those of the waveform alone."""
    period = 1
    """Samples after which it sees a waveform as before, where it matters where a recording begins; see inference/alignment.py."""

    def __init__(
        self,
        *,
        sample_rate: int,
        streams: int,
        layers: int,
        channels: int,
        embedding_channels: int | None,
        shortest: int,
        settings: dict[str, Any],
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.streams = streams
        self.layers = layers
        self.channels = channels
        self.embedding_channels = embedding_channels
        self.shortest = shortest
        self.settings = settings

    def forward(self, source: Tensor, padding_mask: Tensor | None = None) -> EncodedFrames:
        """Encodes waveforms; each backbone scales them as it was trained.

        Args:
            source: (B, T) waveforms of any level. padding_mask: (B, T) bool, True = padding, at the end; None: none.
        """
        raise NotImplementedError

    def blocks(self) -> list[nn.Module]:
        """The backbone in parts, from input to output: what is frozen from the input upwards, or learns at rates of its own.

        Every parameter is in exactly one block.
        """
        raise NotImplementedError

    def rest(self, count: int) -> None:
        """Puts the lowest `count` blocks into evaluation mode, whatever mode the others are in."""
        for block in self.blocks()[:count]:
            block.eval()
