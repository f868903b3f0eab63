"""Segments of a frame sequence, as GALR has them (arXiv 2101.05014), and segments without overlap, which cost half.

`Overlapping`. Seven frames, K = 4, hop 2. One hop of zeros comes first, and zeros fill the end::

    frames                    0  1  2  3  4  5  6
    padded              .  .  0  1  2  3  4  5  6  .  .  .

    segments  0         .  .  0  1
              1               0  1  2  3
              2                     2  3  4  5
              3                           4  5  6  .
              4                                 6  .  .  .

    second halves             0  1  2  3  4  5  6  .              of segments 0 to 3
    first halves              0  1  2  3  4  5  6  .              of segments 1 to 4
    join                      0  1  2  3  4  5  6                 the mean of the two rows above, cut to seven frames

Every frame is in two segments, once in the second half and once in the first half of the next one. A network between the two steps
changes the values, and `join` averages its two answers for a frame.

`Alternating` (our choice). Every frame is in one segment. Every other block sees segments that begin half a segment later, so that
no border stays a border::

    blocks 0, 2, …      .  .  0  1 | 2  3  4  5 | 6  .  .  .
    blocks 1, 3, …            0  1  2  3 | 4  5  6  .
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Block = Callable[[Tensor, Tensor], Tensor]


class Segmentation(ABC):
    """How blocks see frames. length: K, frames per segment, even."""

    def __init__(self, length: int) -> None:
        self.length = length

    @abstractmethod
    def split(self, frames: Tensor) -> Tensor:
        """(B, L, D), or (B, L) for masks, to segments (B, S, K, D), or (B, S, K). The ends are padded with zeros (False)."""

    @abstractmethod
    def join(self, segments: Tensor, count: int) -> Tensor:
        """(B, S, K, D) segments back to (B, count, D); inverts `split`."""

    def padding(self, padding: Tensor) -> Tensor:
        """(B, L) frame padding (True = padded) to (B, S, K). The frames that segmentation adds count as padding."""
        return ~self.split(~padding)

    def apply(self, block: Block, number: int, segments: Tensor, valid: Tensor) -> Tensor:
        """Block `number` of a chain, counted from 0, on segments (B, S, K, D) with validity (B, S, K, 1); the same shape."""
        return block(segments, valid)


class Overlapping(Segmentation):
    """Half-overlapping segments: the hop is K/2, S = ceil(L / (K/2)) + 1, and every frame is in exactly two segments."""

    def split(self, frames: Tensor) -> Tensor:
        """See `Segmentation.split`."""
        halves = _halves(frames, self.length // 2, extra=1)
        return torch.cat([halves[:, :-1], halves[:, 1:]], dim=2)

    def join(self, segments: Tensor, count: int) -> Tensor:
        """The mean of the two values of each frame."""
        hop = self.length // 2
        first, second = segments[:, :, :hop], segments[:, :, hop:]
        inner = (first[:, 1:] + second[:, :-1]) * 0.5
        return inner.flatten(1, 2)[:, :count]


class Alternating(Segmentation):
    """Segments without overlap, which begin half a segment later for every other block."""

    def split(self, frames: Tensor) -> Tensor:
        """See `Segmentation.split`; as blocks of even number see them."""
        hop = self.length // 2
        blocks = -(-frames.shape[1] // hop)
        halves = _halves(frames, hop, extra=1 + blocks % 2)
        return halves.reshape(len(frames), -1, self.length, *frames.shape[2:])

    def join(self, segments: Tensor, count: int) -> Tensor:
        """The frames, in their order."""
        hop = self.length // 2
        return segments.flatten(1, 2)[:, hop : hop + count]

    def apply(self, block: Block, number: int, segments: Tensor, valid: Tensor) -> Tensor:
        """See `Segmentation.apply`. The two outermost halves hold no frame, and are left as they are for odd numbers."""
        if number % 2 == 0:
            return block(segments, valid)
        frames, hop = segments.flatten(1, 2), self.length // 2
        inner = block(self._shifted(segments), self._shifted(valid)).flatten(1, 2)
        return torch.cat([frames[:, :hop], inner, frames[:, -hop:]], dim=1).view_as(segments)

    def _shifted(self, segments: Tensor) -> Tensor:
        hop = self.length // 2
        return segments.flatten(1, 2)[:, hop:-hop].unflatten(1, (-1, self.length))


def _halves(frames: Tensor, hop: int, extra: int) -> Tensor:
    """(B, L, …) to (B, ceil(L / hop) + 1 + extra, hop, …): one of zeros comes first, `extra` of them last."""
    batch, count = frames.shape[:2]
    blocks = -(-count // hop) + 1 + extra
    widths = (0, 0) * (frames.dim() - 2) + (hop, (blocks - 1) * hop - count)
    return F.pad(frames, widths).reshape(batch, blocks, hop, *frames.shape[2:])
