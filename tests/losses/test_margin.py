"""Margin softmax: hand-computed values, pytorch-metric-learning as second implementation, gradients, sub-centres, schedule."""

import math

import pytest
import torch
import torch.nn.functional as F
from pytorch_metric_learning.losses import ArcFaceLoss, CosFaceLoss, SubCenterArcFaceLoss

from csc_fairseq.errors import InputError
from csc_fairseq.losses.margin import (
    MARGINS,
    MarginClassifier,
    additive_angular_margin,
    additive_margin,
    margin_at,
    margin_softmax_loss,
    speaker_cosines,
)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(noise(*shape, seed=seed), dim=-1)


@pytest.mark.parametrize(("kind", "own"), [("am", 0.5 - 0.2), ("aam", math.cos(math.pi / 3 + 0.2))])
def test_hand_computed_case(kind, own):
    """60° from the own centre, 30° from the second, 180° from the third, whose norms do not matter; s = 4, m = 0.2."""
    centres = torch.tensor([[[2.0, 0.0]], [[0.0, 0.3]], [[-0.5, -math.sqrt(0.75)]]])
    embedding = torch.tensor([[0.5, math.sqrt(0.75)]])
    cosines = speaker_cosines(embedding, centres)
    torch.testing.assert_close(cosines, torch.tensor([[0.5, math.sqrt(0.75), -1.0]]))
    loss = margin_softmax_loss(cosines, torch.tensor([0]), kind, margin=0.2, scale=4.0)
    logits = [4 * own, 4 * math.sqrt(0.75), -4.0]
    expected = math.log(sum(map(math.exp, logits))) - logits[0]
    torch.testing.assert_close(loss, torch.tensor([expected]))


def test_beyond_pi_the_angular_margin_falls_back():
    """170° and 0.5 rad are more than 180°: cos 170° − 0.5·sin 0.5. At 150° they are not."""
    cosines = torch.tensor([math.cos(math.radians(170)), math.cos(math.radians(150))])
    expected = [math.cos(math.radians(170)) - 0.5 * math.sin(0.5), math.cos(math.radians(150) + 0.5)]
    torch.testing.assert_close(additive_angular_margin(cosines, 0.5), torch.tensor(expected))


@pytest.mark.parametrize("margin", [0.05, 0.3, 1.0])
def test_both_margins_only_ever_lower_the_cosine_and_keep_its_order(margin):
    cosines = torch.cos(torch.linspace(math.pi, 0, 400, dtype=torch.double))
    for lowered in (additive_margin(cosines, margin), additive_angular_margin(cosines, margin)):
        assert (lowered.diff() > 0).all() and (lowered < cosines).all()


@pytest.mark.parametrize("kind", MARGINS)
def test_without_a_margin_it_is_the_softmax_of_cosines(kind):
    cosines, labels = speaker_cosines(unit(5, 8), noise(7, 1, 8, seed=1)), torch.tensor([0, 1, 2, 6, 6])
    expected = F.cross_entropy(20 * cosines, labels, reduction="none")
    torch.testing.assert_close(margin_softmax_loss(cosines, labels, kind, 0.0, 20.0), expected)


def peer(kind: str, sub_centres: int) -> torch.nn.Module:
    sizes = {"num_classes": 6, "embedding_size": 5, "scale": 12.0}
    if kind == "am":
        return CosFaceLoss(margin=0.25, **sizes)
    if sub_centres == 1:
        return ArcFaceLoss(margin=math.degrees(0.25), **sizes)
    return SubCenterArcFaceLoss(margin=math.degrees(0.25), sub_centers=sub_centres, **sizes)


