"""A backbone from a pre-training checkpoint, or from the settings that a fine-tuned one carries."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from csc_fairseq.backbones.backbone import Backbone
from csc_fairseq.backbones.csc import csc_from_settings, pretrained_csc
from csc_fairseq.backbones.wav2vec import COUNTED, pretrained_wav2vec, wav2vec_from_settings
from csc_fairseq.backbones.xvector import xvector_from_settings
from csc_fairseq.checkpoints.checkpoint import Checkpoint
from csc_fairseq.checkpoints.entries import Entries
from csc_fairseq.checkpoints.network import BLOCK_WEIGHTS, BLOCKS
from csc_fairseq.checkpoints.weights import fitted, require_count

# By the name under which fairseq registers the architecture.
PRETRAINED = {"csc": pretrained_csc, "wav2vec2": pretrained_wav2vec, "hubert": pretrained_wav2vec}
# By `kind` of the settings.
FROM_SETTINGS = {
    "csc": csc_from_settings,
    "wav2vec2": wav2vec_from_settings,
    "hubert": wav2vec_from_settings,
    "xvector": xvector_from_settings,
}
# Where the settings lie that count blocks, and with how many weights in each at least.
COUNTS = {
    "csc": ("network", dict.fromkeys(BLOCKS, BLOCK_WEIGHTS)),
    "wav2vec2": ("model", COUNTED),
    "hubert": ("model", COUNTED),
}


def pretrained_backbone(checkpoint: Checkpoint) -> Backbone:
    """The backbone of a pre-training checkpoint, in training mode.

    Args:
        checkpoint: a checkpoint or bundle of csc, or a checkpoint of wav2vec 2.0 or HuBERT that fairseq wrote.

    Raises:
        InputError: another architecture, an incomplete or damaged file.
    """
    checkpoint.require(*PRETRAINED, remedy="give the checkpoint of the pre-training")
    return PRETRAINED[checkpoint.architecture](checkpoint).train()


def backbone_from_settings(settings: Mapping[str, Any], where: str = "encoder") -> Backbone:
    """A backbone of that architecture with random weights.

    Args:
        settings: `Backbone.settings` of any backbone, also after a round through JSON. To begin an x-vector:
            {"kind": "xvector", "sample_rate": 16000, "widths": [512, 512, 512, 512, 1500]}.
        where: the file that holds them, for complaints.

    Raises:
        InputError: an unknown kind, missing or damaged entries.
    """
    entries = Entries(settings, where)
    return FROM_SETTINGS[entries.text("kind", FROM_SETTINGS)](entries)


def backbone_with_weights(settings: Entries, weights: Mapping[str, Tensor]) -> Backbone:
    """The backbone of a fine-tuned checkpoint, in training mode. InputError if settings and weights do not fit."""
    kind = settings.text("kind", FROM_SETTINGS)
    if kind in COUNTS:
        place, counted = COUNTS[kind]
        for name, each in counted.items():
            require_count(name, settings.within(place).whole(name, default=1), weights, settings.where, each)
    return fitted(lambda: backbone_from_settings(settings.values, settings.where), weights, settings.where)
