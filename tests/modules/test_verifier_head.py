"""Layer weights and pooling: by hand, with padding, in half precision."""

import pytest
import torch

from csc_fairseq.errors import InputError
from csc_fairseq.modules.verifier_head import POOLINGS, FramePooling, LayerWeights


def test_layers_are_weighted_by_a_softmax():
    weights = LayerWeights(3)
    layers = torch.tensor([1.0, 10.0, 100.0]).view(3, 1, 1, 1, 1).expand(3, 2, 2, 4, 5)
    torch.testing.assert_close(weights(layers), torch.full((2, 2, 4, 5), 37.0))
    weights.logits.data = torch.tensor([0.0, 3.0, 2.0])
    shares = torch.tensor([1.0, torch.e**3, torch.e**2]) / (1 + torch.e**3 + torch.e**2)
    torch.testing.assert_close(weights.shares(), shares)
    expected = shares[0] + 10 * shares[1] + 100 * shares[2]
    torch.testing.assert_close(weights(layers), expected.expand(2, 2, 4, 5))


def test_layer_weights_learn_towards_the_better_layer():
    weights = LayerWeights(2)
    layers = torch.stack([torch.zeros(1, 1, 3, 2), torch.ones(1, 1, 3, 2)])
    (weights(layers) - 1).square().sum().backward()
    assert weights.logits.grad[1] < 0 < weights.logits.grad[0]


def test_a_single_layer_has_no_weight():
    weights, layers = LayerWeights(1), torch.randn(1, 2, 2, 4, 5)
    assert not list(weights.parameters())
    assert torch.equal(weights(layers), layers[0]) and weights.shares().tolist() == [1]


FRAMES = torch.tensor([[[[1.0, 2.0], [3.0, 2.0], [8.0, 5.0], [50.0, 60.0]]]])  # (1, 1, 4, 2)
PADDING = torch.tensor([[False, False, False, True]])


def test_mean_by_hand():
    torch.testing.assert_close(FramePooling(2, "mean")(FRAMES, PADDING), torch.tensor([[[4.0, 3.0]]]))


def test_statistics_by_hand():
    deviations = [(26 / 3 + 1e-5) ** 0.5, (2 + 1e-5) ** 0.5]  # (9 + 1 + 16) / 3 and (1 + 1 + 4) / 3
    expected = torch.tensor([[[4.0, 3.0, *deviations]]])
    torch.testing.assert_close(FramePooling(2, "statistics")(FRAMES, PADDING), expected)


def test_attention_by_hand():
    """A score of log 2 for frames whose first channel is large, of 0 for the others: weights 1/4, 1/4, 1/2."""
    pooling = FramePooling(2, "attentive")
    first, _, second = pooling.attention.score
    for parameter in pooling.parameters():
        torch.nn.init.zeros_(parameter)
    first.weight.data[0, 0], first.bias.data[0] = 100.0, -500.0  # tanh: −1 up to 4, +1 from 6 on
    second.weight.data[0, 0] = second.bias.data[0] = torch.log(torch.tensor(2.0)) / 2
    mean = [(1 + 3) / 4 + 8 / 2, (2 + 2) / 4 + 5 / 2]
    variances = [
        sum(w * (x - m) ** 2 for w, x in zip((0.25, 0.25, 0.5), xs, strict=True))
        for xs, m in zip(((1, 3, 8), (2, 2, 5)), mean, strict=True)
    ]
    expected = torch.tensor([[mean + [(variance + 1e-5) ** 0.5 for variance in variances]]])
    torch.testing.assert_close(pooling(FRAMES, PADDING), expected)


@pytest.mark.parametrize("kind", POOLINGS)
def test_shapes_padding_streams_and_gradients(kind):
    torch.manual_seed(0)
    pooling = FramePooling(6, kind)
    assert pooling.out_channels == (6 if kind == "mean" else 12)
    frames = torch.randn(3, 2, 9, 6)
    padding = torch.arange(9) >= torch.tensor([[9], [5], [1]])
    for rubbish in (1e4, torch.nan):
        spoilt = frames.masked_fill(padding[:, None, :, None], rubbish).requires_grad_()
        pooled = pooling(spoilt, padding)
        assert pooled.shape == (3, 2, pooling.out_channels)
        for i, length in enumerate((9, 5, 1)):
            alone = pooling(frames[i : i + 1, :, :length], torch.zeros(1, length, dtype=torch.bool))
            torch.testing.assert_close(pooled[i : i + 1], alone, atol=1e-5, rtol=1e-5)
        turned = pooling(spoilt.flip(0).flip(1), padding.flip(0))
        torch.testing.assert_close(turned, pooled.flip(0).flip(1))
        pooled.square().sum().backward()
        assert not spoilt.grad[padding[:, None, :].expand(-1, 2, -1)].any()
        assert spoilt.grad.isfinite().all() and spoilt.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", POOLINGS)
def test_half_precision_keeps_its_type(kind):
    pooling = FramePooling(4, kind).bfloat16()
    frames = torch.randn(1, 1, 3000, 4)
    padding = torch.zeros(1, 3000, dtype=torch.bool)
    pooled = pooling(frames.bfloat16(), padding)
    assert pooled.dtype == torch.bfloat16
    if kind != "attentive":
        torch.testing.assert_close(pooled.float(), FramePooling(4, kind)(frames, padding), atol=0.05, rtol=0.05)


def test_unknown_poolings_are_named():
    with pytest.raises(InputError, match="the pooling is 'max', expected one of mean, statistics, attentive"):
        FramePooling(4, "max")
