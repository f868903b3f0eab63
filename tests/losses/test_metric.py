"""GE2E and angular prototypical: hand-computed values, literal loops as second implementation, gradients, a scale above 0."""

import math

import pytest
import torch
import torch.nn.functional as F

from csc_fairseq.errors import InputError
from csc_fairseq.losses.metric import METRICS, ScaledCosine, ge2e_cosines, own_speaker_loss, prototype_cosines


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


EAST, NORTH = (1.0, 0.0), (0.0, 1.0)
SIXTY = (0.5, math.sqrt(0.75))


def test_hand_computed_ge2e():
    """Speaker 0 at 0° and 60°, speaker 1 twice at 90°: centroids lie at 30° and 90°, own centroids at the other utterance."""
    cosines = ge2e_cosines(torch.tensor([[EAST, SIXTY], [NORTH, NORTH]]))
    degrees = torch.tensor([[[60.0, 90.0], [60.0, 30.0]], [[60.0, 0.0], [60.0, 0.0]]])
    torch.testing.assert_close(cosines, torch.cos(torch.deg2rad(degrees)), atol=1e-6, rtol=1e-5)
    losses = own_speaker_loss(ScaledCosine(2.0, -1.0)(cosines))
    first = math.log(math.exp(2 * 0.5 - 1) + math.exp(-1)) - (2 * 0.5 - 1)
    last = math.log(math.exp(2 * 0.5 - 1) + math.exp(2 - 1)) - (2 - 1)
    torch.testing.assert_close(losses[[0, 1], [0, 1]], torch.tensor([first, last]))


def test_hand_computed_prototypical():
    """Queries at 60° and 90°, prototypes at 45° (of 0° and 90°) and 60°."""
    embeddings = torch.tensor([[EAST, NORTH, SIXTY], [SIXTY, SIXTY, NORTH]])
    degrees = torch.tensor([[[15.0, 0.0]], [[45.0, 30.0]]])
    cosines = prototype_cosines(embeddings)
    torch.testing.assert_close(cosines, torch.cos(torch.deg2rad(degrees)))
    torch.testing.assert_close(
        own_speaker_loss(10 * cosines)[1],
        torch.tensor([math.log(1 + math.exp(10 * (math.cos(math.pi / 4) - math.cos(math.pi / 6))))]),
    )


def literal_ge2e(embeddings: torch.Tensor, scale: float, bias: float) -> torch.Tensor:
    """The paper's equations, one pair of utterance and speaker at a time."""
    speakers, utterances = embeddings.shape[:2]
    losses = torch.empty(speakers, utterances, dtype=embeddings.dtype)
    for j in range(speakers):
        for i in range(utterances):
            row = []
            for k in range(speakers):
                members = [embeddings[k, m] for m in range(utterances) if (k, m) != (j, i)]
                centroid = sum(members) / len(members)
                row.append(scale * F.cosine_similarity(embeddings[j, i], centroid, dim=0) + bias)
            losses[j, i] = -row[j] + torch.log(sum(torch.exp(logit) for logit in row))
    return losses


def literal_prototypical(embeddings: torch.Tensor, scale: float, bias: float) -> torch.Tensor:
    speakers, utterances = embeddings.shape[:2]
    losses = torch.empty(speakers, 1, dtype=embeddings.dtype)
    for j in range(speakers):
        row = []
        for k in range(speakers):
            prototype = sum(embeddings[k, m] for m in range(utterances - 1)) / (utterances - 1)
            row.append(scale * F.cosine_similarity(embeddings[j, utterances - 1], prototype, dim=0) + bias)
        losses[j, 0] = -row[j] + torch.log(sum(torch.exp(logit) for logit in row))
    return losses


LITERAL = {"ge2e": literal_ge2e, "prototypical": literal_prototypical}


@pytest.mark.parametrize("utterances", [2, 3, 5])
@pytest.mark.parametrize("kind", METRICS)
def test_agrees_with_literal_loops(kind, utterances):
    """Values, and gradients of features that become embeddings of unit norm; the loops in float64."""
    features = unit(4, utterances, 6, seed=utterances)
    ours, theirs = features.clone().requires_grad_(), features.double().requires_grad_()
    losses = own_speaker_loss(ScaledCosine()(METRICS[kind](F.normalize(ours, dim=-1))))
    expected = LITERAL[kind](F.normalize(theirs, dim=-1), 10.0, -5.0)
    torch.testing.assert_close(losses.double(), expected, rtol=1e-4, atol=1e-5)
    losses.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", METRICS)
