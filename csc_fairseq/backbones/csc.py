"""Our separative encoder as a frame encoder: the frames of each talker's stream, before they are pooled into a query."""

from dataclasses import asdict, replace

import torch
from torch import Tensor, nn

from csc_fairseq.backbones.backbone import Backbone, EncodedFrames
from csc_fairseq.checkpoints.checkpoint import SAMPLE_RATES, Checkpoint
from csc_fairseq.checkpoints.entries import Entries
from csc_fairseq.checkpoints.network import CONDITION_MEMORY, network_config, separative_encoder
from csc_fairseq.modules.separative_encoder import SeparativeEncoder, SeparativeEncoderConfig

CUES = 2  # channels that `stream_energy` adds to a stream's frames


class CscBackbone(Backbone):
    """Streams of the separative encoder: K = 1, C talkers, D = stream channels + 2.

    The two further channels are `stream_energy`'s: the share of a frame's energy that the stream owns, and how loud the stream
    is there; so any pooling can see who is heard. Embeddings are the queries. The condition memory is left out: it holds
    pre-training's talkers, and the queries do not depend on it.

    Which loss reaches which weights: the masks, hence the separation blocks and the decoder, learn from the estimates alone, and
    the head's pooling and projection from the embeddings alone.

    Args:
        config: sizes; its `memory` is taken to be "none".
        sample_rate: Hz that the weights were, or will be, trained at.
    """

    def __init__(self, config: SeparativeEncoderConfig, sample_rate: int) -> None:
        config = replace(config, memory="none")
        super().__init__(
            sample_rate=sample_rate,
            streams=config.sources,
            layers=1,
            channels=config.stream_channels + CUES,
            embedding_channels=config.embedding_channels,
            shortest=config.window,
            settings={"kind": "csc", "sample_rate": sample_rate, "network": asdict(config)},
        )
        self.network = SeparativeEncoder(config)
        self.period = self.network.period

    def forward(self, source: Tensor, padding_mask: Tensor | None = None) -> EncodedFrames:
        """See `Backbone.forward`. Padding changes nothing (to rounding)."""
        output = self.network(source, padding_mask)
        frames = torch.cat([output.stream_frames, output.stream_cues], dim=-1)
        return EncodedFrames(frames.unsqueeze(0), output.feature_padding, output.queries, output.estimates)

    def blocks(self) -> list[nn.Module]:
        """Filterbank and bottleneck; each block of the trunk; all of separation; each block of the speakers; their head."""
        network = self.network
        return [
            nn.ModuleList([network.encoder, network.norm, network.bottleneck]),
            *network.trunk,
            nn.ModuleList([network.separation_blocks, network.masks, network.decoder]),
            *network.speaker_blocks,
            network.speaker,
        ]


def pretrained_csc(checkpoint: Checkpoint) -> CscBackbone:
    """The backbone of a checkpoint or bundle. InputError for what `separative_encoder` refuses."""
    network = separative_encoder(checkpoint)
    backbone = CscBackbone(network.config, checkpoint.sample_rate)
    weights = network.state_dict()
    backbone.network.load_state_dict(
        # The backbone's own memory is empty: a buffer of no entries.
        {
            name: weights[name] if not name.startswith(CONDITION_MEMORY) else own
            for name, own in backbone.network.state_dict().items()
        }
    )
    return backbone


def csc_from_settings(settings: Entries) -> CscBackbone:
    """The backbone that `CscBackbone.settings` describes. InputError, which names the file, if they are damaged."""
    return CscBackbone(network_config(settings.within("network")), settings.whole("sample_rate", *SAMPLE_RATES))
