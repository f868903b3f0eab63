"""The processes of a training, as torchrun starts them; with GPUs, and over gloo on a CPU."""

import os
from collections.abc import Mapping
from typing import Any

import torch

from csc_fairseq.errors import InputError

TORCHRUN = ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK")
WAITING = ("c10d", "pytorch_ddp")  # fairseq's names for PyTorch's DistributedDataParallel


def take_up(cfg: Any, environment: Mapping[str, str] = os.environ) -> None:
    """Sets fairseq's `distributed_training` options to what torchrun says in the environment.

    fairseq does so itself where more than one GPU is visible. Otherwise each process would be a training of its own.

    Args:
        cfg: options of a training, changed in place. environment: variables.

    Raises:
        InputError: more processes than GPUs, several processes on a CPU without torchrun, or a `ddp_backend` that cannot do
            what the model needs.
    """
    options = cfg.distributed_training
    on_cpu = cfg.common.cpu or not torch.cuda.is_available()
    if options.distributed_init_method is None and not cfg.common.tpu:
        if all(name in environment for name in TORCHRUN):
            _by_torchrun(options, environment, on_cpu)
        elif on_cpu and options.distributed_world_size > 1:
            if options.distributed_world_size != torch.cuda.device_count():  # not fairseq's default
                raise InputError(
                    f"distributed_training.distributed_world_size is {options.distributed_world_size}, but on a CPU fairseq "
                    "starts no processes; leave this option out, and start them: torchrun --nproc_per_node "
                    f"{options.distributed_world_size} $(which fairseq-hydra-train) …"
                )
            options.distributed_world_size = 1
    if options.distributed_world_size > 1:
        _require_backend(cfg, on_cpu)


def _by_torchrun(options: Any, environment: Mapping[str, str], on_cpu: bool) -> None:
    world, rank = int(environment["WORLD_SIZE"]), int(environment["RANK"])
    options.distributed_world_size = world
    options.distributed_rank = rank
    options.distributed_no_spawn = True
    if world == 1:
        return
    options.distributed_init_method = "env://"
    if on_cpu:
        options.distributed_backend = "gloo"
        options.device_id = 0
        return
    place = int(environment.get("LOCAL_RANK", rank % torch.cuda.device_count()))
    if place >= torch.cuda.device_count():
        raise InputError(
            f"torchrun started process {place + 1} on a machine with {torch.cuda.device_count()} GPUs; lower --nproc_per_node, or "
            "train on its CPU with common.cpu=true"
        )
    options.device_id = place


def _require_backend(cfg: Any, on_cpu: bool) -> None:
    options = cfg.distributed_training
    if options.ddp_backend not in WAITING:
        return
    remedy = "take distributed_training.ddp_backend=legacy_ddp, as our configurations do"
    if on_cpu:
        raise InputError(
            f"distributed_training.ddp_backend={options.ddp_backend} works on GPUs alone as fairseq starts it; {remedy}"
        )
    if getattr(cfg.model, "freeze_updates", 0) and not options.find_unused_parameters:
        raise InputError(
            f"distributed_training.ddp_backend={options.ddp_backend} waits for the gradients of an encoder that "
            f"model.freeze_updates={cfg.model.freeze_updates} leaves as it is; {remedy}"
        )


def make_buffers(ranks: int, size: int, on_cpu: bool) -> None:
    """Makes fairseq's buffers for exchange between ranks on a CPU; by itself fairseq makes them on a GPU.

    ranks: how many. size: bytes for each, `common.all_gather_list_size`.
    """
    from fairseq.distributed.utils import all_gather_list

    if on_cpu and ranks > 1:
        all_gather_list._buffer = torch.ByteTensor(ranks * size)
        all_gather_list._cpu_buffer = torch.ByteTensor(size)
