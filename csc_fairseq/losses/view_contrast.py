"""The contrastive separative loss without a table: a talker's global vector is made of the other views of the same identity.

The paper's abstract has cross-attention over speaker representations under various interfering conditions answer the query; here
the answer *is* the global vector (our reading). The negatives are the other talkers of the batch, the interfering ones among them.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from csc_fairseq.losses.contrastive import identity_logits


class Streams(NamedTuple):
    """The m streams of a batch that hold a talker."""

    embeddings: Tensor
    """(m, E) float32, unit norm"""
    identities: Tensor
    """(m,) long, any numbers: equal where the identity is"""
    views: Tensor
    """(m,) long, which view of its item the stream's mixture is"""


class ViewContrast(NamedTuple):
    """Of n queries."""

    losses: Tensor
    """(n,) nats: −log of the share of the query's own identity; meaningless where not `scored`"""
    scored: Tensor
    """(n,) bool, whether another view of the query's identity is there"""
    correct: Tensor
    """(n,) bool, whether the most similar global vector is the own identity's"""
    entropy: Tensor
    """(n,) nats, of the identities that the query may have, as far as views tell: those with streams in its view and in another,
    as often as they have streams in its view"""


def view_contrast(
    queries: Streams,
    streams: Streams,
    alpha: Tensor | float,
    weights: Tensor | None = None,
    earlier: tuple[Tensor, Tensor] | None = None,
) -> ViewContrast:
    """ℓ(q, k) = −log q(k | q) over all identities k of a batch; g_k is made of the streams of k in *other views* than the query's.

    So the query's own stream never takes part, and the g of all identities that the query may have are made of equally many
    views: their number gives nothing away. An identity that is heard in the query's view alone, as most interfering talkers are,
    takes part with what it has. Such further negatives only raise the loss.

    **What it bounds.** H − E ℓ is at most I(q; k) within the batch, with H the entropy of the identities that the query may have
    (`ViewContrast.entropy`): log K if all K of them are equally frequent, and never more (as InfoNCE, van den Oord et al. 2018). It
    is ≤ 0 for shuffled identities.

    Args:
        queries: n streams to be identified. streams: all m streams of the batch, the queries among them.
        alpha: concentration α > 0; logits are 2α·cos(q, g).
        weights: (n, m) logarithms of how much a stream counts in the g that it is part of; None: all the same, g is the mean.
        earlier: (R, E) embeddings of unit norm that earlier batches had, without gradients, and their (R,) identities, −1 for none:
            each is a further negative for queries of other identities.
    """
    # Everything is worked out from products of pairs, so nothing has n·K·E numbers.
    names, number = torch.unique(streams.identities, return_inverse=True)  # m streams to K identities
    members = torch.nn.functional.one_hot(number, len(names)).T.float()  # (K, m)
    elsewhere = queries.views.unsqueeze(1) != streams.views  # (n, m)
    heard_elsewhere = elsewhere.float() @ members.T > 0  # (n, K)
    here = (~elsewhere).float() @ members.T  # streams in the query's view
    allowed = elsewhere | ~heard_elsewhere[:, number]
    with torch.autocast(queries.embeddings.device.type, enabled=False):
        share = allowed.float()
        if weights is not None:
            share = _within_identities(weights.float().masked_fill(~allowed, -torch.inf), number, len(names))
        gram = (streams.embeddings @ streams.embeddings.T) * (members.T @ members)  # cosines within an identity, else 0
        products = (share * (queries.embeddings @ streams.embeddings.T)) @ members.T  # q·Σ w u
        squares = (share * (share @ gram)) @ members.T  # ‖Σ w u‖²
        logits = 2 * alpha * products / squares.clamp_min(1e-12).sqrt()  # (n, K)
    own = torch.searchsorted(names, queries.identities.contiguous())
    everyone = logits
    if earlier is not None:
        vectors, identities = earlier
        same = (identities < 0) | (identities == queries.identities.unsqueeze(1))
        everyone = torch.cat(
            [logits, identity_logits(queries.embeddings, vectors, alpha).masked_fill(same, -torch.inf)], 1
        )
    losses = everyone.logsumexp(1) - logits.gather(1, own.unsqueeze(1)).squeeze(1)
    possible = here * heard_elsewhere
    scored = possible.gather(1, own.unsqueeze(1)).squeeze(1) > 0
    entropy = torch.special.entr(possible / possible.sum(1, keepdim=True).clamp_min(1)).sum(1)
    return ViewContrast(losses, scored, logits.argmax(1) == own, entropy)


def _within_identities(weights: Tensor, number: Tensor, count: int) -> Tensor:
    """exp of (n, m) weights less the largest one of their identity, which only changes the length of the sums."""
    of_stream = number.expand_as(weights)
    largest = weights.detach().new_full((len(weights), count), -torch.inf)
    largest = largest.scatter_reduce(1, of_stream, weights.detach(), "amax")
    return (weights - largest.gather(1, of_stream)).exp()
