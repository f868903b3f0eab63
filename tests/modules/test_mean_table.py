"""Running-mean rows: hand-computed visits, who takes part, and learning where a learnt row would forget."""

import math

import pytest
import torch
import torch.nn.functional as F

from csc_fairseq.modules.global_vectors import Talkers
from csc_fairseq.modules.mean_table import MeanTable


def talkers(*rows: int) -> Talkers:
    numbers = torch.tensor(rows)
    return Talkers(numbers, numbers.clamp_min(0), torch.zeros_like(numbers))


def test_a_visit_moves_a_row_half_way():
    table = MeanTable(3, 2, 12.0)
    table.stage(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]), talkers(0, 2, 2, -1))
    table.commit()
    # The mean of those with a row is (0, 1/3). The first visit sets a row.
    first = F.normalize(torch.tensor([[1.0, -1 / 3]]))
    others = F.normalize(F.normalize(torch.tensor([[0.0, 2 / 3]])) + F.normalize(torch.tensor([[-1.0, -1 / 3]])))
    torch.testing.assert_close(table.centre, torch.tensor([0.0, 1 / 3]))
    torch.testing.assert_close(table.weight, torch.cat([first, torch.zeros(1, 2), others]))
    assert table.visited.tolist() == [True, False, True]
    table.stage(torch.tensor([[0.0, 1.0]]), talkers(0))
    table.commit()
    centre = torch.tensor([0.0, 0.9 / 3 + 0.1])
    torch.testing.assert_close(table.centre, centre)
    torch.testing.assert_close(table.weight[:1], F.normalize(first + F.normalize(torch.tensor([[0.0, 1.0]]) - centre)))


def test_rows_that_were_never_visited_take_no_part():
    table = MeanTable(5, 4, 12.0)
    embeddings = F.normalize(torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    found = table.identify(embeddings, talkers(0, 1, 2))
    assert not found.scored.any() and not found.correct.any()
    table.stage(embeddings, talkers(0, 1, 2))
    table.commit()
    found = table.identify(embeddings, talkers(0, 3, -1))
    assert found.scored.tolist() == [True, False, False] and found.correct.tolist() == [True, False, False]
    assert float(found.entropy[0]) == pytest.approx(math.log(3))
    logits = 24 * F.normalize(embeddings - table.centre, dim=1) @ table.weight[:3].T
    torch.testing.assert_close(found.losses[0], logits[0].logsumexp(0) - logits[0, 0])


def test_a_dummy_and_an_overflow_leave_no_trace():
    table = MeanTable(2, 2, 12.0)
    table.stage(torch.tensor([[1.0, 0.0]]), talkers(0))
    table.discard()
    table.stage(torch.tensor([[math.nan, 0.0]]), talkers(1))
    table.commit()
    table.commit()
    assert not table.visited.any() and table.weight.abs().sum() == table.centre.abs().sum() == 0


def test_half_precision():
    """As with common.fp16: the model's buffers are half; figures are as in single precision, to its rounding."""
    embeddings = F.normalize(torch.randn(6, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    tables = [MeanTable(6, 8, 12.0), MeanTable(6, 8, 12.0).half()]
    for table in tables:
        for _ in range(2):
            table.stage(embeddings.to(table.weight.dtype), talkers(*range(6)))
            table.commit()
    losses = [table.identify(embeddings.to(table.weight.dtype), talkers(*range(6))).losses for table in tables]
    torch.testing.assert_close(losses[1], losses[0], atol=0.05, rtol=0)
    assert float(tables[1].spread()) == pytest.approx(float(tables[0].spread()), abs=0.01)


def test_queries_of_one_direction_learn():
    """400 identities whose vectors share most of their length, seen rarely: the loss falls far below log N and stays there."""
    generator = torch.Generator().manual_seed(0)
    voices = F.normalize(torch.randn(400, 16, generator=generator), dim=1)
    table, turn = MeanTable(400, 16, 12.0), torch.nn.Linear(16, 16)
    torch.nn.init.eye_(turn.weight)
    torch.nn.init.constant_(turn.bias, 3.0)  # all queries begin in one direction
    optimiser = torch.optim.Adam(turn.parameters(), lr=3e-3)
    losses = []
    for _ in range(600):
        rows = torch.randint(400, (16,), generator=generator)
        queries = F.normalize(turn(voices[rows] + 0.1 * torch.randn(16, 16, generator=generator)), dim=1)
        found = table.identify(queries, talkers(*rows.tolist()))
        loss = found.losses[found.scored].sum() / 16
        if found.scored.any():
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        table.stage(queries, talkers(*rows.tolist()))
        table.commit()
        losses.append(float(found.losses[found.scored].detach().mean()) if found.scored.any() else math.nan)
    assert sum(losses[-50:]) / 50 < math.log(400) / 2
    assert max(losses[-50:]) < math.log(400)
