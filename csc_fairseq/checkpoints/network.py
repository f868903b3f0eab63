"""The separative encoder of a csc checkpoint or bundle."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from csc_fairseq.checkpoints.checkpoint import Checkpoint
from csc_fairseq.checkpoints.entries import Entries
from csc_fairseq.checkpoints.weights import fitted, require_count
from csc_fairseq.errors import InputError
from csc_fairseq.modules.separative_encoder import MEMORIES, SeparativeEncoder, SeparativeEncoderConfig

# In a training checkpoint the encoder's weights lie beside the identity table, which inference does not need.
ENCODER_PREFIX = "encoder."
# What training adds to a network for itself. Whether a network has it depends on its setting `memory`.
CONDITION_MEMORY = ("memory.", "attention.")
BLOCKS = ("shared_blocks", "separation_blocks", "speaker_blocks")
BLOCK_WEIGHTS = 20  # at least
ADDED_LATER = {"segment_overlap"}  # settings that older files lack; they mean the default


def separative_encoder(checkpoint: Checkpoint) -> SeparativeEncoder:
    """The network with its weights, in training mode. InputError: another architecture, incomplete or damaged."""
    checkpoint.require("csc")
    config = network_config(checkpoint.options)
    weights = checkpoint.weights
    if not checkpoint.is_bundle:
        weights = {
            name.removeprefix(ENCODER_PREFIX): weight
            for name, weight in weights.items()
            if name.startswith(ENCODER_PREFIX)
        }
    for name in BLOCKS:
        require_count(name, getattr(config, name), weights, checkpoint.path, BLOCK_WEIGHTS)
    return fitted(lambda: SeparativeEncoder(config), weights, checkpoint.path)


def network_config(options: Entries) -> SeparativeEncoderConfig:
    """The encoder's sizes; other entries of `options`, of the training, are left alone.

    InputError, which names the file, if one is missing, of another type, or impossible.
    """
    known = [field for field in fields(SeparativeEncoderConfig) if field.name in options.values]
    missing = {field.name for field in fields(SeparativeEncoderConfig)} - {field.name for field in known} - ADDED_LATER
    if missing:
        raise InputError(
            f"{options.where}: lacks the model settings {', '.join(sorted(missing))}; it was written by another version of "
            "csc-fairseq"
        )
    read: dict[type, Callable[[str], Any]] = {
        int: options.whole,
        float: lambda name: options.number(name, 0, 1),
        bool: options.switch,
        str: lambda name: options.text(name, MEMORIES),  # the only text
    }
    settings = {field.name: read[type(field.default)](field.name) for field in known}
    try:
        return SeparativeEncoderConfig(**settings)
    except InputError as error:  # which names an option of training, not this file
        raise InputError(f"{options.where}: {error}; it is damaged") from error