@pytest.mark.parametrize(("kind", "sub_centres"), [("am", 1), ("aam", 1), ("aam", 3)])
def test_agrees_with_pytorch_metric_learning(kind, sub_centres):
    """Values and gradients; the last embedding lies so far from its own speaker that the angular margin falls back."""
    centres, features, labels = noise(6, sub_centres, 5), noise(9, 5, seed=1), torch.arange(9) % 6
    features[8] = -centres[2].mean(0) if sub_centres == 1 else features[8]
    theirs = peer(kind, sub_centres)
    theirs.W.data = centres.flatten(0, 1).T.clone()
    their_features = features.clone().requires_grad_()
    theirs(their_features, labels).backward()

    ours = MarginClassifier(6, 5, kind, 0.25, 12.0, sub_centres)
    ours.weight.data = centres
    features.requires_grad_()
    losses = ours.loss(ours(F.normalize(features, dim=-1)), labels, 0.25)
    losses.mean().backward()
    torch.testing.assert_close(losses.mean(), theirs(their_features, labels))
    torch.testing.assert_close(ours.weight.grad.flatten(0, 1).T, theirs.W.grad, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(features.grad[:8], their_features.grad[:8], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("margin", [0.2, 0.5])
def test_gradient_of_the_angular_margin_by_finite_differences(margin):
    """Against arccosine in float64, on both sides of θ + m = π."""
    angles = torch.tensor([0.05, 0.6, 1.5, 2.5, 3.0, 3.1], dtype=torch.double)

    def textbook(cosine: torch.Tensor) -> torch.Tensor:
        turned = torch.cos(torch.acos(cosine) + margin)
        return torch.where(torch.acos(cosine) + margin <= math.pi, turned, cosine - margin * math.sin(margin))

    cosines = torch.cos(angles)
    expected = (textbook(cosines + 1e-7) - textbook(cosines - 1e-7)) / 2e-7
    cosines.requires_grad_()
    additive_angular_margin(cosines, margin).sum().backward()
    torch.testing.assert_close(cosines.grad, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", MARGINS)
def test_gradients_are_finite_where_embedding_and_centre_coincide_or_oppose(kind):
    """Also in the last case, where rounding leaves a cosine just above 1."""
    directions = unit(3, 192)
    embeddings = torch.stack([directions[0], -directions[0], directions[2] * (1 + 1e-7)]).requires_grad_()
    centres = directions.unsqueeze(1).clone().requires_grad_()
    losses = margin_softmax_loss(speaker_cosines(embeddings, centres), torch.tensor([0, 0, 2]), kind, 0.3, 30.0)
    losses.sum().backward()
    assert losses.isfinite().all() and embeddings.grad.isfinite().all() and centres.grad.isfinite().all()
    assert embeddings.grad.abs().max() < 100


def test_half_precision_and_autocast_leave_the_cosines_in_float32():
    embeddings, centres = unit(4, 64), noise(9, 2, 64, seed=1)
    exact = speaker_cosines(embeddings, centres)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(speaker_cosines(embeddings, centres), exact, rtol=0, atol=0)
    assert speaker_cosines(embeddings.half(), centres.half()).dtype == torch.float32


def test_the_nearest_sub_centre_counts_and_alone_is_moved():
    east, north, west = torch.eye(2)[0], torch.eye(2)[1], -torch.eye(2)[0]
    centres = torch.stack([torch.stack([west, north]), torch.stack([west, west])]).requires_grad_()
    cosines = speaker_cosines(F.normalize(east + north, dim=0).unsqueeze(0), centres)
    torch.testing.assert_close(cosines, torch.tensor([[math.sqrt(0.5), -math.sqrt(0.5)]]))
    torch.testing.assert_close(speaker_cosines(north.unsqueeze(0), centres.flip(1)), torch.tensor([[1.0, 0.0]]))
    cosines[0, 0].backward()
    assert centres.grad[0, 1].abs().sum() > 0 and not centres.grad[0, 0].any() and not centres.grad[1].any()


def test_the_margin_rises_linearly_and_stays():
    assert [margin_at(update, 0.2, 100) for update in (0, 25, 50, 100, 1000)] == pytest.approx([0, 0.05, 0.1, 0.2, 0.2])
    assert margin_at(0, 0.2, 0) == 0.2


@pytest.mark.parametrize("kind", MARGINS)
def test_the_classifier_learns_to_tell_fixed_embeddings_apart(kind):
    torch.manual_seed(0)
    classifier, labels = MarginClassifier(5, 16, kind, 0.2, 30.0, sub_centres=2), torch.arange(40) % 5
    embeddings = F.normalize(unit(5, 16, seed=3)[labels] + 0.1 * noise(40, 16, seed=4), dim=-1)
    optimiser = torch.optim.Adam(classifier.parameters(), lr=0.05)
    for _ in range(60):
        optimiser.zero_grad()
        classifier.loss(classifier(embeddings), labels, classifier.margin).mean().backward()
        optimiser.step()
    assert (classifier(embeddings).argmax(1) == labels).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"speakers": 1}, "found 1 training speaker"),
        ({"kind": "triplet"}, "'triplet'; choose one of am, aam"),
        ({"margin": 28.6}, "radians"),
        ({"margin": -0.1}, "margin is -0.1"),
        ({"scale": 0.0}, "scale is 0"),
        ({"sub_centres": 0}, "sub_centres is 0"),
    ],
)
def test_what_the_classifier_refuses(changes, message):
    with pytest.raises(InputError, match=message):
        MarginClassifier(**{"speakers": 3, "channels": 4, "kind": "aam", "margin": 0.2, "scale": 30.0} | changes)
