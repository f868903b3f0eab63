"""Long recordings: overlapping chunks whose streams are put in one order and cross-faded (all our choice).

A model decides for every input again which talker goes to which stream. So each chunk's streams are permuted to fit the
chunk before it where they overlap, and cross-faded there. Where everybody is silent during an overlap, the order cannot be
known and may change.

    samples     0        6 s      8 s       12 s     14 s
    chunk 1     [==================]
    its weight   1 1 1 1 1 1\\\\0                             falls over the overlap of 2 s
    chunk 2              [==================]                  its streams permuted to fit chunk 1 between 6 s and 8 s
    its weight           0////1 1 1 1 1 1\\\\0
    chunk 3                        ...

The last chunk ends with the recording, so its overlap may be longer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations

import torch
import torch.nn.functional as F
from torch import Tensor

from csc_fairseq.modules.loudness import loudest_streams

# The network: waveforms (B, T) of equal length to estimates (B, C, T) and queries (B, C, E).
Network = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class SeparatedVoices:
    """Result for one recording.

    estimates: [C, T], at the input's level; None for models that do not separate. queries: [C, E], the embeddings, of unit
    norm; row c is stream c.
    """

    estimates: Tensor | None
    queries: Tensor

    @property
    def loudest(self) -> int:
        """The stream with the most energy: the voice of a recording in which one person talks."""
        estimates = None if self.estimates is None else self.estimates.unsqueeze(0)
        return int(loudest_streams(estimates, 1, self.queries.device))


@dataclass(frozen=True)
class ChunkOptions:
    """Lengths in samples: recordings above `longest` are cut into chunks of `chunk`, `overlap` or more of it shared."""

    longest: int
    chunk: int
    overlap: int

    def __post_init__(self) -> None:
        if not 0 < self.overlap <= self.chunk // 2 or self.chunk > self.longest:
            raise ValueError(f"{self}: expected 0 < overlap <= chunk / 2 and chunk <= longest")

    @classmethod
    def for_rate(cls, sample_rate: int) -> "ChunkOptions":
        """Chunks of 8 s with 2 s of overlap for recordings longer than 12 s."""
        return cls(longest=12 * sample_rate, chunk=8 * sample_rate, overlap=2 * sample_rate)


def chunk_starts(samples: int, options: ChunkOptions) -> list[int]:
    """First sample of every chunk; the last one ends with the recording, so its overlap may be larger."""
    hop = options.chunk - options.overlap
    last = samples - options.chunk
    return [*range(0, last, hop), last]


def best_order(reference: Tensor, streams: Tensor) -> tuple[int, ...]:
    """Order of `streams` [C, T] that fits `reference` [C, T] best: largest sum of inner products.

    That is the order of least squared difference. Inner products are not normalised: a loud stream knows its place
    better than a stream in which nobody speaks. On a tie (silence) the order stays.
    """
    similarity = (reference.double() @ streams.double().T).tolist()
    # max() takes the first of equals, and the first permutation is the identity.
    return max(permutations(range(len(streams))), key=lambda order: sum(similarity[c][o] for c, o in enumerate(order)))


def analyse_long(network: Network, waveform: Tensor, options: ChunkOptions, chunks_per_batch: int) -> SeparatedVoices:
    """Separate and embed one recording longer than `options.longest`.

    The queries are those of the chunks, averaged with each stream's RMS in the chunk as weight and normalised again: a
    chunk in which a talker is silent says nothing about the voice.

    Args:
        network: see `Network`.
        waveform: [T].
        options: lengths of chunks.
        chunks_per_batch: chunks that run at once; memory grows with it.
    """
    starts = chunk_starts(len(waveform), options)
    estimates = queries = covered = None
    for first in range(0, len(starts), chunks_per_batch):
        batch = starts[first : first + chunks_per_batch]
        outputs = network(torch.stack([waveform[start : start + options.chunk] for start in batch]))
        for start, streams, embeddings in zip(batch, *outputs, strict=True):
            if estimates is None:
                estimates = streams.new_zeros(len(streams), len(waveform))
                queries = torch.zeros_like(embeddings)
            else:
                overlap = covered - start
                order = list(best_order(estimates[:, start:covered], streams[:, :overlap]))
                streams, embeddings = streams[order].clone(), embeddings[order]
                rising = (torch.arange(overlap, device=streams.device) + 0.5) / overlap
                streams[:, :overlap] = streams[:, :overlap] * rising + estimates[:, start:covered] * (1 - rising)
            queries += embeddings * streams.square().mean(-1, keepdim=True).sqrt()
            covered = start + options.chunk
            estimates[:, start:covered] = streams
    return SeparatedVoices(estimates, F.normalize(queries, dim=-1))
