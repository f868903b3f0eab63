"""What all kinds of global speaker vectors have in common: embeddings go in, how well they find their identity comes out."""

from typing import NamedTuple

import torch
from torch import Tensor

from csc_fairseq.errors import InputError

KINDS = ("table", "table_mean", "views")
ALPHA_RANGE = (1.0, 40.0)


class Talkers(NamedTuple):
    """Who speaks in each of n streams."""

    rows: Tensor
    """(n,) long, row of the identity among the training identities, −1 if it is not one of them"""
    numbers: Tensor
    """(n,) long, number of the identity within its manifest, never −1"""
    views: Tensor
    """(n,) long, which view of its item the stream's mixture is"""


class Identification(NamedTuple):
    """How well n embeddings tell their identities."""

    losses: Tensor
    """(n,) nats, smaller is better; meaningless where not `scored`"""
    scored: Tensor
    """(n,) bool, whether there was a global vector to find"""
    correct: Tensor
    """(n,) bool, whether the nearest global vector is the own one"""
    entropy: Tensor
    """(n,) nats, of the identities among which the own one is to be found: at most the log of their number"""


def alpha_buffer(alpha: float) -> Tensor:
    """α as a scalar tensor. InputError outside ALPHA_RANGE."""
    if not ALPHA_RANGE[0] <= alpha <= ALPHA_RANGE[1]:
        raise InputError(f"model.alpha is {alpha}; it must lie within [{ALPHA_RANGE[0]:g}, {ALPHA_RANGE[1]:g}]")
    return torch.tensor(float(alpha))
