"""Global speaker vectors as running means of what was heard of each identity."""

import torch
import torch.nn.functional as F
from torch import Tensor

from csc_fairseq.losses.contrastive import contrastive_separative_loss, identity_logits
from csc_fairseq.modules.gathering import Staged
from csc_fairseq.modules.global_vectors import GlobalVectors, Identification, Talkers

KEPT = 0.5  # of a row at each visit
CENTRE_KEPT = 0.9  # of the mean query at each update


class MeanTable(GlobalVectors):
    """A row for each training identity, moved half-way to the mean of its queries at every visit; no gradient, no optimiser state.

    The mean of all queries is subtracted before queries are compared: at first all share one direction, rows that were visited long
    ago least of all, and moving away from the fresh rows would move a query away from its own. Rows that were never visited take no
    part. (Our choice; the gradient of a learnt row is one positive in hundreds of updates, which Adam forgets.)

    Args:
        identities: N. channels: E. alpha: concentration α.
    """

    weight: Tensor
    visited: Tensor
    centre: Tensor

    def __init__(self, identities: int, channels: int, alpha: float) -> None:
        super().__init__(alpha)
        self.register_buffer("weight", torch.zeros(identities, channels))
        self.register_buffer("visited", torch.zeros(identities, dtype=torch.bool))
        self.register_buffer("centre", torch.zeros(channels))
        self._staged = Staged()

    def identify(self, embeddings: Tensor, talkers: Talkers) -> Identification:
        """Looks for each talker's row among all that were visited. Talkers without such a row are not scored."""
        rows, visited = talkers.rows, self.visited
        scored = (rows >= 0) & visited[rows.clamp_min(0)]
        losses = embeddings.new_zeros(len(embeddings), dtype=torch.float32)
        correct = torch.zeros_like(scored)
        if scored.any():
            centred = self._centred(embeddings[scored])
            losses[scored] = contrastive_separative_loss(
                centred, self.weight, rows[scored], self.alpha, hidden=~visited
            )
            with torch.no_grad():
                logits = identity_logits(centred, self.weight, self.alpha).masked_fill(~visited, -torch.inf)
                correct[scored] = logits.argmax(1) == rows[scored]
        return Identification(
            losses, scored, correct, losses.new_tensor(max(int(visited.sum()), 1)).log().expand_as(losses)
        )

    def spread(self) -> Tensor:
        """1 − mean cosine between distinct rows that were visited, as `SpeakerTable.spread`."""
        count = self.visited.sum()
        return 1 - (self.weight.float().sum(0).square().sum() - count) / (count * (count - 1)).clamp_min(1)

    def stage(self, embeddings: Tensor, talkers: Talkers) -> None:
        """Keeps the embeddings of an update until `commit`."""
        known = talkers.rows >= 0
        self._staged.add(embeddings[known], talkers.rows[known])

    def discard(self, everything: bool = False) -> None:
        """See `GlobalVectors.discard`."""
        self._staged.discard(everything)

    @torch.no_grad()
    def commit(self) -> None:
        """Moves the rows, and the mean of all queries, by everything staged on all ranks."""
        staged = self._staged.collect(self.weight.device)
        if staged is None:
            return
        embeddings, rows = staged
        centre = embeddings.mean(0)
        self.centre.copy_(
            torch.where(self.visited.any(), CENTRE_KEPT * self.centre + (1 - CENTRE_KEPT) * centre, centre)
        )
        names, number = torch.unique(rows, return_inverse=True)
        means = torch.zeros(len(names), self.weight.shape[1], device=rows.device).index_add_(
            0, number, self._centred(embeddings)
        )
        means = F.normalize(means, dim=-1)
        kept = torch.where(self.visited[names], KEPT, 0.0).unsqueeze(1)
        moved = F.normalize(kept * self.weight[names].float() + (1 - kept) * means, dim=-1)
        self.weight[names] = moved.to(self.weight.dtype)  # which fp16 training makes half
        self.visited[names] = True

    def _centred(self, embeddings: Tensor) -> Tensor:
        return F.normalize(embeddings.float() - self.centre.float(), dim=-1)
