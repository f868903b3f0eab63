"""What the verification fine-tune asks of an encoder, whatever pre-trained it."""

from typing import Any, NamedTuple

from torch import Tensor, nn


class EncodedFrames(NamedTuple):
    """What an encoder says about B waveforms of T samples."""

    layers: Tensor
    """(K, B, C, L, D) frames of K layers, for each of C streams. What stands in padded frames means nothing."""
    padding: Tensor
    """(B, L) bool, True = padding."""
    embeddings: Tensor | None
    """(B, C, E) the encoder's own embeddings, float32 of unit norm; None if it has none."""
    estimates: Tensor | None
    """(B, C, T) separated waveforms at the level of the input, zeros where padded, row c belonging to stream c; None if it does not
    separate."""


class FrameEncoder(nn.Module):
    """Waveforms to frames.

    Args:
        sample_rate: Hz of the waveforms that it takes.
        streams: C, 1 for encoders that do not tell talkers apart.
        layers: K.
        channels: D.
        embedding_channels: E, None for encoders without an embedding of their own.
        shortest: fewest valid samples of a waveform; what fewer give is undefined.
        settings: plain values that `encoder_from_settings` rebuilds the encoder from, all but its weights.
    """

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
        """Encodes waveforms; each encoder scales them as it was trained.

        Args:
            source: (B, T) waveforms of any level. padding_mask: (B, T) bool, True = padding, at the end; None: none.
        """
        raise NotImplementedError

    def blocks(self) -> list[nn.Module]:
        """The encoder in parts, from input to output: what is frozen from the input upwards, or learns at rates of its own.

        Every parameter is in exactly one block.
        """
        raise NotImplementedError

    def rest(self, count: int) -> None:
        """Puts the lowest `count` blocks into evaluation mode, whatever mode the others are in."""
        for block in self.blocks()[:count]:
            block.eval()
