"""Global speaker vectors made of the other views of an identity in the batch: no labels, and nothing grows with the data."""

from torch import Tensor, nn

from csc_fairseq.losses.view_contrast import Streams, view_contrast
from csc_fairseq.modules.gathering import gather_rows
from csc_fairseq.modules.global_vectors import GlobalVectors, Identification, Talkers

AGGREGATES = ("attention", "mean")


class ViewVectors(GlobalVectors):
    """The global vector of an identity, seen from a query: the unit-norm sum of its streams in other views than the query's.

    With `attention`, the query weighs these streams by scaled dot products of learnt projections; the weights begin equal. With two
    views there is one stream to weigh, and both are the same. Candidates are the identities of all ranks' batches in training, with
    gradients, and those of the batch in validation, so that its figures do not depend on the number of ranks.

    Args:
        channels: E. alpha: concentration α. aggregate: attention or mean.
    """

    def __init__(self, channels: int, alpha: float, aggregate: str) -> None:
        super().__init__(alpha)
        self.query = self.key = None
        if aggregate == "attention":
            self.query = nn.Linear(channels, channels, bias=False)
            self.key = nn.Linear(channels, channels, bias=False)
            nn.init.zeros_(self.query.weight)

    def identify(self, embeddings: Tensor, talkers: Talkers) -> Identification:
        """Looks for each talker's own identity among those of the batch; see `view_contrast`."""
        own = Streams(embeddings.float(), talkers.numbers, talkers.views)
        streams = Streams(*gather_rows(own)) if self.training else own
        weights = None
        if self.query is not None and self.key is not None:
            keys = self.key(streams.embeddings.to(self.key.weight.dtype))
            weights = self.query(own.embeddings.to(self.query.weight.dtype)) @ keys.T / embeddings.shape[1] ** 0.5
        found = view_contrast(own, streams, self.alpha, weights)
        return Identification(found.losses, found.scored, found.correct, found.entropy)
