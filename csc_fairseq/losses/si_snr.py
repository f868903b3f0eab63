"""Scale-invariant signal-to-noise ratio (Le Roux et al., "SDR – half-baked or well done?", ICASSP 2019)."""

import torch
from torch import Tensor

EPS = 1e-8


def si_snr(estimate: Tensor, reference: Tensor) -> Tensor:
    """SI-SNR in dB of zero-mean signals, larger is better.

    Args:
        estimate, reference: broadcastable to (..., T).

    Returns:
        (...) dB, float32. A silent reference gives a very low value: leave such pairs out.
    """
    estimate, reference = estimate.float(), reference.float()
    estimate = estimate - estimate.mean(-1, keepdim=True)
    reference = reference - reference.mean(-1, keepdim=True)
    scale = ((estimate * reference).sum(-1, keepdim=True) + EPS) / (reference.square().sum(-1, keepdim=True) + EPS)
    target = scale * reference
    noise = estimate - target
    return 10 * torch.log10((target.square().sum(-1) + EPS) / (noise.square().sum(-1) + EPS))


def pairwise_si_snr(estimates: Tensor, references: Tensor) -> Tensor:
    """(B, C, T) estimates and (B, C, T) references to (B, C, C) dB: [b, i, j] compares estimate i with reference j.

    It equals `si_snr`, but uses inner products alone, so that no (B, C, C, T) tensor is made.
    """
    estimates, references = estimates.float(), references.float()
    estimates = estimates - estimates.mean(-1, keepdim=True)
    references = references - references.mean(-1, keepdim=True)
    with torch.autocast(estimates.device.type, enabled=False):  # half precision overflows over thousands of samples
        cross = estimates @ references.transpose(1, 2) + EPS
    reference_energy = references.square().sum(-1).unsqueeze(1) + EPS
    target_energy = cross.square() / reference_energy
    noise_energy = estimates.square().sum(-1).unsqueeze(2) - target_energy
    # Rounding makes the noise of a perfect estimate negative. The floor is at 60 dB, far above the 30 dB where the loss stops.
    floor = 1e-6 * target_energy.detach() + EPS
    return 10 * torch.log10((target_energy + EPS) / torch.maximum(noise_energy, floor))


def silence_cost(estimates: Tensor, mixture: Tensor, threshold_db: float = -20.0) -> Tensor:
    """Energy of an output whose source is absent, in dB relative to the mixture, smaller is better (FUSS, Wisdom et al. 2021).

    Args:
        estimates: (B, C, T). mixture: (B, T).
        threshold_db: the floor. An output much quieter than this gets almost no gradient.

    Returns:
        (B, C) dB: 10·log10(‖ŷ‖² / ‖x‖² + 10^(threshold/10)), about 0 for the mixture itself.
    """
    mixture_energy = mixture.float().square().sum(-1).unsqueeze(1) + EPS
    ratio = estimates.float().square().sum(-1) / mixture_energy
    return 10 * torch.log10(ratio + 10 ** (threshold_db / 10))
