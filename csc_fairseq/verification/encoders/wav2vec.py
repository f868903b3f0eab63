"""wav2vec 2.0 and HuBERT as fairseq pre-trains them: the mean over time of one transformer layer."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from csc_fairseq.errors import InputError
from csc_fairseq.inference.wav2vec import load_pretrained, shortest_input
from csc_fairseq.verification.encoders.single import SingleEncoder

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


def frames_of(model: nn.Module, layer: int | None) -> Frames:
    """The output of a transformer layer, counted from 1, or of the whole model for None. Nothing is masked."""
    from fairseq.models.hubert import HubertModel

    if isinstance(model, HubertModel):
        return lambda waveforms: model.extract_features(waveforms, output_layer=layer)[0]
    index = None if layer is None else layer - 1
    return lambda waveforms: model.extract_features(waveforms, padding_mask=None, layer=index)["x"]


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
