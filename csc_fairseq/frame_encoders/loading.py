"""A frame encoder from a pre-training checkpoint, or from the settings that a fine-tuned one carries."""

from pathlib import Path
from typing import Any

from csc_fairseq.errors import InputError
from csc_fairseq.frame_encoders.csc import csc_from_settings, pretrained_csc
from csc_fairseq.frame_encoders.protocol import FrameEncoder
from csc_fairseq.frame_encoders.wav2vec import pretrained_wav2vec, wav2vec_from_settings
from csc_fairseq.frame_encoders.xvector import xvector_from_settings
from csc_fairseq.inference.checkpoint import entry, listed
from csc_fairseq.inference.fairseq_files import architecture, read_state

# By the name under which fairseq registers the architecture.
PRETRAINED = {"csc": pretrained_csc, "wav2vec2": pretrained_wav2vec, "hubert": pretrained_wav2vec}
# By `kind` of the settings.
FROM_SETTINGS = {
    "csc": csc_from_settings,
    "wav2vec2": wav2vec_from_settings,
    "hubert": wav2vec_from_settings,
    "xvector": xvector_from_settings,
}


def pretrained_encoder(path: str | Path) -> tuple[FrameEncoder, dict[str, Any]]:
    """The encoder of a pre-training checkpoint, in training mode, and its settings.

    Also sets `torch.set_flush_denormal(True)` for the process, as loading for inference does.

    Args:
        path: a checkpoint or bundle of csc, or a checkpoint of wav2vec 2.0 or HuBERT that fairseq wrote, with the options
            under `cfg` or, by an old one, under `args`.

    Raises:
        InputError: no such file, a damaged one, one that needs code to load, another architecture.
    """
    state = read_state(path)
    name, entries = architecture(state), listed(state)
    del state
    if name is None:
        raise InputError(f"{path}: holds {entries}, expected a pre-training checkpoint of {' or '.join(PRETRAINED)}")
    if name not in PRETRAINED:
        raise InputError(
            f"{path}: is a checkpoint of architecture {name!r}, expected one of {', '.join(PRETRAINED)}; "
            "give the checkpoint of the pre-training"
        )
    encoder = PRETRAINED[name](path).train()
    return encoder, encoder.settings


def encoder_from_settings(settings: dict[str, Any], where: str | Path = "encoder") -> FrameEncoder:
    """An encoder of that architecture with random weights.

    Args:
        settings: `FrameEncoder.settings` of any encoder, also after a round through JSON. To begin an x-vector:
            {"kind": "xvector", "sample_rate": 16000, "widths": [512, 512, 512, 512, 1500]}.
        where: the file that they stand in, for complaints.

    Raises:
        InputError: an unknown kind, missing or damaged entries.
    """
    kind = entry(settings, "kind", where)
    if kind not in FROM_SETTINGS:
        raise InputError(f"{where}: is of kind {kind!r}, expected one of {', '.join(FROM_SETTINGS)}")
    return FROM_SETTINGS[kind](settings, where)
