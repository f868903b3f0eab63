"""What all kinds of global speaker vectors have in common: embeddings go in, how well they find their identity comes out."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

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


class GlobalVectors(nn.Module, ABC):
    """Base of the kinds. It holds α in the state, as `_alpha`, so that a resumed training goes on with the α that it began with.

    α is not learnt: a learnt one sinks early on, and training crawls.

    Args:
        alpha: concentration α of the contrastive loss.

    Raises:
        InputError: α outside ALPHA_RANGE.
    """

    _alpha: Tensor

    def __init__(self, alpha: float) -> None:
        super().__init__()
        if not ALPHA_RANGE[0] <= alpha <= ALPHA_RANGE[1]:
            raise InputError(f"model.alpha is {alpha}; it must lie within [{ALPHA_RANGE[0]:g}, {ALPHA_RANGE[1]:g}]")
        self.register_buffer("_alpha", torch.tensor(float(alpha)))

    @property
    def alpha(self) -> Tensor:
        """α, a scalar float32 within [1, 40]."""
        # Old checkpoints may hold a learnt α beyond the range, which was meant as its nearest end.
        return self._alpha.float().clamp(*ALPHA_RANGE)

    @abstractmethod
    def identify(self, embeddings: Tensor, talkers: Talkers) -> Identification:
        """Looks for the identities of n embeddings (n, E) of unit norm."""

    def stage(self, embeddings: Tensor, talkers: Talkers) -> None:
        """Keeps what `commit` takes in of an update's queries (n, E). Nothing, unless a kind says so."""

    def discard(self, everything: bool = False) -> None:
        """Forgets what was staged: the last batch, or everything; see `Staged.discard`."""

    def commit(self) -> None:
        """After an update, on all ranks together: takes in what was staged."""
