"""The condition memory: what is kept, what is hidden, and why keys must not be chosen by the label."""

import math

import pytest
import torch
import torch.nn.functional as F

from csc_fairseq.losses.contrastive import contrastive_separative_loss
from csc_fairseq.modules.condition_attention import ConditionAttention, MemoryBank, other_views_mask


def batch(first: int, mixtures: int, sources: int = 2, channels: int = 4) -> tuple[torch.Tensor, ...]:
    """Queries that carry their own number, recording keys 10·number, 10·number + 1, and a voice in every stream."""
    numbers = torch.arange(first, first + mixtures)
    queries = numbers[:, None, None].float().expand(-1, sources, channels) + 0.1 * torch.arange(sources)[:, None]
    return queries, numbers[:, None] * 10 + torch.arange(sources), torch.ones(mixtures, sources, dtype=torch.bool)


def test_first_in_first_out():
    bank = MemoryBank(size=6, channels=4, sources=2)
    for first in (1, 3):
        bank.stage(*batch(first, mixtures=2))
        assert bank.filled == (0 if first == 1 else 4)  # nothing is seen before the update is done
        bank.commit()
    # Eight entries went into six places: those of mixture 1 are gone.
    kept = sorted(round(value, 1) for value in bank.entries[:, 0].tolist())
    assert kept == [2.0, 2.1, 3.0, 3.1, 4.0, 4.1] and bank.filled == 6


def test_micro_batches_and_one_batch_leave_the_same_memory():
    whole, parts = MemoryBank(16, 4, 2), MemoryBank(16, 4, 2)
    whole.stage(*batch(0, 4))
    whole.commit()
    parts.stage(*batch(0, 2))
    parts.stage(*batch(2, 2))
    parts.commit()
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name]), name


def test_a_discarded_batch_is_forgotten():
    bank = MemoryBank(8, 4, 2)
    bank.stage(*batch(1, 1))
    bank.stage(*batch(2, 1))
    bank.discard()
    bank.commit()
    assert bank.filled == 2 and bank.entries[:2, 0].tolist() == pytest.approx([1.0, 1.1])


def test_streams_without_a_voice_are_left_out():
    bank = MemoryBank(8, 4, 2)
    queries, recordings, _ = batch(1, 3)
    bank.stage(queries, recordings, torch.tensor([[True, False], [True, True], [False, True]]))
    bank.commit()
    assert bank.entries[: bank.filled, 0].tolist() == pytest.approx([1.0, 2.0, 2.1, 3.1])
    assert bank.recordings[: bank.filled, 0].tolist() == [10, 20, 20, 30]


def test_own_recordings_and_empty_places_are_hidden():
    bank = MemoryBank(8, 4, 2)
    bank.stage(*batch(1, 3))  # recordings 10, 11, 20, 21, 30, 31
    bank.commit()
    hidden = bank.mask(torch.tensor([[21, 99], [-1, 98]]), mixtures=2)
    assert hidden[0].tolist() == [False, False, True, True, False, False, True, True]
    assert hidden[1].tolist() == [False] * 6 + [True] * 2
    assert bank.mask(None, mixtures=1).sum() == 2


def test_memory_is_part_of_the_state():
    bank, other = MemoryBank(8, 4, 2), MemoryBank(8, 4, 2)
    bank.stage(*batch(1, 3))
    bank.commit()
    other.load_state_dict(bank.state_dict())
    assert other.filled == 6 and other.cursor == 6 and torch.equal(other.recordings, bank.recordings)


def test_with_nothing_visible_the_answer_depends_on_the_query_alone():
    torch.manual_seed(0)
    attention = ConditionAttention(8, 2)
    torch.nn.init.normal_(attention.output.weight)
    queries = F.normalize(torch.randn(3, 8), dim=-1)
    hidden = torch.ones(3, 5, dtype=torch.bool)
    first, second = (attention(queries, torch.randn(5, 8), hidden) for _ in range(2))
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(first.norm(dim=-1), torch.ones(3))
    assert (attention(queries, torch.randn(5, 8), ~hidden) - first).abs().max() > 1e-3


def test_attention_starts_as_the_identity():
    queries = F.normalize(torch.randn(3, 8), dim=-1)
    answer = ConditionAttention(8, 2)(queries, torch.randn(5, 8), torch.zeros(3, 5, dtype=torch.bool))
    torch.testing.assert_close(answer, queries)


def test_other_views_of_the_same_item():
    mask = other_views_mask(torch.tensor([0, 0, 1]), mixtures=3, sources=2, device=torch.device("cpu"))
    visible = [[j for j in range(6) if not row[j]] for row in mask.tolist()]
    assert visible == [[2, 3], [0, 1], []]


IDENTITIES, CHANNELS = 12, 16


def loss_of_noise_queries(memory: str) -> float:
    """Trains the attention and the table on queries of pure noise, and returns ℓ(s) in nats on fresh draws.

    The other embeddings of a batch come from speech: they are noisy copies of a voice per identity. With `bank` a query
    sees those of all identities; with `conditions`, those of its own, as the label chose them.
    """
    torch.manual_seed(0)
    voices = F.normalize(torch.randn(IDENTITIES, CHANNELS), dim=-1)
    table = torch.nn.Parameter(torch.randn(IDENTITIES, CHANNELS))
    attention = ConditionAttention(CHANNELS, 2)
    optimiser = torch.optim.Adam([table, *attention.parameters()], lr=0.01)

    def draw() -> torch.Tensor:
        identities = torch.arange(IDENTITIES).repeat(8)
        queries = F.normalize(torch.randn(len(identities), CHANNELS), dim=-1)
        speech = F.normalize(voices[identities] + 0.2 * torch.randn(len(identities), CHANNELS), dim=-1)
        if memory == "bank":
            attended = attention(queries, speech, torch.zeros(len(queries), len(speech), dtype=torch.bool))
        else:
            keys = torch.stack([speech, queries.detach()], dim=1).flatten(
                0, 1
            )  # the item's clean view, then its noise view
            groups = torch.arange(len(queries)).repeat_interleave(2)
            hidden = other_views_mask(groups, len(keys), 1, keys.device)
            attended = attention(queries, keys, hidden[1::2])
        return contrastive_separative_loss(attended, F.normalize(table, dim=-1), identities, 12.0).mean()

    for _ in range(300):
        optimiser.zero_grad()
        draw().backward()
        optimiser.step()
    with torch.no_grad():
        return float(torch.stack([draw() for _ in range(20)]).mean())


def test_noise_tells_nothing_through_the_bank():
    assert loss_of_noise_queries("bank") > math.log(IDENTITIES) - 0.01


def test_label_chosen_memory_leaks():
    """The hazard is real: the loss falls far below log N although the queries are noise."""
    assert loss_of_noise_queries("conditions") < 0.5 * math.log(IDENTITIES)
