"""What is put around fairseq's functions, with stand-ins for them."""

from dataclasses import asdict
from types import SimpleNamespace

import pytest
import torch
from fairseq.dataclass.configs import EMAConfig
from fairseq.models.ema import build_ema
from omegaconf import OmegaConf

from csc_fairseq.errors import InputError
from csc_fairseq.models.csc import CscConfig, CscModel
from csc_fairseq.modules.condition_attention import MemoryBank
from csc_fairseq.modules.global_vectors import Talkers
from csc_fairseq.training import hooks
from tests.making import tiny
from tests.training.test_checkpoint_files import saved


@pytest.fixture
def program(monkeypatch):
    """fairseq's training program, as far as it is looked at."""
    program = SimpleNamespace(should_stop_early=lambda cfg, loss: False)
    monkeypatch.setattr(hooks, "train_module", lambda: program)
    monkeypatch.setattr(hooks, "TRAINING", hooks.Training())
    return program


def a_trainer(folder, updates: int = 0, batch_size: int = 4, patience: int = -1) -> SimpleNamespace:
    cfg = OmegaConf.create(
        {
            "common": {"all_gather_list_size": 16},
            "dataset": {"batch_size": batch_size, "max_tokens": None, "required_batch_size_multiple": 1},
            "distributed_training": {"distributed_world_size": 1},
            "optimization": {"max_update": 5, "max_epoch": 0, "stop_time_hours": 0},
            "ema": {"store_ema": False},
            "checkpoint": {
                "save_dir": str(folder), "restore_file": "checkpoint_last.pt", "finetune_from_model": None,
                "reset_dataloader": False, "reset_optimizer": False, "reset_meters": False, "patience": patience,
            },
        }
    )  # fmt: skip
    return SimpleNamespace(
        cfg=cfg,
        cuda=False,
        checkpoint_suffix="",
        data_parallel_world_size=1,
        optimizer=None,
        get_num_updates=lambda: updates,
        get_model=torch.nn.Identity,
        get_criterion=torch.nn.Identity,
    )


def load(trainer, extra_state):
    """What fairseq is asked to load."""
    asked = []

    def theirs(cfg, trainer):
        asked.append((cfg.restore_file, cfg.finetune_from_model))
        return extra_state, SimpleNamespace(next_epoch_idx=1)

    hooks._load_checkpoint(theirs, trainer.cfg.checkpoint, trainer)
    return asked[0]


def test_other_batches_are_refused_before_anything_is_loaded(program, tmp_path):
    saved(tmp_path / "checkpoint_last.pt", 3, batches=3)
    with pytest.raises(InputError, match="dataset.batch_size=4, and now it is 8"):
        load(a_trainer(tmp_path, batch_size=8), {})
    averaging = a_trainer(tmp_path)
    averaging.cfg.ema.store_ema = True
    with pytest.raises(InputError, match="saved without ema.store_ema=true"):
        load(averaging, {})
    assert load(a_trainer(tmp_path), {}) == ("checkpoint_last.pt", None)
    assert not hooks.TRAINING.nothing_left


def test_fairseq_loads_what_was_chosen(program, tmp_path):
    saved(tmp_path / "checkpoint_1_3.pt", 3)
    trainer = a_trainer(tmp_path)
    trainer.cfg.checkpoint.finetune_from_model = "pretrained.pt"
    assert load(trainer, {}) == (str(tmp_path / "checkpoint_1_3.pt"), None)


def test_fairseq_writes_by_whole_files(tmp_path):
    hooks._torch_persistent_save(lambda *_: pytest.fail("fairseq's own"), {"a": 1}, str(tmp_path / "a.pt"))
    assert torch.load(tmp_path / "a.pt", weights_only=True) == {"a": 1}
    with pytest.raises(InputError, match="cannot be written"):
        hooks._torch_persistent_save(lambda *_: None, {"a": 1}, str(tmp_path / "gone" / "a.pt"))
    assert hooks.WholeFiles.copy(str(tmp_path / "a.pt"), str(tmp_path / "b.pt"), overwrite=True)
    assert (tmp_path / "a.pt").samefile(tmp_path / "b.pt")


def test_patience_is_kept(program, tmp_path):
    """A training that ended by it has nothing left to do, one validation earlier it has."""
    saved_state = {}
    program.should_stop_early.best, program.should_stop_early.num_runs = 4.5, 2
    trainer = SimpleNamespace(optimizer=SimpleNamespace())
    hooks._trainer_save_checkpoint(lambda self, name, extra: saved_state.update(extra), trainer, "x.pt", {"epoch": 1})
    assert saved_state == {"epoch": 1, "early_stop": {"best": 4.5, "num_runs": 2}}
    hooks.TRAINING.forget()
    assert not hasattr(program.should_stop_early, "best")
    saved(tmp_path / "checkpoint_last.pt", 3)
    load(a_trainer(tmp_path, patience=3), saved_state)
    assert program.should_stop_early.num_runs == 2 and program.should_stop_early.best == 4.5
    assert not hooks.TRAINING.nothing_left
    load(a_trainer(tmp_path, patience=2), saved_state)
    assert hooks.TRAINING.nothing_left
    assert hooks._train(lambda *_: pytest.fail("trained"), None, None, None, None) == ([None], True)


