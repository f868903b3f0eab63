"""Before a training goes on: from which file, whether it fits, and whether there is anything left to do."""

import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from csc_fairseq.checkpoints.entries import one_line
from csc_fairseq.errors import InputError
from csc_fairseq.training.checkpoint_files import (
    ANY,
    LAST,
    OF_AN_UPDATE,
    SavedTraining,
    fault,
    newest_readable,
    saved_training,
)

logger = logging.getLogger(__name__)

BATCHING = (
    ("dataset", "batch_size"),
    ("dataset", "max_tokens"),
    ("dataset", "required_batch_size_multiple"),
    ("distributed_training", "distributed_world_size"),
)
"""Options that decide which recordings make an epoch's n-th batch."""
SECTIONS = ("task", "model", "criterion")
OTHERS = (*BATCHING[:2], ("optimization", "lr"), ("optimization", "update_freq"), ("optimization", "clip_norm"))
"""Options that decide what is learnt: all of these sections, but for INDIFFERENT, and others."""
INDIFFERENT = ("_name", "cache_megabytes", "skip_bad")
MOST_NAMED = 4


def checkpoint_to_resume(folder: Path, restore_file: str) -> Path | None:
    """The checkpoint that a training in this folder goes on with; None: it begins.

    That is checkpoint_last.pt. Where it is missing or damaged, it is the newest readable one beside it, and the log says so.

    Args:
        folder: `checkpoint.save_dir`. restore_file: `checkpoint.restore_file`; another one than fairseq's default is that file.

    Raises:
        InputError: a file that was named is missing or damaged, or checkpoint_last.pt is, and nothing readable is beside it.
    """
    if restore_file != LAST:
        path = Path(restore_file)
        found = fault(path) if path.is_file() else "no such file"
        if found is not None:
            raise InputError(f"{path}: {found}; checkpoint.restore_file needs a checkpoint to go on from")
        return path
    last = folder / LAST
    if last.is_file():
        found = fault(last)
        if found is None:
            return last
    else:
        found = None
    other = newest_readable(folder, ANY if found else OF_AN_UPDATE)
    if other is not None:
        logger.warning(
            f"{last}: {f'cannot be read ({found})' if found else 'is missing'}; going on from {other.path.name}, the newest "
            f"readable checkpoint beside it ({other.updates} updates)"
        )
        return other.path
    if found is not None:
        raise InputError(
            f"{last}: cannot be read ({found}), and no other checkpoint is beside it; copy it again, or delete it to begin anew"
        )
    return None


def require_same_batches(saved: SavedTraining, cfg: Any) -> None:
    """InputError if a training would go on in the middle of an epoch with other batches than it began it with.

    saved: its checkpoint. cfg: the options now.
    """
    if not saved.batches or cfg.checkpoint.reset_dataloader:
        return
    for section, name in BATCHING:
        options = saved.options.get(section, {})
        before, now = options.get(name), cfg[section][name]
        if name in options and before != now:
            option = f"{section}.{name}"
            raise InputError(
                f"{saved.path}: was saved in the middle of epoch {saved.epoch} with {option}={_shown(before)}, and now it is "
                f"{_shown(now)}, so the rest of the epoch has other batches; go back to {_shown(before)}, or add "
                "checkpoint.reset_dataloader=true this once: updates go on, and epochs are counted from 1 again"
            )


def require_average(saved: SavedTraining, cfg: Any) -> None:
    """InputError if the checkpoint holds no moving average of the weights, and the options ask to go on with one."""
    if cfg.ema.store_ema and not saved.has_average:
        raise InputError(
            f"{saved.path}: was saved without ema.store_ema=true, so there is no average to go on with; drop the option, or choose "
            "another folder with hydra.run.dir"
        )


def other_options(saved: SavedTraining, cfg: Any) -> str:
    """What a training would learn from, or how, that is not as it was, with both values; "" if all is the same.

    saved: its checkpoint. cfg: the options now. Paths of the same file are the same; options that only one of the two knows, of
    another version, are not compared.
    """
    names = [
        (section, name) for section in SECTIONS for name in saved.options.get(section, {}) if name not in INDIFFERENT
    ]
    named, seen = [], set()
    for section, name in (*names, *OTHERS):
        options, ours = saved.options.get(section, {}), (cfg[section] if section in cfg else None) or {}
        if name not in options or name not in ours or name in seen:  # the model has some options of the task
            continue
        before, now = _comparable(options[name]), _comparable(ours[name])
        if before != now and not (before and now and os.path.realpath(before) == os.path.realpath(now)):
            seen.add(name)
            named.append(f"{section}.{name}={_shown(ours[name])} (was {_shown(options[name])})")
    return _first_of(named, ", ")


