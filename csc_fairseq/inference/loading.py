"""Loading a trained model for use, and writing it as a small bundle.

Only tensors and plain values are read from a file, so a checkpoint cannot run code. Neither the data nor the folders of the
training run are needed, and fairseq only for wav2vec 2.0 and HuBERT.
"""

import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from csc_fairseq.backbones.loading import pretrained_backbone
from csc_fairseq.checkpoints.checkpoint import (
    BACKBONE_SETTINGS,
    BUNDLE_FORMAT,
    BUNDLE_VERSIONS,
    Checkpoint,
    read_checkpoint,
)
from csc_fairseq.checkpoints.network import separative_encoder
from csc_fairseq.errors import InputError
from csc_fairseq.files import replacing
from csc_fairseq.inference.backbone_model import BackboneModel
from csc_fairseq.inference.embedding_model import EmbeddingModel
from csc_fairseq.inference.speaker_encoder import SpeakerEncoder
from csc_fairseq.inference.verifier import ARCHITECTURE, BACKBONE_PREFIX, load_verifier
from csc_fairseq.modules.denormals import flush_denormals
from csc_fairseq.modules.verifier_head import OWN

NO_LABELS = "none"
CALIBRATION = "calibration"  # entry of a bundle, a text


def load_model(path: str | Path, device: str | torch.device = "cpu") -> EmbeddingModel:
    """Loads for inference what this package trains, or what fairseq pre-trains.

    Also calls `flush_denormals` for the process.

    Args:
        path: a checkpoint of `fairseq-hydra-train` (csc, a fine-tuned verifier, wav2vec 2.0 or HuBERT), or a bundle.
        device: where the network goes.

    Raises:
        InputError: no such file, not a checkpoint, one that needs code to load, another architecture, missing or damaged
            entries.
    """
    flush_denormals()
    return model_of(read_checkpoint(path)).to(device)


def model_of(checkpoint: Checkpoint) -> EmbeddingModel:
    """The model of a checkpoint, on the CPU, with the calibration of a bundle that has one; errors as for `load_model`."""
    model = _model_of(checkpoint)
    if checkpoint.is_bundle and CALIBRATION in checkpoint.entries:
        model.calibration = checkpoint.all.text(CALIBRATION)
    return model


def _model_of(checkpoint: Checkpoint) -> EmbeddingModel:
    checkpoint.require("csc", ARCHITECTURE, "wav2vec2", "hubert")
    if checkpoint.architecture == "csc":
        return speaker_encoder_of(checkpoint)
    if checkpoint.architecture == ARCHITECTURE:
        return BackboneModel(*load_verifier(checkpoint), checkpoint.identity_level)
    return BackboneModel(pretrained_backbone(checkpoint), None, NO_LABELS)


def speaker_encoder_of(checkpoint: Checkpoint) -> SpeakerEncoder:
    """The model of a checkpoint or bundle of csc, on the CPU; errors as for `load_model`."""
    return SpeakerEncoder(separative_encoder(checkpoint), checkpoint.sample_rate, checkpoint.identity_level)


def save_bundle(model: EmbeddingModel, path: str | Path) -> None:
    """Writes a model as a bundle: settings, rate, identity level, weights and calibration; no optimiser, table or paths.

    The file appears only when it is complete. InputError if its folder cannot be written, and for wav2vec 2.0 and HuBERT,
    whose own files are as small.
    """
    content = io.BytesIO()  # PyTorch does not say why it cannot write to a file
    torch.save({"format": BUNDLE_FORMAT, **_contents(model)}, content)
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(content.getbuffer())


def _contents(model: EmbeddingModel) -> dict[str, Any]:
    facts = {"sample_rate": model.sample_rate, "identity_level": model.identity_level}
    if isinstance(model, SpeakerEncoder):
        weights = model.network.state_dict()
        contents = {"version": BUNDLE_VERSIONS["csc"], "config": asdict(model.network.config)}
    elif isinstance(model, BackboneModel) and model.head is not None:
        weights = {BACKBONE_PREFIX + name: weight for name, weight in model.backbone.state_dict().items()}
        weights |= model.head.state_dict()
        pooling = OWN if model.head.pooling is None else model.head.pooling.kind
        contents = {
            "version": BUNDLE_VERSIONS[ARCHITECTURE],
            "architecture": ARCHITECTURE,
            "config": {"pooling": pooling, "embedding_channels": model.embedding_size},
            BACKBONE_SETTINGS: model.backbone.settings,
        }
    else:
        raise InputError(f"a model of {model.kind} has no bundle; pass on its checkpoint as it is")
    if model.calibration is not None:
        facts[CALIBRATION] = model.calibration
    return contents | facts | {"state_dict": {name: weight.detach().cpu() for name, weight in weights.items()}}
