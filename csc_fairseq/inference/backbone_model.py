"""A backbone ready for use on recordings: with the head of a fine-tuning, or as pre-training left it."""

import torch.nn.functional as F
from torch import Tensor, nn

from csc_fairseq.backbones.backbone import Backbone
from csc_fairseq.inference.embedding_model import EmbeddingModel
from csc_fairseq.modules.verifier_head import VerifierHead


class BackboneModel(EmbeddingModel):
    """Embeds and scores recordings, and separates them where the backbone does; see `EmbeddingModel`.

    Args:
        backbone: put into evaluation mode.
        head: what gives the embedding; None: the mean over time of the highest layer's frames (of wav2vec 2.0 and HuBERT).
        identity_level: what the head was trained to tell apart; "none" without one.
    """

    def __init__(self, backbone: Backbone, head: VerifierHead | None, identity_level: str) -> None:
        self.backbone = backbone
        self.head = head
        super().__init__(
            nn.ModuleList([backbone] if head is None else [backbone, head]),
            kind=backbone.settings["kind"],
            sample_rate=backbone.sample_rate,
            identity_level=identity_level,
            streams=backbone.streams,
            embedding_size=backbone.channels if head is None else head.projection.out_features,
            shortest=backbone.shortest,
            separates=backbone.streams > 1,
            padding_matters=backbone.padding_matters,
            period=backbone.period,
        )

    def _encode(self, waveforms: Tensor, padding_mask: Tensor | None) -> tuple[Tensor | None, Tensor]:
        encoded = self.backbone(waveforms, padding_mask)
        if self.head is not None:
            return encoded.estimates, self.head(encoded.layers, encoded.padding, encoded.embeddings)
        return encoded.estimates, F.normalize(encoded.layers[-1].float().mean(2), dim=-1)
