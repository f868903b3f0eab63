"""Loading a fine-tuned verifier: from its checkpoint alone, without the pre-trained one and without data."""

from dataclasses import fields
from pathlib import Path

import torch

from csc_fairseq.errors import InputError
from csc_fairseq.frame_encoders.loading import encoder_from_settings
from csc_fairseq.inference.checkpoint import one_line, read_state
from csc_fairseq.models.pretrained import SETTINGS
from csc_fairseq.models.speaker_verifier import SpeakerVerifier, SpeakerVerifierConfig

ARCHITECTURE = "speaker_verifier"


def load_verifier(path: str | Path, device: str | torch.device = "cpu") -> SpeakerVerifier:
    """The model of a fine-tuned checkpoint, in evaluation mode.

    Also sets `torch.set_flush_denormal(True)` for the process, as `load_model` does.

    Args:
        path: written by `fairseq-hydra-train` with model=speaker_verifier.
        device: where the model goes.

    Raises:
        InputError: no such file, one that needs code to load, another architecture, an incomplete one.
    """
    torch.set_flush_denormal(True)
    state = read_state(path)
    try:
        options, weights = state["cfg"]["model"], state["model"]
        if options["_name"] != ARCHITECTURE:
            raise InputError(f"{path}: is a checkpoint of architecture {options['_name']!r}, expected {ARCHITECTURE!r}")
        settings = state["task_state"][SETTINGS]
        known = {field.name for field in fields(SpeakerVerifierConfig)} & options.keys()
        config = SpeakerVerifierConfig(**{name: options[name] for name in known if not name.startswith("_")})
        model = SpeakerVerifier(config, encoder_from_settings(settings, path))
        model.load_state_dict(weights)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise InputError(
            f"{path}: is no complete checkpoint of {ARCHITECTURE} ({one_line(error)}); copy it anew, or train it with this version"
        ) from error
    return model.eval().to(device)