def test_order_of_the_speakers_does_not_matter(kind):
    embeddings, order = unit(5, 3, 8), torch.tensor([3, 0, 4, 1, 2])
    losses = own_speaker_loss(METRICS[kind](embeddings))
    torch.testing.assert_close(own_speaker_loss(METRICS[kind](embeddings[order])), losses[order])


def test_order_of_the_utterances_matters_only_for_which_one_is_the_query():
    embeddings = unit(4, 3, 8)
    turned, first_two = embeddings[:, [2, 0, 1]], embeddings[:, [1, 0, 2]]
    torch.testing.assert_close(ge2e_cosines(turned), ge2e_cosines(embeddings)[:, [2, 0, 1]])
    torch.testing.assert_close(prototype_cosines(first_two), prototype_cosines(embeddings))
    assert not torch.allclose(prototype_cosines(turned), prototype_cosines(embeddings), atol=0.01)


@pytest.mark.parametrize("kind", METRICS)
def test_utterances_that_cancel_out_leave_finite_gradients(kind):
    embeddings = torch.tensor([[EAST, (-1.0, 0.0), NORTH], [NORTH, NORTH, EAST]]).requires_grad_()
    own_speaker_loss(10 * METRICS[kind](embeddings)).sum().backward()
    assert embeddings.grad.isfinite().all()


@pytest.mark.parametrize("kind", METRICS)
def test_autocast_and_half_precision_leave_the_cosines_in_float32(kind):
    embeddings = unit(4, 3, 64)
    exact = METRICS[kind](embeddings)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(METRICS[kind](embeddings), exact, rtol=0, atol=0)
    assert METRICS[kind](embeddings.half()).dtype == torch.float32


@pytest.mark.parametrize("kind", METRICS)
def test_one_utterance_per_speaker_and_one_speaker_are_refused(kind):
    with pytest.raises(InputError, match="found 1 utterance.*task.views=2"):
        METRICS[kind](unit(4, 1, 8))
    with pytest.raises(InputError, match="found 1 speaker.*batch_size"):
        METRICS[kind](unit(1, 4, 8))


def test_scale_and_bias_start_as_in_the_paper_and_the_bias_cancels():
    scaling = ScaledCosine()
    assert scaling.scale.item() == pytest.approx(10, rel=1e-6) and scaling.bias.item() == -5
    cosines = ge2e_cosines(unit(4, 3, 8))
    torch.testing.assert_close(own_speaker_loss(scaling(cosines)), own_speaker_loss(10 * cosines), rtol=1e-4, atol=1e-4)


class DiscardedClamp(torch.nn.Module):
    """What a public implementation does: the clamped copy is thrown away."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(10.0))

    def forward(self, cosines: torch.Tensor) -> torch.Tensor:
        torch.clamp(self.scale, 1e-6)
        return self.scale * cosines - 5


def scales_against_wrong_labels(scaling: torch.nn.Module, optimiser: torch.optim.Optimizer) -> list[float]:
    """Scales of 300 updates in which the utterances of every speaker are said to be the next speaker's: the loss wants w < 0."""
    cosines = ge2e_cosines(F.normalize(torch.eye(4).unsqueeze(1) + 0.1 * unit(4, 3, 4), dim=-1)).roll(1, dims=2)
    scales = []
    for _ in range(300):
        optimiser.zero_grad()
        own_speaker_loss(scaling(cosines)).mean().backward()
        optimiser.step()
        scales.append(scaling.scale.item())
    return scales


@pytest.mark.parametrize("kind", ["sgd", "adam", "rough"])
def test_no_optimiser_makes_the_scale_zero_or_negative(kind):
    """The same steps take the scale of `DiscardedClamp` below 0. `rough`: steps so long that the exponential underflows."""

    def optimiser(module: torch.nn.Module) -> torch.optim.Optimizer:
        if kind == "adam":
            return torch.optim.Adam(module.parameters(), lr=0.3)
        return torch.optim.SGD(module.parameters(), lr=1e3 if kind == "rough" else 0.1)

    discarded, ours = DiscardedClamp(), ScaledCosine()
    assert min(scales_against_wrong_labels(discarded, optimiser(discarded))) < 0
    scales = scales_against_wrong_labels(ours, optimiser(ours))
    assert min(scales) > 0 and max(scales) <= 10.001
    assert scales[-1] < 1, "the optimiser did push"
    if kind == "rough":
        assert ours.log_scale.item() < math.log(torch.finfo(torch.float32).tiny), "else it shows nothing"
