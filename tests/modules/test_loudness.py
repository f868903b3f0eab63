"""Which stream is the loudest, and the levels with which streams make up their mixture."""

import numpy as np
import pytest
import torch

from csc_fairseq.modules.loudness import levels_in_mixture, loudest_streams


def test_loudest_streams():
    estimates = torch.tensor([[[1.0, 1.0], [0.0, -3.0]], [[2.0, 2.0], [-1.0, 1.0]]])
    assert loudest_streams(estimates, 2, estimates.device).tolist() == [1, 0]
    assert loudest_streams(None, 3, estimates.device).tolist() == [0, 0, 0]


def noises(count: int, samples: int = 4000) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal((count, samples)).astype(np.float32))


@pytest.mark.parametrize("level", [1, 1e-4])
def test_scaled_and_turned_sources_add_up_to_the_mixture(level):
    sources = level * noises(2)
    estimates = torch.tensor([[-3.0], [1e-3]]) * sources
    factors = levels_in_mixture(estimates, sources.sum(0))
    assert factors.dtype == torch.float32
    torch.testing.assert_close(factors, torch.tensor([[-1 / 3], [1e3]]), rtol=1e-3, atol=0)
    torch.testing.assert_close((factors * estimates).sum(0), sources.sum(0), rtol=0, atol=1e-3 * level)


def test_streams_that_are_alike_have_the_least_squared_error():
    """Three that hold something of each other and a mixture that holds more than they do."""
    first, second, third, rest = noises(4)
    estimates = torch.stack([first, 5 * (second + 0.5 * first), third - 0.7 * second])
    mixture = first - second + 0.3 * third + rest
    expected = np.linalg.lstsq(estimates.numpy().T.astype(float), mixture.numpy().astype(float), rcond=None)[0]
    np.testing.assert_allclose(levels_in_mixture(estimates, mixture)[:, 0], expected, rtol=2e-3)


@pytest.mark.parametrize(
    ("estimates", "mixture", "factors"),
    [
        ([[2.0, 0.0], [0.0, -4.0]], [6.0, 8.0], [3.0, -2.0]),
        ([[1.0, 1.0], [0.0, 0.0]], [2.0, 2.0], [2.0, 0.0]),  # a silent stream
        ([[1.0, 1.0], [1.0, 1.0]], [4.0, 4.0], [2.0, 2.0]),  # two equal ones share
        ([[1.0, 1.0], [-1.0, -1.0]], [4.0, 4.0], [2.0, -2.0]),
        ([[1.0, 1.0], [1.0, -1.0]], [0.0, 0.0], [0.0, 0.0]),
        ([[0.0, 0.0], [0.0, 0.0]], [1.0, 1.0], [0.0, 0.0]),
        ([[0.5, 0.5]], [1.0, 1.0], [2.0]),
    ],
)
def test_by_hand(estimates, mixture, factors):
    found = levels_in_mixture(torch.tensor(estimates), torch.tensor(mixture))
    torch.testing.assert_close(found, torch.tensor(factors)[:, None], rtol=2e-4, atol=1e-12)
