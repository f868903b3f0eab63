"""Our part of fairseq's training, put around its own functions: it has no hooks for any of this.

What is replaced, and why:

    distributed.utils.call_main             takes up torchrun's processes on a CPU; listens to signals; errors of a rank in one line
    checkpoint_utils.verify_checkpoint_…    a folder that cannot be written to in one line; one training a folder
    checkpoint_utils.torch_persistent_save  retries into the same file, where a half of the first try remains
    checkpoint_utils.PathManager.copy       writes over checkpoint_last.pt and checkpoint_best.pt
    checkpoint_utils.save_checkpoint        remembers which update was saved
    checkpoint_utils.load_checkpoint        damaged files, and what does not fit, in one line; forgets the job before
    Trainer.save_checkpoint                 the patience and the scale of gradients are saved too
    Trainer.zero_grad                       knows nothing of what a model keeps of an update
    trainer.build_ema                       multiplies whole numbers, and averages what is no weight
    train.train, train.validate_and_save    nothing is left to do; a signal came
"""

import logging
import sys
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import torch
from fairseq import checkpoint_utils
from fairseq import trainer as trainer_module
from fairseq.distributed import utils as distributed_utils
from fairseq.file_io import PathManager
from fairseq.logging import progress_bar
from fairseq.trainer import Trainer
from omegaconf import OmegaConf, open_dict

from csc_fairseq.errors import InputError
from csc_fairseq.models.csc import CscModel
from csc_fairseq.modules.identity_rows import IdentityRows
from csc_fairseq.training.checkpoint_files import LAST, FolderLock, copy_whole, save_whole, saved_training
from csc_fairseq.training.launching import make_buffers, take_up
from csc_fairseq.training.mixed_precision import grad_scaler
from csc_fairseq.training.refused import require_precision, require_schedule
from csc_fairseq.training.resuming import (
    checkpoint_to_resume,
    finished,
    in_words_of_hydra,
    other_options,
    require_average,
    require_same_batches,
)
from csc_fairseq.training.stopping import Stop, leave

logger = logging.getLogger(__name__)
TRAIN = "fairseq_cli.train"
PATIENCE, SCALE = "early_stop", "grad_scaler"
"""Entries of our own in a checkpoint's `extra_state`."""


class Training:
    """What is known of the training that this process makes; with --multirun there is one after the other."""

    def __init__(self) -> None:
        self.stop = Stop()
        self.lock: FolderLock | None = None
        self.saved_at: int | None = None
        """updates of the last checkpoint that was written"""
        self.consumed: tuple[int, int] | None = None
        """updates made, and batches of the epoch consumed by them, when the last update was complete"""
        self.nothing_left = False

    def forget(self) -> None:
        """Before another training: the lock, and what fairseq keeps in functions and modules, of the best figure for instance."""
        self.saved_at = self.consumed = None
        self.nothing_left = False
        if self.lock is not None:
            self.lock.release()
            self.lock = None
        for function in (checkpoint_utils.save_checkpoint, early_stopping()):
            for name in ("best", "num_runs"):
                if hasattr(function, name):
                    delattr(function, name)
        for writer in progress_bar._tensorboard_writers.values():
            writer.close()
        progress_bar._tensorboard_writers.clear()


TRAINING = Training()


def train_module() -> ModuleType | None:
    """fairseq's training program, if this is one: other programs must not import it, since it sets up logging."""
    return sys.modules.get(TRAIN)


def early_stopping() -> Any:
    """fairseq's function that counts validations without improvement, in attributes of its own."""
    program = train_module()
    return None if program is None else program.should_stop_early


@cache
def surround_fairseq() -> None:
    """Replaces the functions above by ours, which call them. The training program must have been imported."""
    program = train_module()
    assert program is not None
    _replace(distributed_utils, "call_main", _call_main)
    _replace(checkpoint_utils, "verify_checkpoint_directory", _verify_checkpoint_directory)
    _replace(checkpoint_utils, "torch_persistent_save", _torch_persistent_save)
    _replace(checkpoint_utils, "save_checkpoint", _save_checkpoint)
    _replace(checkpoint_utils, "load_checkpoint", _load_checkpoint)
    _replace(Trainer, "save_checkpoint", _trainer_save_checkpoint)
    _replace(Trainer, "zero_grad", _zero_grad)
    _replace(trainer_module, "build_ema", _build_ema)
    _replace(program, "train", _train)
    _replace(program, "validate_and_save", _validate_and_save)
    checkpoint_utils.PathManager = WholeFiles


