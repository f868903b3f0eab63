"""Figures of views by hand, and against exact ones, also where all embeddings share most of their direction."""

import pytest
import torch
import torch.nn.functional as F
from fairseq import metrics

from csc_fairseq.criterions.view_retrieval import BINS, histogram_eer, log_view_eer, view_retrieval
from csc_fairseq.modules.global_vectors import Talkers
from csc_fairseq.verification.metrics.error_rates import eer


def talkers(numbers: list[int], views: list[int]) -> Talkers:
    return Talkers(torch.full((len(numbers),), -1), torch.tensor(numbers), torch.tensor(views))


def test_retrieval_by_hand():
    """Identity 0 is found in both directions; of identity 1, view 0 is nearest to 0 in view 1; 2 is heard once."""
    angles = torch.tensor([0.0, 0.1, 0.3, 2.0, 1.2])
    embeddings = torch.stack([angles.cos(), angles.sin()], dim=1)
    found = view_retrieval(embeddings, talkers([0, 0, 1, 1, 2], [0, 1, 0, 1, 0]))
    # Queries 0 and 1 find each other; 2 (identity 1) finds 1 (identity 0); 3 (identity 1, view 1) finds 4 (identity 2).
    assert (int(found.correct), int(found.queries)) == (2, 4)
    # Pairs of different views, each in both directions: 0-1, 2-3 are the same; 0-3, 2-1, 4-1, 4-3 are not.
    assert found.histogram.sum(1).tolist() == [8, 4]
    rejected, accepted = angles[[0, 2, 4, 4]] - angles[[3, 1, 1, 3]], angles[[0, 2]] - angles[[1, 3]]
    assert histogram_eer(found.histogram) == pytest.approx(100 * eer(accepted.cos(), rejected.cos()), abs=1e-3)


@pytest.mark.parametrize("shared", [0.0, 3.0, 30.0])
def test_error_rate_is_the_exact_one(shared):
    """To a bin. With `shared`, cosines are all above 0.9 or above 0.999."""
    generator = torch.Generator().manual_seed(0)
    voices = torch.randn(60, 16, generator=generator)
    streams = torch.cat([voices + 0.8 * torch.randn(60, 16, generator=generator) for _ in range(2)])
    embeddings = F.normalize(streams + shared * torch.full((16,), 2.0), dim=1)
    found = view_retrieval(embeddings, talkers([*range(60)] * 2, [0] * 60 + [1] * 60))
    cosines = (embeddings @ embeddings.T)[:60, 60:].double()
    same = torch.eye(60, dtype=torch.bool)
    exact = 100 * eer(cosines[same].numpy(), cosines[~same].numpy())
    assert 2 < exact < 40 and histogram_eer(found.histogram) == pytest.approx(exact, abs=0.6)


def test_batches_without_pairs():
    found = view_retrieval(F.normalize(torch.randn(3, 4), dim=1), talkers([0, 1, 2], [0, 0, 1]))
    assert int(found.queries) == 0 and histogram_eer(found.histogram) != histogram_eer(found.histogram)  # NaN
    empty = view_retrieval(torch.zeros(0, 4), talkers([], []))
    assert empty.histogram.shape == (2, BINS)


def test_meters_do_not_grow():
    """fairseq never resets those of validation, and writes them into checkpoints."""
    histogram = torch.randint(9, (2, BINS))
    with metrics.aggregate("growing") as aggregated:
        sizes = []
        for _ in range(3):
            log_view_eer(histogram)
            sizes.append(sum(value.numel() for value in tensors_in(aggregated.state_dict())))
    assert sizes == [2 * BINS] * 3
    assert aggregated.get_smoothed_values()["view_eer"] == pytest.approx(histogram_eer(3 * histogram))


def tensors_in(state: object) -> list[torch.Tensor]:
    """All tensors in nested lists, tuples and dictionaries."""
    if isinstance(state, torch.Tensor):
        return [state]
    if isinstance(state, dict):
        state = list(state.values())
    return [tensor for part in state for tensor in tensors_in(part)] if isinstance(state, list | tuple) else []
