"""The memory of earlier batches: further negatives, by hand; what it keeps, and when it takes no part."""

import pytest
import torch
import torch.nn.functional as F

from csc_fairseq.modules.global_vectors import Talkers
from csc_fairseq.modules.view_vectors import ViewVectors

ALPHA = 6.0


def unit(count: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(count, 8, generator=torch.Generator().manual_seed(seed)), dim=1)


def talkers(*numbers: int) -> Talkers:
    """Two views of each identity, side by side."""
    twice = torch.tensor(numbers).repeat_interleave(2)
    return Talkers(twice, twice, torch.arange(len(twice)) % 2)


def test_earlier_streams_of_other_identities_are_negatives():
    vectors, plain = ViewVectors(8, ALPHA, "mean", memory=16), ViewVectors(8, ALPHA, "mean")
    before, now = unit(6, 0), unit(4, 1)
    vectors.stage(before, talkers(5, 7, 9))
    vectors.commit()
    found, batch = vectors.identify(now, talkers(7, 2)), plain.identify(now, talkers(7, 2))
    # Of identity 7 streams 2 and 3 were heard before, which are no negatives for it; ten places are empty.
    for query, allowed in ((0, (0, 1, 4, 5)), (1, (0, 1, 4, 5)), (2, range(6)), (3, range(6))):
        own, other = (now[query ^ 1], now[(query ^ 1) ^ 2])
        logits = 2 * ALPHA * now[query] @ torch.stack([own, other, *before[list(allowed)]]).T
        own_views = 2 * ALPHA * now[query] @ torch.stack([now[query ^ 1], now[(query ^ 1) ^ 2]]).T
        torch.testing.assert_close(batch.losses[query], own_views.logsumexp(0) - own_views[0])
        torch.testing.assert_close(found.losses[query], logits.logsumexp(0) - logits[0])
    assert torch.equal(found.scored, batch.scored) and torch.equal(found.correct, batch.correct)
    assert torch.equal(found.entropy, batch.entropy)


def test_the_newest_streams_are_kept():
    vectors = ViewVectors(8, ALPHA, "mean", memory=5)
    first, second = unit(4, 0), unit(2, 1)
    vectors.stage(first, talkers(1, 2))
    vectors.commit()
    assert vectors.earlier_numbers.tolist() == [1, 1, 2, 2, -1]
    vectors.stage(second, talkers(3))
    vectors.stage(unit(2, 2), talkers(4))
    vectors.discard()
    vectors.commit()
    assert vectors.earlier_numbers.tolist() == [3, 3, 1, 1, 2]
    torch.testing.assert_close(vectors.earlier, torch.cat([second, first])[:5])
    vectors.stage(torch.full((2, 8), torch.nan), talkers(6))
    vectors.commit()
    vectors.commit()
    assert vectors.earlier_numbers.tolist() == [3, 3, 1, 1, 2]
    assert set(vectors.state_dict()) == {"_alpha", "earlier", "earlier_numbers"}


@pytest.mark.parametrize("memory", [0, 4])
def test_validation_hears_nothing_of_earlier_batches(memory):
    vectors = ViewVectors(8, ALPHA, "mean", memory)
    losses = []
    for _ in range(2):
        losses.append(vectors.eval().identify(unit(4, 1), talkers(7, 2)).losses)
        vectors.train().stage(unit(4, 3), talkers(8, 9))
        vectors.commit()
    assert torch.equal(*losses)