def _replace(owner: Any, name: str, ours: Callable) -> None:
    """`ours` gets fairseq's function before the arguments."""
    theirs = getattr(owner, name)

    @wraps(theirs)
    def function(*args, **kwargs):
        return ours(theirs, *args, **kwargs)

    setattr(owner, name, function)


class WholeFiles(PathManager):
    """fairseq's access to files, for its module of checkpoints: no copy is ever seen half-written."""

    @staticmethod
    def copy(src_path: str, dst_path: str, overwrite: bool = False) -> bool:
        """Replaces `dst_path` by `src_path`. InputError as of `copy_whole`."""
        if PathManager.path_requires_pathmanager(dst_path):
            return PathManager.copy(src_path, dst_path, overwrite)
        copy_whole(src_path, dst_path)
        return True


def _call_main(theirs: Callable, cfg: Any, main: Callable, **kwargs: Any) -> None:
    take_up(cfg)
    require_precision(cfg)
    require_schedule(cfg)
    with TRAINING.stop.listening():
        try:
            theirs(cfg, main, **kwargs)
            if TRAINING.stop.received:
                leave(TRAINING.stop.received, "stopped after the last update, the training is complete")
        except torch.multiprocessing.ProcessRaisedException as error:
            # Of a process that fairseq started: the text of its traceback. InputError finds its message in it.
            if f"{InputError.__name__}: " not in str(error).rstrip().rpartition("\n")[2]:
                raise
            raise InputError(str(error)) from None
        except torch.multiprocessing.ProcessExitedException:
            if not TRAINING.stop.received:
                raise
            raise SystemExit(128 + TRAINING.stop.received) from None
        finally:
            TRAINING.forget()


def _verify_checkpoint_directory(theirs: Callable, save_dir: str) -> None:
    try:
        theirs(save_dir)
        TRAINING.lock = FolderLock(Path(save_dir))
    except OSError as error:
        raise InputError(
            f"{save_dir}: cannot be written to ({error.strerror}); make room or give it write permission, or choose another folder "
            "with hydra.run.dir"
        ) from error


def _torch_persistent_save(theirs: Callable, obj: Any, filename: Any, async_write: bool = False) -> None:
    if async_write or not isinstance(filename, str) or PathManager.path_requires_pathmanager(filename):
        return theirs(obj, filename, async_write)
    save_whole(obj, filename)


def _save_checkpoint(theirs: Callable, cfg: Any, trainer: Trainer, epoch_itr: Any, val_loss: float | None) -> Any:
    saved = theirs(cfg, trainer, epoch_itr, val_loss)
    TRAINING.saved_at = trainer.get_num_updates()
    return saved


def _trainer_save_checkpoint(theirs: Callable, self: Trainer, filename: str, extra_state: dict) -> Any:
    function, ours = early_stopping(), {}
    if hasattr(function, "best"):
        ours[PATIENCE] = {"best": function.best, "num_runs": function.num_runs}
    scaler = grad_scaler(self.optimizer)
    if scaler is not None:  # fairseq saves that of fp16, but not that of amp
        ours[SCALE] = scaler.state_dict()
    return theirs(self, filename, {**extra_state, **ours})


def _zero_grad(theirs: Callable, self: Trainer) -> None:
    """Before an update, and after one that overflowed: with the gradients goes what the model staged."""
    theirs(self)
    model = self.get_model()
    if isinstance(model, CscModel):
        model.discard(everything=True)


def _build_ema(theirs: Callable, model: torch.nn.Module, cfg: Any, device: torch.device) -> Any:
    """What is no parameter, such as a bank of embeddings or a count, is taken over as it is."""
    ema = theirs(model, cfg, device)
    entries = model.state_dict(keep_vars=True).items()
    ema.skip_keys = ema.skip_keys | {name for name, entry in entries if not isinstance(entry, torch.nn.Parameter)}
    return ema


