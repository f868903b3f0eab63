"""The global speaker vectors as a table with a row for each training identity (paper: global vectors; ours: a table)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from csc_fairseq.losses.contrastive import contrastive_separative_loss, identity_logits
from csc_fairseq.modules.global_vectors import GlobalVectors, Identification, Talkers


class SpeakerTable(GlobalVectors):
    """Learnable global vectors G.

    Args:
        identities: N. channels: E. alpha: α.
    """

    def __init__(self, identities: int, channels: int, alpha: float) -> None:
        super().__init__(alpha)
        self.weight = nn.Parameter(torch.randn(identities, channels) * channels**-0.5)

    def vectors(self) -> Tensor:
        """(N, E) float32 rows of unit norm."""
        return F.normalize(self.weight.float(), dim=-1)

    def identify(self, embeddings: Tensor, talkers: Talkers) -> Identification:
        """Looks for each talker's row among all N. Talkers without a row are not scored."""
        vectors, scored = self.vectors(), talkers.rows >= 0
        losses = embeddings.new_zeros(len(embeddings), dtype=torch.float32)
        losses[scored] = contrastive_separative_loss(embeddings[scored], vectors, talkers.rows[scored], self.alpha)
        with torch.no_grad():
            correct = identity_logits(embeddings, vectors, self.alpha).argmax(1) == talkers.rows
        return Identification(losses, scored, correct, torch.full_like(losses, math.log(len(vectors))))

    def spread(self) -> Tensor:
        """1 − mean cosine between distinct rows: 1 when the rows are spread evenly, 0 when they have collapsed. Cost O(N·E)."""
        vectors = self.vectors()
        count = len(vectors)
        mean_cosine = (vectors.sum(0).square().sum() - count) / max(count * (count - 1), 1)
        return 1.0 - mean_cosine
