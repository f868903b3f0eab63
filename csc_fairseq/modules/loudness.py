"""The loudest of the separated streams: the voice of a recording with one talker."""

import torch
from torch import Tensor


def loudest_streams(estimates: Tensor | None, recordings: int, device: torch.device) -> Tensor:
    """(B,) index of each recording's stream with the most energy; stream 0 for encoders that do not separate.

    Args:
        estimates: (B, C, T), zeros where there is padding, or None. recordings: B. device: of the answer.
    """
    if estimates is None:
        return torch.zeros(recordings, dtype=torch.long, device=device)
    return estimates.float().square().sum(-1).argmax(-1)
