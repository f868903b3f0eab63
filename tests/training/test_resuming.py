"""What a training goes on from, and what it says where that does not fit."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf

from csc_fairseq.errors import InputError
from csc_fairseq.training.checkpoint_files import LAST, saved_training
from csc_fairseq.training.resuming import (
    checkpoint_to_resume,
    finished,
    in_words_of_hydra,
    other_options,
    require_same_batches,
)
from tests.training.test_checkpoint_files import saved


def tear(path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def test_falls_back_to_the_newest_readable_checkpoint(tmp_path, caplog):
    assert checkpoint_to_resume(tmp_path, LAST) is None
    saved(tmp_path / "checkpoint_best.pt", 4)
    assert checkpoint_to_resume(tmp_path, LAST) is None  # of an earlier training perhaps: this one begins
    last, older = saved(tmp_path / LAST, 5), saved(tmp_path / "checkpoint_1_3.pt", 3)
    assert checkpoint_to_resume(tmp_path, LAST) == last and not caplog.records
    tear(last)
    assert checkpoint_to_resume(tmp_path, LAST).name == "checkpoint_best.pt"
    (told,) = caplog.messages
    assert "checkpoint_last.pt: cannot be read" in told and "checkpoint_best.pt" in told and "4 updates" in told
    last.unlink()
    assert checkpoint_to_resume(tmp_path, LAST) == older and "is missing" in caplog.messages[-1]


def test_nothing_readable_is_one_line(tmp_path):
    tear(saved(tmp_path / LAST, 5))
    tear(saved(tmp_path / "checkpoint_1_5.pt", 5))
    with pytest.raises(InputError, match="checkpoint_last.pt: cannot be read .*no other checkpoint"):
        checkpoint_to_resume(tmp_path, LAST)


def test_a_named_checkpoint_must_be_there(tmp_path):
    named = tmp_path / "lr=0.1,seed=1.pt"
    with pytest.raises(InputError, match="lr=0.1,seed=1.pt: no such file; checkpoint.restore_file"):
        checkpoint_to_resume(tmp_path, str(named))
    assert checkpoint_to_resume(tmp_path, str(saved(named, 2))) == named


def options(batch_size: int, reset: bool = False) -> object:
    return OmegaConf.create(
        {
            "dataset": {"batch_size": batch_size, "max_tokens": None, "required_batch_size_multiple": 1},
            "distributed_training": {"distributed_world_size": 1},
            "checkpoint": {"reset_dataloader": reset},
        }
    )


def test_other_batches_in_the_middle_of_an_epoch_are_refused(tmp_path):
    middle = saved_training(saved(tmp_path / "a.pt", 5, batches=3))
    require_same_batches(middle, options(4))
    with pytest.raises(
        InputError, match="epoch 2 with dataset.batch_size=4, and now it is 8.*checkpoint.reset_dataloader=true"
    ):
        require_same_batches(middle, options(8))
    require_same_batches(middle, options(8, reset=True))
    require_same_batches(saved_training(saved(tmp_path / "b.pt", 5, batches=0)), options(8))
    with pytest.raises(InputError, match="distributed_training.distributed_world_size=2, and now it is 1"):
        require_same_batches(saved_training(saved(tmp_path / "c.pt", 5, batches=3, ranks=2)), options(4))


def test_other_options_are_named(tmp_path):
    """What decides what is learnt. The same file by another path is the same, and so are lists of another type."""
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    before = {
        "task": {
            "_name": "x",
            "data": str(tmp_path / "data"),
            "noise": None,
            "sources": 2,
            "cache_megabytes": 1,
            "gone": 3,
        },
        "model": {"sources": 2, "channels": 64},
        "optimization": {"lr": [0.1], "max_update": 5},
    }
    now = {
        "task": {
            "_name": "x",
            "data": f"{tmp_path}/link/",
            "noise": None,
            "sources": 2,
            "cache_megabytes": 2,
            "new": 3,
        },
        "model": {"sources": 2, "channels": 64},
        "optimization": {"lr": [0.1], "max_update": 9},
    }
    training = replace(saved_training(saved(tmp_path / "a.pt", 5)), options=before)
    assert other_options(training, OmegaConf.create(now)) == ""
    now["task"]["sources"] = now["model"]["sources"] = 3
    now["task"]["noise"], now["optimization"]["lr"] = "n.tsv", [0.2]
    found = other_options(training, OmegaConf.create(now))
    assert found == "task.noise=n.tsv (was null), task.sources=3 (was 2), optimization.lr=[0.2] (was [0.1])"
    now["task"]["data"], now["model"]["channels"] = str(tmp_path), 1
    found = other_options(training, OmegaConf.create(now))
    assert found.startswith(f"task.data={tmp_path} (was {tmp_path}/data), ") and found.endswith(" and 1 more")


def test_other_sizes_are_named(tmp_path):
    path = saved(tmp_path / "a.pt", 5)
    mismatch = Exception(
        f"Cannot load model parameters from checkpoint {path}; please ensure that the architectures match."
    )
    model = torch.nn.Linear(2, 3, bias=False)
    trainer = SimpleNamespace(
        cfg=OmegaConf.create({"model": {"_name": "csc", "channels": 32}}), get_model=lambda: model
    )
    assert "model.channels=64, now 32; take its values" in str(in_words_of_hydra(mismatch, path, trainer))
    trainer.cfg.model.channels = 64
    assert "weight is 3000, now 3 x 2" in str(in_words_of_hydra(mismatch, path, trainer))


def test_fairseqs_advice_in_the_spelling_of_hydra(tmp_path):
    text = "Optimizer does not match; please reset the optimizer (--reset-optimizer). FairseqAdam vs AMPOptimizer"
    found = str(in_words_of_hydra(AssertionError(text), tmp_path / "a.pt", None))
    assert (
        "Optimizer does not match (FairseqAdam vs AMPOptimizer)" in found and "checkpoint.reset_optimizer=true" in found
    )
    groups = ValueError("loaded state dict contains a parameter group that doesn't match the size of optimizer's group")
    assert "checkpoint.reset_optimizer=true" in str(in_words_of_hydra(groups, tmp_path / "a.pt", None))
    assert in_words_of_hydra(RuntimeError("CUDA error"), tmp_path / "a.pt", None) is None


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({}, None),
        ({"optimization": {"max_update": 5}}, "max_update=5"),
        ({"optimization": {"max_update": 6}}, None),
        ({"optimization": {"max_epoch": 2}}, "max_epoch=2"),
        ({"optimization": {"max_epoch": 3}}, None),
        ({"optimization": {"stop_time_hours": 0.5}}, "stop_time_hours=0.5"),
        ({"checkpoint": {"patience": 2}}, "patience is 2"),
        ({"checkpoint": {"patience": 3}}, None),
    ],
)
def test_whether_anything_is_left_to_do(setting, expected):
    """After 5 updates in 2 epochs and an hour, two validations after the best one."""
    never = {"optimization": {"max_update": 0, "max_epoch": 0, "stop_time_hours": 0}, "checkpoint": {"patience": -1}}
    trainer = SimpleNamespace(
        cfg=OmegaConf.merge(never, setting), get_num_updates=lambda: 5, cumulative_training_time=lambda: 3600.0
    )
    found = finished(trainer, epoch=3, without_improvement=2)
    assert found is None if expected is None else expected in found
