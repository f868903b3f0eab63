"""What `common.amp` puts around an optimizer."""

from typing import Any

import torch


def grad_scaler(optimizer: Any) -> torch.amp.GradScaler | None:
    """PyTorch's scaler of gradients in fairseq's optimizer; None where there is none at work, as in float32, fp16 and bf16."""
    scaler = getattr(optimizer, "scaler", None)
    return scaler if isinstance(scaler, torch.amp.GradScaler) and scaler.is_enabled() else None