def _load_checkpoint(theirs: Callable, cfg: Any, trainer: Trainer, **passthrough: Any) -> Any:
    TRAINING.stop.listen()
    make_buffers(trainer.data_parallel_world_size, trainer.cfg.common.all_gather_list_size, not trainer.cuda)
    path = saved = None
    own = cfg.restore_file == LAST
    if not trainer.checkpoint_suffix:  # of shards, each rank has its own, and fairseq chooses
        path = checkpoint_to_resume(Path(cfg.save_dir), cfg.restore_file)
    if path is not None:
        saved = saved_training(path)
        if saved is not None:
            require_same_batches(saved, trainer.cfg)
            require_average(saved, trainer.cfg)
        if cfg.restore_file == LAST != path.name:
            cfg = OmegaConf.create(OmegaConf.to_container(cfg))
            with open_dict(cfg):
                cfg.restore_file, cfg.finetune_from_model = str(path), None
    try:
        extra_state, epoch_itr = theirs(cfg, trainer, **passthrough)
    except Exception as error:
        ours = None if path is None or isinstance(error, InputError) else in_words_of_hydra(error, path, trainer)
        if ours is None:
            raise
        raise ours from error
    if extra_state is not None:
        _restore(trainer, extra_state, cfg)
        others = other_options(saved, trainer.cfg) if saved is not None and own else ""
        reason = finished(trainer, epoch_itr.next_epoch_idx, getattr(early_stopping(), "num_runs", 0))
        if reason is not None:
            _require_same_identities(trainer)
            if others:
                raise InputError(
                    f"{path}: is of a finished training, which was made with other options than {others}; choose another folder "
                    "with hydra.run.dir for a new one"
                )
            TRAINING.nothing_left = True
            logger.info(f"{cfg.save_dir}: finished, nothing is changed: {reason}")
        elif others:
            logger.warning(
                f"{path}: from here on the training has {others}; for a new one choose another hydra.run.dir"
            )
    return extra_state, epoch_itr


def _require_same_identities(trainer: Trainer) -> None:
    """As a training that goes on requires it later, at its first update."""
    for module in (trainer.get_model(), trainer.get_criterion()):
        if isinstance(module, IdentityRows):
            module.require_same_identities(f"{trainer.task.cfg.data}/train.tsv")


def _restore(trainer: Trainer, extra_state: dict, cfg: Any) -> None:
    """Our own entries. Those of a checkpoint from elsewhere are not there."""
    if PATIENCE in extra_state and not (cfg.reset_optimizer or cfg.reset_meters):
        function = early_stopping()
        function.best, function.num_runs = extra_state[PATIENCE]["best"], extra_state[PATIENCE]["num_runs"]
    scaler = grad_scaler(trainer.optimizer)
    if SCALE in extra_state and not cfg.reset_optimizer and scaler is not None:
        scaler.load_state_dict(extra_state[SCALE])


def _train(theirs: Callable, cfg: Any, trainer: Trainer, task: Any, epoch_itr: Any) -> tuple[list[float | None], bool]:
    if TRAINING.nothing_left:
        return [None], True
    stop = TRAINING.stop
    stop.saves = True  # from now on, also between epochs: then after the next update
    try:
        return theirs(cfg, trainer, task, epoch_itr)
    except Exception:
        # A data worker may have ended by the signal that this process got too, so that there is no batch for another update.
        complete = (trainer.get_num_updates(), epoch_itr.iterations_in_epoch)
        if not stop.received or trainer.data_parallel_world_size > 1 or complete != TRAINING.consumed:
            raise
        _save_and_leave(cfg, trainer, epoch_itr, stop.received)


def _validate_and_save(
    theirs: Callable, cfg: Any, trainer: Trainer, task: Any, epoch_itr: Any, subsets: list[str], end_of_epoch: bool
) -> tuple[list[float | None], bool]:
    result = theirs(cfg, trainer, task, epoch_itr, subsets, end_of_epoch)
    TRAINING.consumed = (trainer.get_num_updates(), epoch_itr.iterations_in_epoch)
    number = TRAINING.stop.received
    if trainer.data_parallel_world_size > 1:
        # A signal may have reached one rank, or others an update later: they stop after the same one.
        agreed = torch.tensor([number], device=trainer.device)
        number = int(distributed_utils.all_reduce(agreed, trainer.data_parallel_process_group, "max"))
    if number:
        _save_and_leave(cfg, trainer, epoch_itr, number)
    return result


def _save_and_leave(cfg: Any, trainer: Trainer, epoch_itr: Any, number: int) -> NoReturn:
    """Saves unless this update is saved, and exits. On all ranks together: whoever started them ends the rest after the first."""
    updates = trainer.get_num_updates()
    if TRAINING.saved_at != updates:
        checkpoint_utils.save_checkpoint(cfg.checkpoint, trainer, epoch_itr, None)
    if trainer.data_parallel_world_size > 1:
        torch.distributed.barrier()
    where = f"saved in {cfg.checkpoint.save_dir}"
    if cfg.checkpoint.no_save or cfg.checkpoint.no_last_checkpoints:
        where = "not saved, since checkpoint.no_save or checkpoint.no_last_checkpoints is true"
    leave(number, f"stopped after {updates} updates, {where}; the same command goes on")
