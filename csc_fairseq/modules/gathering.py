"""Rows of all ranks together: with gradients within a step, without them after an update."""

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor


def gather_rows(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Joins tensors (n, …) of all ranks along n, in the order of the ranks, which may hold different n.

    Floating tensors keep their gradient: each rank's rows get the sum of what all ranks' losses say of them. All ranks must call
    this together, forwards and backwards. Without several ranks, the tensors themselves.
    """
    tensors = list(tensors)
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return tensors
    count = torch.tensor([len(tensors[0])], device=tensors[0].device)
    counts = [torch.zeros_like(count) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, count)
    sizes = [int(size) for size in counts]
    return [_Gather.apply(tensor, sizes) for tensor in tensors]


def gather_over_ranks(staged: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
    """The staged batches of all ranks, the same list on each: the first of rank 0, of rank 1, …, then the second ones.

    A single process would have met them in this order. Ranks may hold batches of different sizes.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return staged
    by_rank: list[list[tuple[Tensor, Tensor]]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(by_rank, [(queries.cpu(), recordings.cpu()) for queries, recordings in staged])
    steps = max(len(batches) for batches in by_rank)
    return [batches[step] for step in range(steps) for batches in by_rank if step < len(batches)]


class Staged:
    """What the batches of an update held, until the update is done: embeddings, and something of each."""

    def __init__(self) -> None:
        self._batches: list[tuple[Tensor, Tensor]] = []

    def __len__(self) -> int:
        """Number of batches."""
        return len(self._batches)

    def add(self, embeddings: Tensor, labels: Tensor) -> None:
        """Keeps (n, E) embeddings without their gradient, and (n, …) whom or what they are of."""
        self._batches.append((embeddings.detach().float(), labels))

    def discard(self, everything: bool = False) -> None:
        """Forgets the last batch, a dummy that fairseq gave to a rank without data; or everything, of an update not made."""
        del self._batches[0 if everything else -1 :]

    def gathered(self) -> list[tuple[Tensor, Tensor]]:
        """The batches of all ranks, which call this together. Then it is empty.

        Embeddings that are not finite are left out: they must not poison later ones.
        """
        batches, self._batches = gather_over_ranks(self._batches), []
        sound = [embeddings.isfinite().all(dim=1) for embeddings, _ in batches]
        return [(embeddings[kept], labels[kept]) for (embeddings, labels), kept in zip(batches, sound, strict=True)]

    def collect(self, device: torch.device) -> tuple[Tensor, Tensor] | None:
        """What `gathered` gives, as one batch on a device; None for nothing."""
        batches = self.gathered()
        if not any(len(embeddings) for embeddings, _ in batches):
            return None
        embeddings, labels = (torch.cat([batch[i] for batch in batches]).to(device) for i in (0, 1))
        return embeddings, labels


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows: Tensor, sizes: list[int]) -> Tensor:
        ctx.sizes = sizes
        return _gather(rows, sizes)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return gradient.split(ctx.sizes)[dist.get_rank()], None


def _gather(rows: Tensor, sizes: list[int]) -> Tensor:
    padded = rows.new_zeros(max(sizes), *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
