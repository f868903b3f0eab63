"""Half-overlapping segments of a frame sequence, and their exact inverse, as GALR has them (arXiv 2101.05014).

Seven frames, K = 4, hop 2. One hop of zeros comes first, and zeros fill the end::

    frames                    0  1  2  3  4  5  6
    padded              .  .  0  1  2  3  4  5  6  .  .  .

    segments  0         .  .  0  1
              1               0  1  2  3
              2                     2  3  4  5
              3                           4  5  6  .
              4                                 6  .  .  .

    second halves             0  1  2  3  4  5  6  .              of segments 0 to 3
    first halves              0  1  2  3  4  5  6  .              of segments 1 to 4
    overlap_add               0  1  2  3  4  5  6                 the mean of the two rows above, cut to seven frames

Every frame is in two segments, once in the second half and once in the first half of the next one. A network between the two steps
changes the values, and `overlap_add` averages its two answers for a frame.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def segment(frames: Tensor, length: int) -> Tensor:
    """Cuts frames into half-overlapping segments.

    Args:
        frames: (B, L, D), or (B, L) for masks.
        length: K, frames per segment, even; the hop is K/2.

    Returns:
        (B, S, K, D) with S = ceil(L / (K/2)) + 1. The ends are padded with zeros (False), so that every frame is in exactly two
        segments.
    """
    hop = length // 2
    batch, count = frames.shape[:2]
    blocks = -(-count // hop) + 2
    tail = (blocks - 1) * hop - count
    widths = (0, 0) * (frames.dim() - 2) + (hop, tail)
    padded = F.pad(frames, widths)
    halves = padded.reshape(batch, blocks, hop, *frames.shape[2:])
    return torch.cat([halves[:, :-1], halves[:, 1:]], dim=2)


def segment_padding(padding: Tensor, length: int) -> Tensor:
    """(B, L) frame padding (True = padded) to (B, S, K). The frames that segmentation adds count as padding."""
    return ~segment(~padding, length)


def overlap_add(segments: Tensor, count: int) -> Tensor:
    """(B, S, K, D) segments back to (B, count, D): the mean of the two values of each frame, which inverts `segment`."""
    batch, _, length, channels = segments.shape
    hop = length // 2
    first, second = segments[:, :, :hop], segments[:, :, hop:]
    inner = (first[:, 1:] + second[:, :-1]) * 0.5
    return inner.reshape(batch, -1, channels)[:, :count]