def _first_of(named: Sequence[str], separator: str) -> str:
    """MOST_NAMED of them in one line, and how many more there are."""
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    return f"{separator.join(named[:MOST_NAMED])}{more}"


def _comparable(value: Any) -> str:
    """A value as text, "" for null: checkpoints hold lists and enumerations in other types."""
    if isinstance(value, Iterable) and not isinstance(value, (str, Mapping)):
        value = [str(one) for one in value]
    return "" if value is None else str(value)


def in_words_of_hydra(error: Exception, path: Path, trainer: Any) -> InputError | None:
    """The complaint in place of one of fairseq's about a checkpoint that does not fit; None for any other error.

    error: what was raised. path: the checkpoint. trainer: fairseq's, with the model and the options.
    """
    text = str(error)
    if text.startswith("Cannot load model parameters"):
        return InputError(f"{path}: is of another model than this training's: {_differences(path, trainer)}")
    if "parameter group" in text:  # PyTorch's optimizers
        return InputError(
            f"{path}: its optimizer has other parameters ({one_line(text)}); take the options that it was trained with, or add "
            "checkpoint.reset_optimizer=true this once"
        )
    options = re.findall(r"--(reset-[a-z-]+[a-z])", text)
    if not options:
        return None
    reason = re.split(r"[;.(]", one_line(text))[0].strip()
    facts = re.search(r"\S+ vs \S+$", one_line(text))
    added = " ".join(f"checkpoint.{option.replace('-', '_')}=true" for option in dict.fromkeys(options))
    return InputError(
        f"{path}: {reason}{f' ({facts[0]})' if facts else ''}; take the options that it was trained with, or add {added} this once"
    )


def _differences(path: Path, trainer: Any) -> str:
    """Which options of the model, or else which of its weights, are not those of the checkpoint; and what to do."""
    saved = saved_training(path)
    before = saved.options.get("model", {}) if saved else {}
    now = trainer.cfg.model
    options = [name for name in before if name in now and before[name] != now[name]]
    named = [f"model.{name}={_shown(before[name])}, now {_shown(now[name])}" for name in options if name != "_name"]
    if "_name" in options:
        named = [f"its architecture is {before['_name']}, now {now['_name']}"]
    if named:
        remedy = "take its values"
    else:
        weights = saved.shapes if saved else {}
        ours = {name: tuple(weight.shape) for name, weight in trainer.get_model().state_dict().items()}
        named = [
            f"{name} is {_size(weights[name])}, now {_size(ours[name])}"
            for name in weights
            if name in ours and weights[name] != ours[name]
        ]
        named += [f"{name} is {'new' if name in ours else 'gone'}" for name in sorted(set(weights) ^ set(ours))]
        remedy = "train on what it was trained on"
    return f"{_first_of(named, '; ')}; {remedy}, or choose another folder with hydra.run.dir"


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one number"


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)


def finished(trainer: Any, epoch: int, without_improvement: int) -> str | None:
    """Why a training that was just restored has nothing left to do; None if it goes on.

    Args:
        trainer: fairseq's. epoch: the next one, counted from 1. without_improvement: validations since the best one.
    """
    cfg, updates = trainer.cfg, trainer.get_num_updates()
    most, hours = cfg.optimization.max_update, cfg.optimization.stop_time_hours
    if most and updates >= most:
        return f"{updates} updates of optimization.max_update={most} are made; raise it to go on"
    if cfg.optimization.max_epoch and epoch > cfg.optimization.max_epoch:
        return f"optimization.max_epoch={cfg.optimization.max_epoch} is reached ({updates} updates); raise it to go on"
    if hours > 0 and trainer.cumulative_training_time() > hours * 3600:
        return f"optimization.stop_time_hours={hours} are over ({updates} updates); raise it to go on"
    patience = cfg.checkpoint.patience
    if 0 < patience <= without_improvement:
        return (
            f"{without_improvement} validations brought nothing better, and checkpoint.patience is {patience} ({updates} updates); "
            "raise it to go on"
        )
    return None
