"""Globally attentive, locally recurrent block (GALR, arXiv 2101.05014).

It differs from the published block in two ways: normalisation is per frame and comes first, so that padding enters no statistic;
positions of the segments are sinusoids without parameters.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def sinusoidal_positions(count: int, channels: int, device: torch.device) -> Tensor:
    """(count, channels) table of sines (first half of the channels) and cosines (second half), as in Transformers."""
    half = channels // 2
    rates = torch.exp(torch.arange(half, device=device) * (-math.log(10000.0) / max(half - 1, 1)))
    angles = torch.arange(count, device=device).unsqueeze(1) * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class LocalRecurrence(nn.Module):
    """A bidirectional LSTM along the frames of every segment, projected back to D channels."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.norm_in = nn.LayerNorm(channels)
        self.lstm = nn.LSTM(channels, hidden, bidirectional=True)
        self.projection = nn.Linear(2 * hidden, channels)
        self.norm_out = nn.LayerNorm(channels)

    def forward(self, segments: Tensor, valid: Tensor) -> Tensor:
        """(B, S, K, D) and (B, S, K, 1) in {0, 1} to (B, S, K, D). Padded frames enter as zeros, whatever else is in the batch."""
        batch, count, length, channels = segments.shape
        frames = (self.norm_in(segments) * valid).reshape(batch * count, length, channels).transpose(0, 1)
        hidden, _ = self.lstm(frames.contiguous())
        update = self.norm_out(self.projection(hidden))
        return update.transpose(0, 1).reshape(batch, count, length, channels)


class GlobalAttention(nn.Module):
    """Self-attention across segments, on Q learned combinations of each segment's K frames."""

    def __init__(self, channels: int, length: int, summaries: int, heads: int) -> None:
        super().__init__()
        self.norm_in = nn.LayerNorm(channels)
        self.reduce = nn.Linear(length, summaries)
        self.norm_reduced = nn.LayerNorm(channels)
        self.attention = nn.MultiheadAttention(channels, heads, batch_first=True)
        self.norm_attended = nn.LayerNorm(channels)
        self.expand = nn.Linear(summaries, length)
        self.norm_out = nn.LayerNorm(channels)

    def forward(self, segments: Tensor, valid: Tensor) -> Tensor:
        """(B, S, K, D) and (B, S, K, 1) in {0, 1} to (B, S, K, D). No segment attends to one without valid frames."""
        batch, count, _, channels = segments.shape
        summaries = self.reduce((self.norm_in(segments) * valid).transpose(2, 3))  # (B, S, D, Q)
        summaries = summaries.permute(0, 3, 1, 2).reshape(-1, count, channels)  # (B·Q, S, D)
        positions = sinusoidal_positions(count, channels, segments.device).to(segments.dtype)
        queries = self.norm_reduced(summaries) + positions
        unused = (valid.sum((2, 3)) == 0).repeat_interleave(self.reduce.out_features, dim=0)  # (B·Q, S)
        attended = self._attend(queries, unused)
        summaries = summaries + self.norm_attended(attended)
        expanded = self.expand(summaries.reshape(batch, -1, count, channels).permute(0, 2, 3, 1))  # (B, S, D, K)
        return self.norm_out(expanded.transpose(2, 3))

    def _attend(self, queries: Tensor, unused: Tensor) -> Tensor:
        """Multi-head attention, (N, S, D) to (N, S, D). `nn.MultiheadAttention` holds the weights, the fused kernel does the work.

        The module is not called: in evaluation mode it takes another path, which masks padded rows differently.
        """
        heads = self.attention.num_heads
        packed = F.linear(queries, self.attention.in_proj_weight, self.attention.in_proj_bias)
        query, key, value = packed.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)  # each (N, heads, S, D / heads)
        mask = torch.zeros_like(unused, dtype=queries.dtype).masked_fill(unused, -math.inf)[:, None, None]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.attention.out_proj(mixed.transpose(1, 2).flatten(2))


class GalrBlock(nn.Module):
    """One block: x + local recurrence, then + global attention.

    Args:
        channels: D. hidden: H, LSTM cells per direction. length: K, frames per segment. summaries: Q. heads: attention heads.
    """

    def __init__(self, channels: int, hidden: int, length: int, summaries: int, heads: int) -> None:
        super().__init__()
        self.local = LocalRecurrence(channels, hidden)
        self.across = GlobalAttention(channels, length, summaries, heads)

    def forward(self, segments: Tensor, valid: Tensor) -> Tensor:
        """(B, S, K, D) segments and (B, S, K, 1) validity in {0, 1} to (B, S, K, D)."""
        segments = segments + self.local(segments, valid)
        return segments + self.across(segments, valid)
