"""The contrastive separative loss: hand-computed values, gradient, exactness in chunks, and the information bound."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import entr

from csc_fairseq.losses.contrastive import (
    contrastive_separative_loss,
    effective_rank,
    identity_logits,
    information_bound,
)


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_hand_computed_case():
    """s = (1, 0) against rows (1, 0), (0, 1), (-1, 0) with α = ½: logits 2α·cos = 1, 0, -1."""
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    total = math.e + 1 + 1 / math.e
    losses = contrastive_separative_loss(torch.tensor([[1.0, 0.0]] * 3), vectors, torch.tensor([0, 1, 2]), 0.5)
    expected = [-math.log(math.e / total), math.log(total), -math.log(1 / (math.e * total))]
    torch.testing.assert_close(losses, torch.tensor(expected))


def test_logits_are_squared_distances_up_to_a_constant():
    embeddings, vectors = unit(4, 8), unit(10, 8, seed=1)
    distances = -12.0 * torch.cdist(embeddings, vectors).square()
    torch.testing.assert_close(
        identity_logits(embeddings, vectors, 12.0).softmax(1), distances.softmax(1), atol=1e-5, rtol=1e-4
    )


def test_gradient_by_finite_differences():
    """Every third entry of s, G and α, against central differences of the textbook formula in float64."""
    tensors = [unit(3, 5).double(), unit(7, 5, seed=1).double(), torch.tensor(3.0, dtype=torch.double)]
    identities = torch.tensor([0, 3, 6])

    def textbook(embeddings: torch.Tensor, vectors: torch.Tensor, alpha: torch.Tensor) -> float:
        return F.cross_entropy(2 * alpha * embeddings @ vectors.T, identities, reduction="sum").item()

    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    contrastive_separative_loss(leaves[0], leaves[1], identities, leaves[2]).sum().backward()
    for tensor, leaf in zip(tensors, leaves, strict=True):
        entries, gradient = tensor.view(-1), leaf.grad.view(-1)
        for position in range(0, len(entries), 3):
            kept, around = entries[position].item(), []
            for step in (1e-6, -1e-6):
                entries[position] = kept + step
                around.append(textbook(*tensors))
            entries[position] = kept
            assert gradient[position].item() == pytest.approx((around[0] - around[1]) / 2e-6, abs=2e-4)


def test_chunks_give_the_same_loss_and_gradients():
    results = []
    for chunk in (1000, 7):
        embeddings, vectors = unit(6, 16).requires_grad_(), unit(50, 16, seed=1).requires_grad_()
        losses = contrastive_separative_loss(embeddings, vectors, torch.arange(6) * 8, 12.0, chunk=chunk)
        losses.sum().backward()
        results.append((losses.detach(), embeddings.grad, vectors.grad))
    for whole, chunked in zip(*results, strict=True):
        torch.testing.assert_close(whole, chunked, atol=1e-5, rtol=1e-5)


def test_half_precision_embeddings_do_not_overflow():
    embeddings, vectors = unit(2, 512).half(), unit(9, 512, seed=1).half()
    losses = contrastive_separative_loss(embeddings, vectors, torch.tensor([0, 1]), 40.0)
    assert losses.dtype == torch.float32 and losses.isfinite().all()


@pytest.mark.parametrize("seed", range(8))
def test_bound_is_never_above_the_true_information_of_a_discrete_joint(seed):
    """A source with finitely many values s and identities k: I(s; k) is known exactly, for any embedding of s and any table."""
    rng = np.random.default_rng(seed)
    values, identities = 6, 5
    joint = rng.dirichlet(np.full(values * identities, 0.3)).reshape(values, identities)
    marginals = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    information = float((joint * np.log(np.maximum(joint, 1e-300) / marginals)).sum())
    for trial in range(20):
        embeddings, vectors = unit(values, 4, seed=100 * seed + trial), unit(identities, 4, seed=trial)
        alpha = float(rng.uniform(1, 40))
        losses = torch.stack(
            [
                contrastive_separative_loss(embeddings, vectors, torch.full((values,), k), alpha)
                for k in range(identities)
            ],
            dim=1,
        )
        mean_loss = float((losses.double().numpy() * joint).sum())
        assert information_bound(mean_loss, float(entr(joint.sum(0)).sum())) <= information + 1e-6


def test_bound_reaches_log_n_when_identities_are_certain_and_is_negative_for_shuffled_ones():
    vectors = torch.eye(16)
    identities = torch.arange(16)
    certain = contrastive_separative_loss(vectors, vectors, identities, 40.0).mean().item()
    assert information_bound(certain, math.log(16)) == pytest.approx(math.log(16), abs=1e-3)
    shuffled = [
        contrastive_separative_loss(
            vectors, vectors, torch.randperm(16, generator=torch.Generator().manual_seed(s)), 40.0
        )
        .mean()
        .item()
        for s in range(200)
    ]
    assert information_bound(float(np.mean(shuffled)), math.log(16)) <= 0


def test_effective_rank():
    assert effective_rank(torch.eye(8)) == pytest.approx(8, rel=1e-4)
    assert effective_rank(torch.ones(8, 4)) == pytest.approx(1, rel=1e-3)
