"""Recordings of different lengths in batches of bounded size."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


def batches_of(order: list[int], lengths: list[int], most: int, equal: bool) -> Iterator[list[int]]:
    """Cuts positions in order of rising length into batches of at most `most` samples when padded to the longest.

    equal: only recordings of one length share a batch.
    """
    batch: list[int] = []
    for i in order:
        if batch and ((len(batch) + 1) * lengths[i] > most or (equal and lengths[i] != lengths[batch[0]])):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def pad(waveforms: Sequence[Tensor], device: torch.device) -> tuple[Tensor, Tensor]:
    """Waveforms [T_i] to a batch (B, T) with zeros at the end, and its padding mask (B, T), True = padding."""
    lengths = torch.tensor([len(waveform) for waveform in waveforms], device=device)
    batch = torch.nn.utils.rnn.pad_sequence([waveform.to(device) for waveform in waveforms], batch_first=True)
    return batch, torch.arange(batch.shape[1], device=device) >= lengths.unsqueeze(1)
