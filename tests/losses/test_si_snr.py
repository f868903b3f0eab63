"""SI-SNR against torchmetrics and by invariances."""

import pytest
import torch
from torchmetrics.functional.audio import permutation_invariant_training, scale_invariant_signal_noise_ratio

from csc_fairseq.errors import InputError
from csc_fairseq.losses.permutation import best_permutation, reorder, separation_costs
from csc_fairseq.losses.si_snr import pairwise_si_snr, si_snr, silence_cost


@pytest.fixture
def signals() -> tuple[torch.Tensor, torch.Tensor]:
    """Estimates and references (6, 3, 4000); the estimates are noisy mixtures of the references."""
    torch.manual_seed(0)
    references = torch.randn(6, 3, 4000)
    leak = torch.randn(6, 3, 3)
    return leak @ references + 0.3 * torch.randn(6, 3, 4000) + 0.2, references


def test_si_snr_agrees_with_torchmetrics(signals):
    estimates, references = signals
    torch.testing.assert_close(
        si_snr(estimates, references), scale_invariant_signal_noise_ratio(estimates, references), atol=1e-3, rtol=1e-4
    )


def test_pairwise_agrees_with_every_single_pair(signals):
    estimates, references = signals
    pairs = si_snr(estimates.unsqueeze(2), references.unsqueeze(1))
    torch.testing.assert_close(pairwise_si_snr(estimates, references), pairs, atol=1e-3, rtol=1e-4)


def test_scale_and_offset_of_the_estimate_change_nothing(signals):
    estimates, references = signals
    torch.testing.assert_close(
        si_snr(7 * estimates - 0.5, references), si_snr(estimates, references), atol=1e-3, rtol=1e-4
    )


def test_known_ratio():
    """An orthogonal error of a tenth of the energy is 10 dB."""
    time = torch.arange(1600) / 1600 * 2 * torch.pi
    reference = torch.sin(10 * time)
    assert si_snr(reference + 0.1**0.5 * torch.cos(10 * time), reference).item() == pytest.approx(10, abs=1e-3)


@pytest.mark.parametrize("sources", [2, 3])
def test_permutation_agrees_with_torchmetrics(sources):
    torch.manual_seed(1)
    references = torch.randn(16, sources, 2000)
    estimates = torch.stack([row[torch.randperm(sources)] for row in references]) + 0.5 * torch.randn(16, sources, 2000)
    costs = separation_costs(estimates, references, torch.ones(16, sources, dtype=torch.bool), references.sum(1))
    loss, permutation = best_permutation(costs)
    expected, order = permutation_invariant_training(estimates, references, scale_invariant_signal_noise_ratio)
    torch.testing.assert_close(-loss, expected, atol=1e-3, rtol=1e-4)
    assert torch.equal(permutation, order)


def test_reordered_outputs_match_their_sources_in_any_order():
    torch.manual_seed(2)
    references = torch.randn(5, 3, 500)
    shuffles = torch.stack([torch.randperm(3) for _ in range(5)])
    estimates = reorder(references, shuffles)
    costs = separation_costs(estimates, references, torch.ones(5, 3, dtype=torch.bool), references.sum(1))
    _, permutation = best_permutation(costs)
    assert torch.equal(reorder(estimates, permutation), references)


def test_reference_order_does_not_change_the_loss(signals):
    estimates, references = signals
    present = torch.ones(6, 3, dtype=torch.bool)
    loss, _ = best_permutation(separation_costs(estimates, references, present, references.sum(1)))
    flipped, _ = best_permutation(separation_costs(estimates, references.flip(1), present, references.sum(1)))
    torch.testing.assert_close(loss, flipped)


def test_no_gradient_beyond_the_ceiling():
    torch.manual_seed(3)
    references = torch.randn(2, 2, 4000)
    good = (references + 1e-3 * torch.randn_like(references)).requires_grad_()
    present = torch.ones(2, 2, dtype=torch.bool)
    best_permutation(separation_costs(good, references, present, references.sum(1)))[0].sum().backward()
    assert good.grad.abs().max() == 0
    poor = (references + torch.randn_like(references)).requires_grad_()
    best_permutation(separation_costs(poor, references, present, references.sum(1)))[0].sum().backward()
    assert poor.grad.abs().max() > 0


def test_absent_source_costs_the_energy_of_its_output():
    torch.manual_seed(4)
    mixture = torch.randn(1, 3000)
    quiet, loud = 0.001 * torch.randn(1, 3000), mixture.clone()
    sources = torch.stack([mixture, torch.zeros_like(mixture)], dim=1)
    present = torch.tensor([[True, False]])
    silent = best_permutation(separation_costs(torch.stack([mixture, quiet], 1), sources, present, mixture))[0]
    copied = best_permutation(separation_costs(torch.stack([mixture, loud], 1), sources, present, mixture))[0]
    assert silent.item() == pytest.approx((-30 - 20) / 2, abs=0.01)  # both terms at their floors
    assert copied.item() == pytest.approx((-30 + 0) / 2, abs=0.05)
    assert silence_cost(loud.unsqueeze(1), mixture).item() == pytest.approx(0.043, abs=0.001)  # 10·log10(1.01)


def test_too_many_sources_are_refused():
    with pytest.raises(InputError, match="7 sources"):
        best_permutation(torch.zeros(1, 7, 7))
