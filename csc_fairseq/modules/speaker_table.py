"""The global speaker vectors: one learnable unit vector per training identity (paper: global vectors; ours: a table)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ALPHA_RANGE = (1.0, 40.0)


class SpeakerTable(nn.Module):
    """G and the concentration α of the contrastive loss.

    Args:
        identities: N. channels: E. alpha: initial α. learn_alpha: whether α is trained (within [1, 40]).
    """

    def __init__(self, identities: int, channels: int, alpha: float, learn_alpha: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(identities, channels) * channels**-0.5)
        self._alpha = nn.Parameter(torch.tensor(float(alpha)), requires_grad=learn_alpha)

    @property
    def alpha(self) -> Tensor:
        """α, a scalar float32 within [1, 40]."""
        return self._alpha.float().clamp(*ALPHA_RANGE)

    def vectors(self) -> Tensor:
        """(N, E) float32 rows of unit norm."""
        return F.normalize(self.weight.float(), dim=-1)

    def spread(self) -> Tensor:
        """1 − mean cosine between distinct rows: 1 when the rows are spread evenly, 0 when they have collapsed. Cost O(N·E)."""
        vectors = self.vectors()
        count = len(vectors)
        mean_cosine = (vectors.sum(0).square().sum() - count) / max(count * (count - 1), 1)
        return 1.0 - mean_cosine
