"""Which architecture a checkpoint holds, ours or fairseq's, found without fairseq and without running its code."""

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from csc_fairseq.inference import checkpoint
from csc_fairseq.inference.checkpoint import BUNDLE_FORMAT


class _Unread:
    """Takes the place of objects that only fairseq needs, so that reading does not import it."""


# Plain data that fairseq's checkpoints hold besides tensors: old ones their options, HuBERT's the names of its targets.
PLAIN_CLASSES = (Namespace, (_Unread, "fairseq.data.dictionary.Dictionary"))


@contextmanager
def allowing(*classes: type | tuple[type, str]) -> Iterator[None]:
    """Within it PyTorch reads these classes from checkpoints, too; afterwards those that it read before.

    PyTorch's own `safe_globals` would also take away, at its end, what others had allowed.
    """
    before = torch.serialization.get_safe_globals()
    torch.serialization.add_safe_globals(list(classes))
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def read_state(path: str | Path) -> dict[str, Any]:
    """The dictionary of a checkpoint; what is no plain data stays unread. InputError if that cannot be had."""
    with allowing(*PLAIN_CLASSES):
        return checkpoint.read_state(path)


def model_options(state: dict[str, Any]) -> dict[str, Any]:
    """Options of the model, whichever fairseq wrote them; nothing for other files.

    A checkpoint has `cfg`, and before 2021 it had `args`, where the options of everything stand together.
    """
    args, cfg = state.get("args"), state.get("cfg")
    options = args if args is not None else cfg.get("model") if isinstance(cfg, dict) else None
    if isinstance(options, Namespace):
        options = vars(options)
    return options if isinstance(options, dict) else {}


def architecture(state: dict[str, Any]) -> str | None:
    """The model's name as fairseq registers it (csc, wav2vec2, hubert, ...), None if it has none."""
    if state.get("format") == BUNDLE_FORMAT:
        return "csc"
    options = model_options(state)
    return options.get("_name") or options.get("arch")


def speakers_of(path: str | Path) -> set[str] | None:
    """Speakers that a checkpoint of ours was trained or fine-tuned on, its encoder's pre-training included as far as known.

    None where it does not say, as fairseq's own, and bundles. InputError as for `read_state`.
    """
    return _told_speakers(read_state(path))


def hides_speakers(path: str | Path) -> bool:
    """Whether a checkpoint was, or may have been, trained on speakers that `speakers_of` does not name."""
    return all_speakers_of(path) is None


def all_speakers_of(path: str | Path) -> set[str] | None:
    """`speakers_of`, but None also where a checkpoint was, or may have been, trained on speakers that it does not name."""
    state = read_state(path)
    if architecture(state) == "speaker_verifier" and state.get("task_state", {}).get("pretraining_speakers") is None:
        return None
    return _told_speakers(state)


def _told_speakers(state: dict[str, Any]) -> set[str] | None:
    task = state.get("task_state", {}) if architecture(state) in ("csc", "speaker_verifier") else {}
    if task.get("identity_level") != "speaker":
        return None
    return {*task["identities"], *(task.get("pretraining_speakers") or ())}
