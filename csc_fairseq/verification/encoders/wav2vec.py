"""wav2vec 2.0 and HuBERT as fairseq pre-trains them: the mean over time of one transformer layer."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from csc_fairseq.backbones.backbone import Backbone
from csc_fairseq.backbones.wav2vec import pretrained_wav2vec
from csc_fairseq.checkpoints.checkpoint import Checkpoint
from csc_fairseq.errors import InputError
from csc_fairseq.modules.denormals import flush_denormals
from csc_fairseq.verification.encoders.batches import BATCH_SECONDS, equal_batches
from csc_fairseq.verification.encoders.encoder import SingleEncoder


def wav2vec_encoder(name: str, checkpoint: Checkpoint, device: str, layer: int | None = None) -> SingleEncoder:
    """The encoder of a pre-training checkpoint of fairseq.

    Args:
        name: see `Encoder`.
        checkpoint: written by fairseq, with the options under `cfg` or, by an old one, under `args`.
        device: where the network goes.
        layer: 1 to the number of transformer layers; None for the last. The last one includes the norm that models
            with layer_norm_first put after it. Choose it on development speakers, never on the test.

    Raises:
        InputError: another architecture, a damaged file, no such layer.
    """
    flush_denormals()
    backbone = pretrained_wav2vec(checkpoint)
    if layer is not None:
        if not 1 <= layer <= backbone.layers:
            raise InputError(f"encoder {name}: layer is {layer}, {checkpoint.path} has layers 1 to {backbone.layers}")
        backbone.keep_layers(layer)
    backbone.eval().to(device)

    # Scaled here, as fairseq scales whole recordings, to the last bit; the backbone's own way allows for padding.
    normalize, backbone.normalize = backbone.normalize, False

    def embed(waveforms: Sequence[np.ndarray]) -> np.ndarray:
        return mean_frames(backbone, waveforms, normalize, device)

    return SingleEncoder(name, backbone.sample_rate, backbone.shortest, embed)


@torch.no_grad()
def mean_frames(backbone: Backbone, waveforms: Sequence[np.ndarray], normalize: bool, device: str) -> np.ndarray:
    """Mean over the frames of the highest layer, float32 [n, D], of each waveform, float32 [T_i].

    Only recordings of one length share a batch: the group norm of the usual first layer takes its statistics over time,
    so zeros at the end would change every frame, and no mask keeps them out of it.

    normalize: scale each waveform to zero mean and unit variance first, as the model was trained.
    """
    rows: list[Tensor] = [torch.empty(0)] * len(waveforms)
    for batch in equal_batches([len(waveform) for waveform in waveforms], BATCH_SECONDS * backbone.sample_rate):
        stacked = torch.from_numpy(np.stack([waveforms[i] for i in batch]).astype(np.float32)).to(device)
        if normalize:
            stacked = F.layer_norm(stacked, stacked.shape[1:])
        for i, frames in zip(batch, backbone(stacked).layers[-1, :, 0], strict=True):
            rows[i] = frames.float().mean(0).cpu()
    return torch.stack(rows).numpy()
