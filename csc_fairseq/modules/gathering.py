"""Rows of all ranks, together, with gradients."""

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
