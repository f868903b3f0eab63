"""A model that separates and knows everybody by construction: each talker has samples of their own."""

from typing import Any

import numpy as np
import torch
from torch import nn

from csc_fairseq.inference.embedding_model import EmbeddingModel

RATE = 1000  # Hz
TALKERS, SLOTS = 3, 4  # talker k has samples k, k + 4, k + 8, ...; windows begin at multiples of 4
HALF = 2**-11 * 0.4  # what half precision may be off, of samples below 0.4


class Interleaved(EmbeddingModel):
    """Two streams, the two loudest talkers, in an order that changes from window to window; the query names the talker."""

    def __init__(self, streams: int = 2) -> None:
        self.heard: list[tuple[int, ...]] = []
        self.order = np.random.default_rng(0)
        super().__init__(
            nn.Linear(1, 1),
            kind="interleaved",
            sample_rate=RATE,
            identity_level="speaker",
            streams=streams,
            embedding_size=4,
            shortest=10,
            separates=streams > 1,
            padding_matters=True,
            period=1,
        )

    def _encode(self, waveforms: torch.Tensor, padding_mask: torch.Tensor | None) -> tuple[Any, torch.Tensor]:
        self.heard.append(tuple(waveforms.shape))
        slots = torch.arange(waveforms.shape[1]) % SLOTS
        parts = torch.stack([waveforms * (slots == talker) for talker in range(TALKERS)], dim=1)
        loudest = parts.square().sum(-1).argsort(descending=True, stable=True)[:, : self.streams]
        loudest = torch.stack([row[torch.from_numpy(self.order.permutation(self.streams))] for row in loudest])
        rows = torch.arange(len(waveforms))[:, None]
        return (parts[rows, loudest] if self.separates else None), torch.eye(4)[loudest]


class AtAnyLevel(Interleaved):
    """The same, but one stream is loud and upside down and the other faint."""

    def _encode(self, waveforms: torch.Tensor, padding_mask: torch.Tensor | None) -> tuple[Any, torch.Tensor]:
        estimates, queries = super()._encode(waveforms, padding_mask)
        return estimates * torch.tensor([[-3.0], [0.01]]), queries


def talkers(turns, seconds):
    """(3, T): what each talker says, noise at their own samples, with gaps of 20 ms as between syllables."""
    number = np.arange(seconds * RATE)
    noise = 0.1 * np.clip(np.random.default_rng(0).standard_normal(len(number)), -3.9, 3.9) * (number // 20 % 6 != 3)
    sources = np.zeros((TALKERS, len(number)), np.float32)
    for talker, first, last in turns:
        sources[talker] += noise * ((number >= first * RATE) & (number < last * RATE) & (number % SLOTS == talker))
    return sources