def test_a_worker_that_ended_by_the_same_signal_costs_nothing(program, monkeypatch):
    """There is no batch for another update; the last one was complete and is saved, unless part of another was consumed."""
    saves = []
    monkeypatch.setattr(hooks.checkpoint_utils, "save_checkpoint", lambda *_: saves.append("saved"))
    trainer = a_trainer("folder", updates=3)
    options = {"save_dir": "folder", "no_save": False, "no_last_checkpoints": False}
    cfg = OmegaConf.create({"checkpoint": options})

    def theirs(*_):
        raise RuntimeError("DataLoader worker exited unexpectedly")

    hooks.TRAINING.consumed = (3, 6)
    with pytest.raises(RuntimeError):  # not asked to stop
        hooks._train(theirs, cfg, trainer, None, SimpleNamespace(iterations_in_epoch=6))
    hooks.TRAINING.stop.received = 15
    with pytest.raises(RuntimeError):
        hooks._train(theirs, cfg, trainer, None, SimpleNamespace(iterations_in_epoch=7))
    assert not saves
    with pytest.raises(SystemExit) as caught:
        hooks._train(theirs, cfg, trainer, None, SimpleNamespace(iterations_in_epoch=6))
    assert (caught.value.code, saves) == (143, ["saved"])


def test_a_signal_between_two_epochs_waits_for_a_save(program):
    assert not hooks.TRAINING.stop.saves
    assert hooks._train(lambda *_: ([None], False), None, None, None, None) == ([None], False)
    assert hooks.TRAINING.stop.saves


def test_errors_of_started_processes_are_one_line(program):
    text = "\n\n-- Process 1 terminated with the following error:\nTraceback …\ncsc_fairseq.errors.InputError: a.tsv: is empty\n"

    def theirs(cfg, main):
        raise torch.multiprocessing.ProcessRaisedException(text, 1, 7)

    cfg = OmegaConf.create(
        {
            "common": {"cpu": True, "tpu": False, "fp16": False},
            "distributed_training": {"distributed_world_size": 1, "distributed_init_method": "x"},
            "lr_scheduler": {"_name": "fixed"},
            "optimization": {"max_update": 0},
        }
    )
    with pytest.raises(InputError) as caught:
        hooks._call_main(theirs, cfg, None)
    assert str(caught.value) == "a.tsv: is empty"


def test_what_an_update_staged_goes_with_its_gradients():
    """Before the next update. So half precision, whose overflow leaves fairseq before the step, puts nothing late into a bank."""
    model = CscModel(CscConfig(**asdict(tiny(memory="bank")), global_vectors="table_mean"), ["a", "b"])
    bank, cleared = model.encoder.memory, []
    bank.stage(torch.ones(1, 2, 12), torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 2, dtype=torch.bool))
    model.stage(torch.ones(2, 12), Talkers(*torch.tensor([[0, 1], [0, 1], [0, 0]])))
    hooks._zero_grad(lambda trainer: cleared.append(trainer), SimpleNamespace(get_model=lambda: model))
    model.commit()
    assert len(cleared) == 1 and bank.filled == 0 and not model.table.visited.any()


def test_what_is_replaced_is_what_the_module_lists(program, monkeypatch):
    replaced = {}
    monkeypatch.setattr(hooks, "_replace", lambda owner, name, ours: replaced.update({name: ours}))
    monkeypatch.setattr(
        hooks.checkpoint_utils, "PathManager", hooks.checkpoint_utils.PathManager
    )  # put back afterwards
    hooks.surround_fairseq.__wrapped__()
    assert replaced["zero_grad"] is hooks._zero_grad and replaced["build_ema"] is hooks._build_ema
    listed = hooks.__doc__.replace("verify_checkpoint_…", "verify_checkpoint_directory")
    assert all(name in listed for name in replaced)


class Counted(torch.nn.Module):
    """A weight, and what is none."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2))
        self.bank = MemoryBank(4, 2, 3)


def test_an_average_of_weights_takes_banks_and_counts_as_they_are():
    model = Counted()
    ema = hooks._build_ema(build_ema, model, EMAConfig(store_ema=True, ema_decay=0.75), torch.device("cpu"))
    with torch.no_grad():
        model.weight.fill_(3.0)
        model.bank.filled.fill_(2)
        model.bank.entries.fill_(0.5)
    ema.step(model, 1)
    assert ema.get_model().weight.tolist() == [1.5, 1.5]
    assert ema.get_model().bank.filled == 2 and (ema.get_model().bank.entries == 0.5).all()
