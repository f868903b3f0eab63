"""The contrastive separative loss: find the talker's own global speaker vector among those of all identities.

The paper has a probabilistic contrastive loss, which maximises mutual information with a global speaker vector without sampling
negatives. The form is our choice: the partition function runs over all N identities.
"""

import math

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

CHUNK = 16384
HIDDEN = -1e4  # a logit whose exponential is 0; with −∞, the gradient of a chunk that is hidden altogether would be NaN


def identity_logits(embeddings: Tensor, vectors: Tensor, alpha: Tensor | float) -> Tensor:
    """(n, E) and (N, E), both of unit norm, to (n, N) float32 logits 2α·cos: −α‖s − g‖² up to a constant that the softmax cancels.

    They are not computed as differences of squares, which half precision cannot hold.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        return 2 * alpha * (embeddings.float() @ vectors.float().T)


def contrastive_separative_loss(
    embeddings: Tensor,
    vectors: Tensor,
    identities: Tensor,
    alpha: Tensor | float,
    chunk: int = CHUNK,
    hidden: Tensor | None = None,
) -> Tensor:
    """ℓ(s, k) = −log q(k | s), exactly, with memory bounded in N.

    Args:
        embeddings: (n, E), unit norm. vectors: (N, E), unit norm. identities: (n,) long in [0, N).
        alpha: concentration α > 0.
        chunk: identities whose logits are in memory at a time. The result is the same.
        hidden: (N,) bool, True for vectors that take no part; None: all do.

    Returns:
        (n,) nats, smaller is better.
    """
    own = (embeddings.float() * vectors.float()[identities]).sum(-1) * (2 * alpha)
    if len(vectors) <= chunk:
        return _chunk_logsumexp(embeddings, vectors, alpha, hidden) - own
    masks = [None] * math.ceil(len(vectors) / chunk) if hidden is None else hidden.split(chunk)
    parts = [
        checkpoint(_chunk_logsumexp, embeddings, part, alpha, mask, use_reentrant=False)
        for part, mask in zip(vectors.split(chunk), masks, strict=True)
    ]
    return torch.stack(parts).logsumexp(0) - own


def _chunk_logsumexp(embeddings: Tensor, vectors: Tensor, alpha: Tensor | float, hidden: Tensor | None) -> Tensor:
    logits = identity_logits(embeddings, vectors, alpha)
    if hidden is not None:
        logits = logits.masked_fill(hidden, HIDDEN)
    return logits.logsumexp(1)


def information_bound(mean_loss: float, prior_entropy: float) -> float:
    """Lower bound in nats on the mutual information I(s; k) between embeddings and identities: H(k) − E ℓ.

    The bound holds for identities drawn from the prior whose entropy is `prior_entropy`; it is log N if all are equally frequent.
    It says nothing about speakers outside the table. It may be negative.
    """
    return prior_entropy - mean_loss


def effective_rank(embeddings: Tensor) -> float:
    """exp of the entropy of the normalised singular values of (n, E) embeddings (Roy & Vetterli 2007), between 1 and min(n, E)."""
    values = torch.linalg.svdvals(embeddings.float())
    return float(torch.exp(torch.special.entr(values / values.sum().clamp_min(1e-12)).sum()))
