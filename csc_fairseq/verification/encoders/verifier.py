"""A fine-tuned verifier."""

from csc_fairseq.checkpoints.checkpoint import Checkpoint
from csc_fairseq.inference.backbone_model import BackboneModel
from csc_fairseq.inference.verifier import load_verifier
from csc_fairseq.modules.denormals import flush_denormals
from csc_fairseq.verification.encoders.of_model import ModelEncoder


def verifier_encoder(name: str, checkpoint: Checkpoint, device: str) -> ModelEncoder:
    """The encoder of a fine-tuned checkpoint or its bundle. InputError for what `load_verifier` refuses."""
    flush_denormals()
    model = BackboneModel(*load_verifier(checkpoint), checkpoint.identity_level)
    return ModelEncoder(name, model.to(device))
