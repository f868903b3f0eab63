"""The GALR block: published size, invariance to padding, and gradients to every parameter."""

import pytest
import torch

from csc_fairseq.modules.galr import GalrBlock, sinusoidal_positions
from csc_fairseq.modules.segmentation import Alternating, Overlapping


def test_published_parameter_count():
    block = GalrBlock(channels=64, hidden=128, length=100, summaries=32, heads=8)
    assert sum(parameter.numel() for parameter in block.parameters()) == 239_044


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("segmentation", [Overlapping(8), Alternating(8)], ids=["overlapping", "alternating"])
def test_padding_changes_nothing(segmentation, number):
    torch.manual_seed(0)
    block = GalrBlock(channels=16, hidden=8, length=8, summaries=4, heads=2)
    frames = torch.randn(2, 30, 16)
    outputs = []
    for extra in (0, 17):
        padding = torch.arange(30 + extra).expand(2, -1) >= 30
        padded = torch.cat([frames, 50 * torch.randn(2, extra, 16)], dim=1).masked_fill(padding.unsqueeze(-1), 0)
        valid = (~segmentation.padding(padding)).unsqueeze(-1).float()
        segments = segmentation.apply(block, number, segmentation.split(padded), valid)
        outputs.append(segmentation.join(segments, 30))
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-5, rtol=1e-5)


def test_attention_reaches_across_segments():
    """A change in the first segment is heard in the last one: the recurrence alone could not carry it there."""
    torch.manual_seed(0)
    block = GalrBlock(channels=16, hidden=8, length=8, summaries=4, heads=2)
    segments = torch.randn(1, 6, 8, 16)
    changed = segments.clone()
    changed[:, 0] = torch.randn(8, 16)
    valid = torch.ones(1, 6, 8, 1)
    assert (block(segments, valid)[:, 5] - block(changed, valid)[:, 5]).abs().max() > 1e-4


def test_every_parameter_learns():
    block = GalrBlock(channels=16, hidden=8, length=8, summaries=4, heads=2)
    block(torch.randn(2, 5, 8, 16), torch.ones(2, 5, 8, 1)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in block.parameters())


def test_positions_differ():
    table = sinusoidal_positions(50, 16, torch.device("cpu"))
    assert table.shape == (50, 16) and torch.cdist(table, table).fill_diagonal_(1).min() > 0.05
