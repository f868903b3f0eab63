"""wav2vec 2.0 and HuBERT from the checkpoints of fairseq's pre-training, without running code that stands in them."""

import re
import warnings
from argparse import Namespace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from csc_fairseq.errors import InputError
from csc_fairseq.inference.checkpoint import one_line
from csc_fairseq.inference.fairseq_files import allowing, architecture, model_options, read_state

# What building a model from damaged options raises; fairseq has no exception of its own for it.
UNBUILDABLE = (RuntimeError, LookupError, TypeError, ValueError, AssertionError, SyntaxError)


class Pretrained(NamedTuple):
    """What a pre-training checkpoint of fairseq holds."""

    model: nn.Module
    options: dict[str, Any]
    """Of the model, all of them, with its name under `_name`: plain values that build it anew."""
    task: Any
    """Options of its task, of which `sample_rate` and `normalize` say what waveforms it expects."""


def load_pretrained(path: str | Path) -> Pretrained:
    """The model without what served pre-training alone.

    InputError: no such file, one that needs code to load, another architecture, a damaged one.
    """
    state = read_state(path)
    name = architecture(state)
    if name not in ("wav2vec2", "hubert"):
        raise InputError(f"{path}: is a checkpoint of architecture {name!r}, expected wav2vec2 or hubert")
    require_plain_layers(model_options(state), path)
    del state

    from fairseq import checkpoint_utils
    from fairseq.data.dictionary import Dictionary
    from fairseq.dataclass.utils import merge_with_parent
    from fairseq.models import MODEL_DATACLASS_REGISTRY
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    torch.set_flush_denormal(True)  # silent stretches otherwise slow CPUs down severalfold
    try:
        with allowing(Namespace, Dictionary), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fairseq calls an older Hydra, and PyTorch's former weight norm
            models, options, task = checkpoint_utils.load_model_ensemble_and_task([str(path)])
        complete = merge_with_parent(MODEL_DATACLASS_REGISTRY[name](), options.model, remove_missing=True)
        plain = OmegaConf.to_container(complete, resolve=True, enum_to_str=True)
    except (*UNBUILDABLE, OSError, HydraException, OmegaConfBaseException) as error:
        raise InputError(f"{path}: fairseq cannot load it ({one_line(error)}); it is damaged or incomplete") from error
    models[0].remove_pretraining_modules()
    return Pretrained(models[0], {**plain, "_name": name}, task.cfg)


def require_plain_layers(options: dict[str, Any], path: str | Path) -> None:
    """InputError if the model's conv_feature_layers is more than a list of numbers: fairseq evaluates this text as Python."""
    layers = options.get("conv_feature_layers")
    if layers is not None and not re.fullmatch(r"[\d\s()\[\],+*]*", str(layers)):
        raise InputError(f"{path}: its conv_feature_layers is {str(layers)[:60]!r}, expected a list of numbers alone")


def shortest_input(model: nn.Module) -> int:
    """Samples under one frame of the convolutional layers."""
    samples = 1
    for block in reversed(model.feature_extractor.conv_layers):
        convolution = block[0]
        samples = (samples - 1) * convolution.stride[0] + convolution.kernel_size[0]
    return samples
