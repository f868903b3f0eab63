"""Views as global vectors: hand-computed values, brute force, what takes part, and what the loss bounds."""

import math

import pytest
import torch
import torch.nn.functional as F

from csc_fairseq.losses.view_contrast import Streams, view_contrast


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def streams_of(*talkers: tuple[int, int], seed: int = 0) -> Streams:
    """Random embeddings of (identity, view) pairs."""
    identities, views = torch.tensor(talkers).T
    return Streams(unit(len(talkers), 5, seed=seed), identities, views)


def test_hand_computed_case():
    """Two identities, two views; in view 1, identity 7 is (0, 1) and identity 9 (1, 0). α = ½: logits are cosines."""
    streams = Streams(
        torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [1.0, 0.0]]),
        torch.tensor([7, 7, 9, 9]),
        torch.tensor([0, 1, 0, 1]),
    )
    found = view_contrast(streams, streams, 0.5)
    e = math.e
    expected = [-math.log(1 / (1 + e)), -math.log(1 / (1 + 1 / e)), -math.log(1 / (1 + 1 / e)), -math.log(1 / (1 + e))]
    torch.testing.assert_close(found.losses, torch.tensor(expected))
    assert found.scored.all() and found.entropy.tolist() == pytest.approx([math.log(2)] * 4)
    assert found.correct.tolist() == [False, True, True, False]


TALKERS = [(4, 0), (4, 1), (4, 2), (2, 0), (2, 1), (2, 2), (8, 1), (9, 0), (8, 1), (5, 2), (5, 0)]


def brute_force(queries: Streams, streams: Streams, alpha: float, weights: torch.Tensor) -> list[float]:
    losses = []
    for n, (query, identity, view) in enumerate(zip(*queries, strict=True)):
        logits = {}
        for candidate in set(streams.identities.tolist()):
            members = [m for m in range(len(streams.views)) if streams.identities[m] == candidate]
            others = [m for m in members if streams.views[m] != view] or members
            shares = weights[n, others].softmax(0)
            vector = F.normalize(
                sum(share * streams.embeddings[m] for share, m in zip(shares, others, strict=True)), dim=0
            )
            logits[candidate] = 2 * alpha * float(query @ vector)
        total = torch.tensor(list(logits.values())).logsumexp(0)
        losses.append(float(total) - logits[int(identity)])
    return losses


@pytest.mark.parametrize("weighted", [False, True])
def test_equals_brute_force(weighted):
    """Three views, interfering talkers heard once or twice, also with strongly unequal weights."""
    streams = streams_of(*TALKERS)
    queries = Streams(*(part[2:9] for part in streams))
    weights = 30 * torch.randn(7, len(TALKERS), generator=torch.Generator().manual_seed(1)) if weighted else None
    found = view_contrast(queries, streams, 6.0, weights)
    expected = brute_force(queries, streams, 6.0, torch.zeros(7, len(TALKERS)) if weights is None else weights)
    torch.testing.assert_close(found.losses, torch.tensor(expected), atol=1e-4, rtol=1e-4)


def test_who_is_scored():
    """An identity that is heard in the query's view alone is a candidate, but no query: nothing tells what it should be."""
    found = view_contrast(*[streams_of(*TALKERS)] * 2, 6.0)
    assert found.scored.tolist() == [identity in (4, 2, 5) for identity, _ in TALKERS]
    # In view 0: 4, 2 and 5 (heard in view 2, too); in view 1: 4 and 2; in view 2: 4, 2 and 5.
    expected = [math.log({0: 3, 1: 2, 2: 3}[view]) for _, view in TALKERS]
    assert found.entropy.tolist() == pytest.approx(expected)


def test_bound_of_unequal_identities():
    """Three streams of one identity in view 0, one of another: an encoder that knows them tells their entropy, no more."""
    identities, views = torch.tensor([5, 5, 5, 6, 5, 6]), torch.tensor([0, 0, 0, 0, 1, 1])
    vectors = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    found = view_contrast(*[Streams(vectors[identities - 5], identities, views)] * 2, 12.0)
    assert float(found.entropy[0]) == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    assert float(found.entropy[4]) == pytest.approx(math.log(2))
    assert found.losses.max() < 1e-4


def test_the_own_stream_takes_no_part():
    """Neither does anything else of the own identity in the same view."""
    streams = streams_of((1, 0), (1, 1), (1, 0), (2, 0), (2, 1))
    moved = streams._replace(embeddings=torch.cat([streams.embeddings[:2], unit(1, 5, seed=3), streams.embeddings[3:]]))
    query = Streams(*(part[:1] for part in streams))
    torch.testing.assert_close(view_contrast(query, streams, 6.0).losses, view_contrast(query, moved, 6.0).losses)


def test_the_interfering_talker_is_a_negative():
    """It is heard in the query's view alone: the more similar it is, the larger the loss."""
    streams = streams_of((1, 0), (1, 1), (2, 0), (2, 1), (3, 0))
    query = Streams(*(part[:1] for part in streams))
    losses = []
    for mate in (-streams.embeddings[:1], streams.embeddings[:1]):
        embeddings = torch.cat([streams.embeddings[:4], mate])
        losses.append(float(view_contrast(query, streams._replace(embeddings=embeddings), 6.0).losses))
    assert losses[1] > losses[0] + 1


def test_bound_is_capped_and_not_positive_for_shuffled_identities():
    """log K − ℓ. The views of an identity are the same vector; then they are given to identities at random."""
    vectors = unit(12, 64)
    identities, views = torch.arange(12).repeat(2), torch.arange(2).repeat_interleave(12)
    bounds = []
    for seed in range(20):
        order = torch.randperm(12, generator=torch.Generator().manual_seed(seed))
        for second in (vectors, vectors[order]):
            streams = Streams(torch.cat([vectors, second]), identities, views)
            found = view_contrast(streams, streams, 12.0)
            assert found.entropy.tolist() == pytest.approx([math.log(12)] * 24)
            bounds.append(float(math.log(12) - found.losses.mean()))
    assert all(math.log(12) - 0.1 < bound < math.log(12) + 1e-5 for bound in bounds[::2])
    assert sum(bounds[1::2]) / 20 < 0


def test_gradients_reach_queries_candidates_and_weights():
    streams = streams_of(*TALKERS)
    embeddings, weights = streams.embeddings.requires_grad_(), torch.zeros(11, 11, requires_grad=True)
    found = view_contrast(streams, streams, 6.0, weights)
    found.losses[found.scored].sum().backward()
    assert embeddings.grad.isfinite().all() and (embeddings.grad.abs().sum(1) > 0).all()
    assert weights.grad.isfinite().all() and (weights.grad[found.scored].abs().sum(1) > 0).all()
