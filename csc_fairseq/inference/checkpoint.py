"""Loading a trained model, and writing it as a small weights-only bundle.

Nothing but tensors and plain values is ever unpickled, so a checkpoint cannot run code. Neither fairseq nor the data
nor the folders of the training run are needed.
"""

import pickle
import zipfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch

from csc_fairseq.errors import InputError
from csc_fairseq.files import replacing
from csc_fairseq.inference.speaker_encoder import SpeakerEncoder
from csc_fairseq.modules.separative_encoder import SeparativeEncoder, SeparativeEncoderConfig

BUNDLE_FORMAT = "csc-bundle"
BUNDLE_VERSION = 1
# In a training checkpoint the encoder's weights stand beside the identity table, which inference does not need.
ENCODER_PREFIX = "encoder."


def load_model(path: str | Path, device: str | torch.device = "cpu") -> SpeakerEncoder:
    """Load a fairseq checkpoint of this package, or a bundle, for inference.

    Also sets `torch.set_flush_denormal(True)` for the process: silent stretches otherwise slow CPUs down severalfold.

    Args:
        path: file written by `fairseq-hydra-train` or by `save_bundle`.
        device: where the network goes.

    Raises:
        InputError: no such file, not a checkpoint, one that needs code to load, another architecture, missing entries.
    """
    torch.set_flush_denormal(True)
    state = read_state(path)
    if state.get("format") == BUNDLE_FORMAT:
        model = _from_bundle(state, path)
    elif "cfg" in state and "model" in state:
        model = _from_fairseq(state, path)
    else:
        raise InputError(
            f"{path}: holds {listed(state)}, expected a fairseq checkpoint of csc or a bundle of `csc export`"
        )
    return model.to(device)


def save_bundle(model: SpeakerEncoder, path: str | Path) -> None:
    """Write a model as a weights-only bundle: sizes, rate, identity level and weights, without optimiser and identity
    table.

    The file appears only when it is complete. InputError if its folder cannot be written.
    """
    path = Path(path)
    bundle = {
        "format": BUNDLE_FORMAT,
        "version": BUNDLE_VERSION,
        "config": asdict(model.network.config),
        "sample_rate": model.sample_rate,
        "identity_level": model.identity_level,
        "state_dict": {name: tensor.detach().cpu() for name, tensor in model.network.state_dict().items()},
    }
    try:
        with replacing(path) as temporary:
            torch.save(bundle, temporary)
    except (OSError, RuntimeError) as error:  # torch reports an unwritable file as RuntimeError
        raise InputError(f"{path}: cannot be written ({one_line(error)}); choose another place") from error


def read_state(path: str | Path) -> dict[str, Any]:
    """The dictionary of a checkpoint, tensors and plain values alone. InputError if that cannot be had."""
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; expected a checkpoint (checkpoint_best.pt) or a bundle")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: is no checkpoint, or holds more than tensors and plain values, which could run code "
            f"({one_line(error)}); expected a checkpoint of csc or a bundle"
        ) from error
    except (
        RuntimeError,
        ValueError,
        LookupError,
        AttributeError,
        TypeError,
        EOFError,
        OSError,
        zipfile.BadZipFile,
    ) as error:
        # A damaged file can fail at any step of parsing; torch has no exception of its own for it.
        raise InputError(f"{path}: is damaged or no checkpoint ({one_line(error)}); copy it anew") from error
    if not isinstance(state, dict):
        raise InputError(f"{path}: holds a {type(state).__name__}, expected a checkpoint's dictionary")
    return state


def _from_bundle(state: dict[str, Any], path: str | Path) -> SpeakerEncoder:
    version = entry(state, "version", path)
    if version != BUNDLE_VERSION:
        raise InputError(f"{path}: is a bundle of version {version}, expected {BUNDLE_VERSION}; update csc-fairseq")
    config = network_config(entry(state, "config", path), path)
    return _build(config, entry(state, "state_dict", path), state, path)


def _from_fairseq(state: dict[str, Any], path: str | Path) -> SpeakerEncoder:
    options = _mapping(state["cfg"], "cfg", path).get("model")
    architecture = _mapping(options, "cfg.model", path).get("_name")
    if architecture != "csc":
        raise InputError(
            f"{path}: is a checkpoint of architecture {architecture!r}, expected 'csc'"
            + ("; give it to `csc evaluate --encoder`" if architecture == "speaker_verifier" else "")
        )
    weights = {
        name.removeprefix(ENCODER_PREFIX): tensor
        for name, tensor in _mapping(state["model"], "model", path).items()
        if name.startswith(ENCODER_PREFIX)
    }
    task = _mapping(entry(state, "task_state", path), "task_state", path)
    return _build(network_config(options, path), weights, task, path)


def network_config(options: Any, path: str | Path) -> SeparativeEncoderConfig:
    """The encoder's sizes; other entries of `options` (of the training) are left alone.

    InputError, which names `path`, if one is missing or of another type.
    """
    names = [field.name for field in fields(SeparativeEncoderConfig)]
    options = _mapping(options, "model settings", path)
    missing = [name for name in names if name not in options]
    if missing:
        raise InputError(
            f"{path}: lacks the model settings {', '.join(missing)}; it was written by another version of csc-fairseq"
        )
    for field in fields(SeparativeEncoderConfig):
        accepted = (int, float) if isinstance(field.default, float) else type(field.default)
        if not isinstance(options[field.name], accepted):
            raise InputError(
                f"{path}: its model setting {field.name} is {options[field.name]!r}, expected a "
                f"{type(field.default).__name__}; it is damaged"
            )
    return SeparativeEncoderConfig(**{name: options[name] for name in names})


def _build(config: SeparativeEncoderConfig, weights: Any, facts: dict[str, Any], path: str | Path) -> SpeakerEncoder:
    network = SeparativeEncoder(config)
    weights = _mapping(weights, "weights", path)
    expected = network.state_dict()
    missing = [name for name in expected if name not in weights]
    unknown = [name for name in weights if name not in expected]
    unfit = [name for name in expected if name in weights and weights[name].shape != expected[name].shape]
    for names, complaint in ((missing, "lacks"), (unknown, "has unknown"), (unfit, "has misshapen")):
        if names:
            raise InputError(
                f"{path}: {complaint} weights, {len(names)} in all, the first is {names[0]}; "
                "it is damaged or of another version of csc-fairseq"
            )
    network.load_state_dict(weights)
    return SpeakerEncoder(network, entry(facts, "sample_rate", path), entry(facts, "identity_level", path))


def entry(mapping: dict[str, Any], name: str, path: str | Path) -> Any:
    """An entry of what was read from `path`. InputError if there is none."""
    if name not in mapping:
        raise InputError(f"{path}: lacks the entry {name!r}; it is incomplete or of another version of csc-fairseq")
    return mapping[name]


def _mapping(value: Any, name: str, path: str | Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(
            f"{path}: its {name} is a {type(value).__name__}, expected a dictionary; it is no checkpoint of csc-fairseq"
        )
    return value


def listed(state: dict[str, Any]) -> str:
    """The names of the first entries, for a complaint."""
    names = [str(name) for name in state]
    return (
        ", ".join(names[:4]) + (f" and {len(names) - 4} more entries" if len(names) > 4 else "") if names else "nothing"
    )


def one_line(error: Exception) -> str:
    """The first line of what an exception says, or its kind, for a complaint of our own."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120].rstrip(" .:")
