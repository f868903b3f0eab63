"""Utterance-level permutation-invariant training (uPIT, arXiv 1703.06284): which output belongs to which source."""

from itertools import permutations

import torch
from torch import Tensor

from csc_fairseq.errors import InputError
from csc_fairseq.losses.si_snr import pairwise_si_snr, silence_cost

MAX_SOURCES = 6


def best_permutation(costs: Tensor) -> tuple[Tensor, Tensor]:
    """The assignment of outputs to sources with the least mean cost, by trying all C! of them.

    Args:
        costs: (B, C, C); [b, i, j] is the cost of giving output i to source j.

    Returns:
        (B,) least mean cost, differentiable, and (B, C) long: entry j is the output that source j got.

    Raises:
        InputError: C > 6, which has too many permutations to try.
    """
    sources = costs.shape[-1]
    if sources > MAX_SOURCES:
        raise InputError(
            f"{sources} sources per mixture; expected {MAX_SOURCES} at most, since permutation-invariant training tries all orders"
        )
    orders = torch.tensor(list(permutations(range(sources))), device=costs.device)  # (C!, C)
    totals = costs[:, orders, torch.arange(sources, device=costs.device)].mean(-1)  # (B, C!)
    least, choice = totals.min(dim=1)
    return least, orders[choice]


def separation_costs(
    estimates: Tensor, sources: Tensor, present: Tensor, mixture: Tensor, ceiling_db: float = 30.0
) -> Tensor:
    """Cost of every (output, source) pair.

    Args:
        estimates, sources: (B, C, T). present: (B, C) bool. mixture: (B, T).
        ceiling_db: pairs already better than this get no gradient.

    Returns:
        (B, C, C) dB, smaller is better: −SI-SNR for a present source, `silence_cost` for an absent one. SI-SNR does not depend on
        the level, so it cannot teach silence.
    """
    distance = (-pairwise_si_snr(estimates, sources)).clamp_min(-ceiling_db)
    silence = silence_cost(estimates, mixture).unsqueeze(2)
    return torch.where(present.unsqueeze(1), distance, silence)


def reorder(streams: Tensor, permutation: Tensor) -> Tensor:
    """(B, C, ...) outputs into the order of the sources, by a (B, C) permutation as `best_permutation` gives it."""
    index = permutation.reshape(*permutation.shape, *(1,) * (streams.dim() - 2)).expand(-1, -1, *streams.shape[2:])
    return streams.gather(1, index)
