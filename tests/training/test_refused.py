import pytest
from omegaconf import OmegaConf

from csc_fairseq.errors import InputError
from csc_fairseq.training.refused import require_precision, require_schedule


@pytest.mark.parametrize("gpus", [0, 1])
def test_float16_is_refused_on_a_cpu(gpus, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpus > 0)
    half = OmegaConf.create({"common": {"fp16": True, "cpu": gpus > 0}})
    with pytest.raises(InputError, match="common.fp16=true needs a GPU.*common.bf16=true"):
        require_precision(half)
    half.common.cpu = False
    if gpus:
        require_precision(half)
    half.common.fp16 = False
    require_precision(half)


@pytest.mark.parametrize(
    "update",
    [{"warmup_updates": 9}, {"warmup_updates": 11}, {"lr_period_updates": 5}, {"_name": "fixed"}],
)
def test_schedules_that_work(update):
    require_schedule(schedule(**update))


def test_a_cosine_without_a_step_is_refused():
    with pytest.raises(
        InputError, match=r"lr_scheduler.warmup_updates=10 leaves no update of optimization.max_update=10"
    ):
        require_schedule(schedule())
    with pytest.raises(
        InputError, match="optimization.max_update is 0, and lr_scheduler=cosine must know the last update"
    ):
        require_schedule(schedule(max_update=0))


def schedule(max_update: int = 10, **changes):
    options = {"_name": "cosine", "warmup_updates": 10, "lr_period_updates": -1, **changes}
    return OmegaConf.create({"lr_scheduler": options, "optimization": {"max_update": max_update}})
