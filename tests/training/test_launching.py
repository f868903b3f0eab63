"""What torchrun says becomes fairseq's options, or one line."""

import pytest
import torch
from omegaconf import OmegaConf

from csc_fairseq.errors import InputError
from csc_fairseq.training.launching import take_up

TORCHRUN = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1", "WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1"}


def options(cpu: bool = True, freeze_updates: int = 0, **distributed: object) -> object:
    return OmegaConf.create(
        {
            "common": {"cpu": cpu, "tpu": False},
            "model": {"freeze_updates": freeze_updates},
            "distributed_training": {
                "distributed_world_size": 1, "distributed_rank": 0, "distributed_init_method": None, "device_id": 0,
                "distributed_no_spawn": False, "distributed_backend": "nccl", "ddp_backend": "legacy_ddp",
                "find_unused_parameters": False,
            } | distributed,
        }
    )  # fmt: skip


@pytest.fixture
def gpus(monkeypatch):
    """gpus(2): a machine with so many."""

    def has(count: int) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)

    return has


def taken_up(cfg, environment=TORCHRUN) -> tuple:
    take_up(cfg, environment)
    found = cfg.distributed_training
    return (
        found.distributed_world_size, found.distributed_rank, found.distributed_init_method, found.distributed_no_spawn,
        found.distributed_backend, found.device_id,
    )  # fmt: skip


def test_torchrun_is_taken_up(gpus):
    gpus(0)
    assert taken_up(options(cpu=False)) == (4, 3, "env://", True, "gloo", 0)
    gpus(2)
    assert taken_up(options(cpu=False)) == (4, 3, "env://", True, "nccl", 1)
    assert taken_up(options(cpu=True)) == (4, 3, "env://", True, "gloo", 0)
    gpus(1)  # a machine of several with one each
    assert taken_up(options(cpu=False), TORCHRUN | {"LOCAL_RANK": "0"}) == (4, 3, "env://", True, "nccl", 0)
    with pytest.raises(InputError, match="process 2 on a machine with 1 GPUs; lower --nproc_per_node"):
        take_up(options(cpu=False), TORCHRUN)


def test_other_launches_are_left_alone(gpus):
    gpus(0)
    assert taken_up(options(), {}) == (1, 0, None, False, "nccl", 0)
    given = options(distributed_world_size=2, distributed_init_method="file:///meeting", distributed_rank=1)
    assert taken_up(given, TORCHRUN)[:3] == (2, 1, "file:///meeting")
    assert taken_up(options(), TORCHRUN | {"WORLD_SIZE": "1", "RANK": "0"})[:4] == (1, 0, None, True)
    gpus(2)
    assert taken_up(options(cpu=False, distributed_world_size=2), {})[:3] == (2, 0, None)  # fairseq starts them
    assert taken_up(options(cpu=True, distributed_world_size=2), {})[:3] == (
        1,
        0,
        None,
    )  # its default here, but on the CPU


def test_several_processes_on_a_cpu_need_a_launcher(gpus):
    gpus(0)
    with pytest.raises(InputError, match="distributed_world_size is 2, but on a CPU .*torchrun --nproc_per_node 2"):
        take_up(options(distributed_world_size=2), {})


def test_backends_that_would_wait_for_ever_are_refused(gpus):
    gpus(0)
    with pytest.raises(InputError, match="ddp_backend=pytorch_ddp works on GPUs alone.*legacy_ddp"):
        take_up(options(ddp_backend="pytorch_ddp"), TORCHRUN)
    take_up(options(ddp_backend="pytorch_ddp"), {})  # one process has no backend
    gpus(2)
    with pytest.raises(InputError, match="model.freeze_updates=5 leaves as it is.*legacy_ddp"):
        take_up(options(cpu=False, ddp_backend="c10d", freeze_updates=5), TORCHRUN)
    take_up(options(cpu=False, ddp_backend="c10d", freeze_updates=5, find_unused_parameters=True), TORCHRUN)
    take_up(options(cpu=False, ddp_backend="c10d"), TORCHRUN)
