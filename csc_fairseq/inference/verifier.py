"""A fine-tuned verifier without fairseq: a backbone and the head that was trained on it."""

from typing import NamedTuple

from csc_fairseq.backbones.backbone import Backbone
from csc_fairseq.backbones.loading import backbone_with_weights
from csc_fairseq.checkpoints.checkpoint import BACKBONE_SETTINGS, SAMPLE_RATES, Checkpoint
from csc_fairseq.checkpoints.weights import fitted
from csc_fairseq.errors import InputError
from csc_fairseq.modules.verifier_head import OWN, POOLINGS, VerifierHead

ARCHITECTURE = "speaker_verifier"
BACKBONE_PREFIX = "encoder."


class Verifier(NamedTuple):
    """The two halves of a verifier, in evaluation mode."""

    backbone: Backbone
    head: VerifierHead


def load_verifier(checkpoint: Checkpoint) -> Verifier:
    """The verifier of a fine-tuned checkpoint or of its bundle; needs neither the pre-trained file nor data.

    InputError: another architecture, an incomplete or damaged file.
    """
    checkpoint.require(ARCHITECTURE)
    options, weights = checkpoint.options, checkpoint.weights
    own = {
        name.removeprefix(BACKBONE_PREFIX): weight
        for name, weight in weights.items()
        if name.startswith(BACKBONE_PREFIX)
    }
    settings = checkpoint.task_state.within(BACKBONE_SETTINGS)
    pooling = options.text("pooling", (*POOLINGS, OWN))
    embedding_channels = options.whole("embedding_channels", 1)
    backbone = backbone_with_weights(settings, own)
    sample_rate = checkpoint.task_state.whole("sample_rate", *SAMPLE_RATES, default=backbone.sample_rate)
    if sample_rate != backbone.sample_rate:
        raise InputError(
            f"{checkpoint.path}: its sample_rate is {sample_rate}, but {backbone.sample_rate} in its {BACKBONE_SETTINGS}; "
            "it is damaged"
        )
    head = fitted(
        lambda: VerifierHead(
            backbone.layers, backbone.channels, backbone.embedding_channels, pooling, embedding_channels
        ),
        {name: weight for name, weight in weights.items() if not name.startswith(BACKBONE_PREFIX)},
        checkpoint.path,
    )
    return Verifier(backbone.eval(), head.eval())
