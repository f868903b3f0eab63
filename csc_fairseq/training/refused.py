"""Options that fairseq takes and then fails on: refused before anything is read or written."""

from typing import Any

import torch

from csc_fairseq.errors import InputError


def require_precision(cfg: Any) -> None:
    """InputError for a training in float16 on a CPU: fairseq scales its gradients on a GPU alone."""
    if cfg.common.fp16 and (cfg.common.cpu or not torch.cuda.is_available()):
        raise InputError(
            "common.fp16=true needs a GPU, and this training is on the CPU; take common.bf16=true, or drop the option"
        )


def require_schedule(cfg: Any) -> None:
    """InputError for a cosine without an end, or without a step: fairseq divides by its length after the last update."""
    schedule, updates = cfg.lr_scheduler, cfg.optimization.max_update
    if schedule._name != "cosine" or schedule.lr_period_updates > 0:
        return
    if updates <= 0:
        raise InputError(
            f"optimization.max_update is {updates}, and lr_scheduler=cosine must know the last update; set it, or "
            "lr_scheduler.lr_period_updates"
        )
    if schedule.warmup_updates == updates:
        raise InputError(
            f"lr_scheduler.warmup_updates={updates} leaves no update of optimization.max_update={updates} for the cosine; lower it"
        )
