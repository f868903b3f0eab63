"""Global speaker vectors made of the other views of an identity in the batch: no labels, and nothing grows with the data."""

import torch
from torch import Tensor, nn

from csc_fairseq.losses.view_contrast import Streams, view_contrast
from csc_fairseq.modules.gathering import Staged, gather_rows
from csc_fairseq.modules.global_vectors import GlobalVectors, Identification, Talkers

AGGREGATES = ("attention", "mean")


class ViewVectors(GlobalVectors):
    """The global vector of an identity, seen from a query: the unit-norm sum of its streams in other views than the query's.

    With `attention`, the query weighs these streams by scaled dot products of learnt projections; the weights begin equal. With two
    views there is one stream to weigh, and both are the same. Candidates are the identities of all ranks' batches in training, with
    gradients, and those of the batch in validation, so that its figures do not depend on the number of ranks.

    A memory of earlier batches adds negatives in training, which cost next to nothing: embeddings drift slowly enough (cross-batch
    memory, Wang et al., CVPR 2020).

    Args:
        channels: E. alpha: concentration α. aggregate: attention or mean. memory: R, streams of earlier batches; 0: none.
    """

    earlier: Tensor
    earlier_numbers: Tensor

    def __init__(self, channels: int, alpha: float, aggregate: str, memory: int = 0) -> None:
        super().__init__(alpha)
        self.query = self.key = None
        if aggregate == "attention":
            self.query = nn.Linear(channels, channels, bias=False)
            self.key = nn.Linear(channels, channels, bias=False)
            nn.init.zeros_(self.query.weight)
        self._staged = Staged() if memory else None
        if memory:
            self.register_buffer("earlier", torch.zeros(memory, channels))
            self.register_buffer("earlier_numbers", torch.full((memory,), -1))

    def identify(self, embeddings: Tensor, talkers: Talkers) -> Identification:
        """Looks for each talker's own identity among those of the batch; see `view_contrast`."""
        own = Streams(embeddings.float(), talkers.numbers, talkers.views)
        streams = Streams(*gather_rows(own)) if self.training else own
        weights = None
        if self.query is not None and self.key is not None:
            keys = self.key(streams.embeddings.to(self.key.weight.dtype))
            weights = self.query(own.embeddings.to(self.query.weight.dtype)) @ keys.T / embeddings.shape[1] ** 0.5
        earlier = (self.earlier.float(), self.earlier_numbers) if self._staged is not None and self.training else None
        found = view_contrast(own, streams, self.alpha, weights, earlier)
        return Identification(found.losses, found.scored, found.correct, found.entropy)

    def stage(self, embeddings: Tensor, talkers: Talkers) -> None:
        """See `GlobalVectors.stage`."""
        if self._staged is not None:
            self._staged.add(embeddings, talkers.numbers)

    def discard(self, everything: bool = False) -> None:
        """See `GlobalVectors.discard`."""
        if self._staged is not None:
            self._staged.discard(everything)

    @torch.no_grad()
    def commit(self) -> None:
        """Puts what was staged on all ranks before what is remembered, and forgets the oldest."""
        staged = None if self._staged is None else self._staged.collect(self.earlier.device)
        if staged is None:
            return
        embeddings, numbers = staged
        kept = len(self.earlier)
        self.earlier.copy_(torch.cat([embeddings.to(self.earlier.dtype), self.earlier])[:kept])
        self.earlier_numbers.copy_(torch.cat([numbers, self.earlier_numbers])[:kept])
