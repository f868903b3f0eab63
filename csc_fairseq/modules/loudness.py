"""How loud separated streams are: the loudest one, and the levels with which they make up their mixture."""

import torch
from torch import Tensor

RIDGE = 1e-4  # of streams of unit energy: two equal ones share their level
SILENT = 1e-20  # energy of a stream that is divided by nothing


def loudest_streams(estimates: Tensor | None, recordings: int, device: torch.device) -> Tensor:
    """(B,) index of each recording's stream with the most energy; stream 0 for encoders that do not separate.

    Args:
        estimates: (B, C, T), zeros where there is padding, or None. recordings: B. device: of the answer.
    """
    if estimates is None:
        return torch.zeros(recordings, dtype=torch.long, device=device)
    return estimates.float().square().sum(-1).argmax(-1)


def levels_in_mixture(estimates: Tensor, mixture: Tensor) -> Tensor:
    """(C, 1) factors with which C streams (C, T) add up to their mixture (T,) with the least squared error; a silent stream has 0.

    SI-SNR, the loss of separation, hears neither the level nor the sign of an estimate, so a network is free in both (our choice;
    the usual remedy for scale-invariant losses).
    """
    streams = estimates.float()
    norms = streams.square().sum(-1, keepdim=True).sqrt()
    unit = streams / norms.clamp_min(SILENT**0.5)
    # Waveforms stay on their device. Not all devices have double precision, which the few numbers are solved in.
    products = (unit @ torch.stack([*unit, mixture.to(unit)]).T).double().cpu()
    norms = norms.double().cpu()
    likeness = products[:, :-1] + RIDGE * torch.eye(len(unit), dtype=products.dtype)
    factors = torch.linalg.solve(likeness, products[:, -1]).unsqueeze(1) / norms.clamp_min(SILENT**0.5)
    return torch.where(norms > SILENT**0.5, factors, 0.0).to(estimates)
