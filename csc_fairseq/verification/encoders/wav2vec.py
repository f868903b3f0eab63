"""wav2vec 2.0 and HuBERT as fairseq pre-trains them: the mean over time of one transformer layer."""

import re
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from csc_fairseq.errors import InputError
from csc_fairseq.inference.checkpoint import one_line
from csc_fairseq.verification.encoders.fairseq_files import architecture, model_options, read_state
from csc_fairseq.verification.encoders.single import SingleEncoder

# What building a model from damaged options raises; fairseq has no exception of its own for it.
UNBUILDABLE = (RuntimeError, LookupError, TypeError, ValueError, AssertionError, SyntaxError)
BATCH_SECONDS = 32  # of audio at once; the first layer takes some 20 MB a second
# What the network makes of waveforms (B, T): frames (B, L, D).
Frames = Callable[[Tensor], Tensor]


def wav2vec_encoder(name: str, path: str | Path, device: str, layer: int | None = None) -> SingleEncoder:
    """The encoder of a pre-training checkpoint of fairseq.

    Args:
        name: see `Encoder`.
        path: written by fairseq, with the options under `cfg` or, by an old one, under `args`.
        device: where the network goes.
        layer: 1 to the number of transformer layers; None for the last. The last one includes the norm that models
            with layer_norm_first put after it. Choose it on development speakers, never on the test.

    Raises:
        InputError: no such file, one that needs code to load, another architecture, no such layer.
    """
    model, _, task = load_pretrained(path)
    model = model.eval().to(device)
    layers = len(model.encoder.layers)
    if layer is not None and not 1 <= layer <= layers:
        raise InputError(f"encoder {name}: layer is {layer}, {path} has layers 1 to {layers}")
    network = frames_of(model, None if layer == layers else layer)
    sample_rate = int(task.sample_rate)

    def embed(waveforms: Sequence[np.ndarray]) -> np.ndarray:
        return mean_frames(network, waveforms, bool(task.normalize), device, BATCH_SECONDS * sample_rate)

    return SingleEncoder(name, sample_rate, shortest_input(model), embed)


class Pretrained(NamedTuple):
    """What a pre-training checkpoint of fairseq holds."""

    model: nn.Module
    options: dict[str, Any]
    """Of the model, all of them, with its name under `_name`: plain values that build it anew."""
    task: Any
    """Options of its task, of which `sample_rate` and `normalize` say what waveforms it expects."""


def load_pretrained(path: str | Path) -> Pretrained:
    """The model without what served pre-training alone. InputError as for `wav2vec_encoder`."""
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
        with torch.serialization.safe_globals([Namespace, Dictionary]), warnings.catch_warnings():
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


def frames_of(model: nn.Module, layer: int | None) -> Frames:
    """The output of a transformer layer, counted from 1, or of the whole model for None. Nothing is masked."""
    from fairseq.models.hubert import HubertModel

    if isinstance(model, HubertModel):
        return lambda waveforms: model.extract_features(waveforms, output_layer=layer)[0]
    index = None if layer is None else layer - 1
    return lambda waveforms: model.extract_features(waveforms, padding_mask=None, layer=index)["x"]


def shortest_input(model: nn.Module) -> int:
    """Samples under one frame of the convolutional layers."""
    samples = 1
    for block in reversed(model.feature_extractor.conv_layers):
        convolution = block[0]
        samples = (samples - 1) * convolution.stride[0] + convolution.kernel_size[0]
    return samples


@torch.no_grad()
def mean_frames(
    network: Frames, waveforms: Sequence[np.ndarray], normalize: bool, device: str, batch_samples: int
) -> np.ndarray:
    """Mean over the frames of each waveform, float32 [n, D].

    Only recordings of one length share a batch: the group norm of the usual first layer takes its statistics over time,
    so zeros at the end would change every frame, and no mask keeps them out of it.

    Args:
        network: see `Frames`.
        waveforms: float32 [T_i] each.
        normalize: scale each to zero mean and unit variance, as the model was trained.
        device: of the network.
        batch_samples: most samples in a batch; a longer recording runs alone.
    """
    rows: list[Tensor] = [torch.empty(0)] * len(waveforms)
    for batch in equal_batches([len(waveform) for waveform in waveforms], batch_samples):
        stacked = torch.from_numpy(np.stack([waveforms[i] for i in batch]).astype(np.float32)).to(device)
        if normalize:
            stacked = F.layer_norm(stacked, stacked.shape[1:])
        for i, frames in zip(batch, network(stacked), strict=True):
            rows[i] = frames.float().mean(0).cpu()
    return torch.stack(rows).numpy()


def equal_batches(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Positions of equal length, together at most `most` unless alone; shortest first."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if batch and (lengths[i] != lengths[batch[0]] or (len(batch) + 1) * lengths[i] > most):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
