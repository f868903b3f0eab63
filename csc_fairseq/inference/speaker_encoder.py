"""A separative encoder, pre-trained by csc, ready for use on recordings."""

from typing import Any

import torch
from torch import Tensor

from csc_fairseq.errors import InputError
from csc_fairseq.inference.batches import pad
from csc_fairseq.inference.embedding_model import EmbeddingModel
from csc_fairseq.inference.recordings import Audio, Recordings
from csc_fairseq.modules.separative_encoder import SeparativeEncoder


class SpeakerEncoder(EmbeddingModel):
    """Embeds, separates and scores recordings; see `EmbeddingModel`.

    **Embeddings are the queries q, not the attended vectors s** that the condition memory adds in training: q depends
    on the recording alone, while s depends on which embeddings the memory happens to hold; and where memory keys are
    chosen by the label, as they cannot be at test time, s may have learnt to rely on them.

    Args:
        network: the separative encoder; put into evaluation mode.
        sample_rate: Hz it was trained at.
        identity_level: what its training identities were: speaker, session, utterance or cluster.
    """

    network: SeparativeEncoder

    def __init__(self, network: SeparativeEncoder, sample_rate: int, identity_level: str) -> None:
        super().__init__(
            network,
            kind="csc",
            sample_rate=sample_rate,
            identity_level=identity_level,
            streams=network.config.sources,
            embedding_size=network.config.embedding_channels,
            shortest=network.window,
            separates=True,
            padding_matters=False,
            period=network.period,
        )

    def _encode(self, waveforms: Tensor, padding_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        output = self.network(waveforms, padding_mask)
        return output.estimates, output.queries

    @torch.no_grad()
    def features(
        self,
        audio: Audio,
        padding_mask: Tensor | None = None,
        sample_rate: int | None = None,
        *,
        resample: bool = False,
    ) -> Any:
        """Frames of the shared trunk: (B, L, D) float32 and their padding mask (B, L), True = padding.

        L = ceil(T / hop) + 1. The whole batch runs at once, however long: cut long recordings first.

        Args:
            audio, sample_rate, resample: see the class; a single recording gives B = 1.
            padding_mask: (B, T) bool, True = padding, at the end of the rows only; None: none. For a (B, T) array only.
        """
        lengths = None if padding_mask is None else _lengths(padding_mask)
        recordings = self._read(audio, sample_rate, resample, lengths)
        waveforms, mask = pad(recordings.waveforms, self.device)
        output = self.network(waveforms, mask)
        kind = Recordings([], [], single=True, stacked=False, device=recordings.device)
        return kind.answer([output.features]), kind.answer([output.feature_padding])


def _lengths(padding_mask: Tensor) -> list[int]:
    """Valid samples of each row; InputError unless all padding is at the end."""
    mask = torch.as_tensor(padding_mask).bool()
    lengths = (~mask).sum(-1)
    if mask.ndim != 2 or not torch.equal(mask, torch.arange(mask.shape[1], device=mask.device) >= lengths.unsqueeze(1)):
        raise InputError(
            "padding_mask has padding before valid samples; expected (batch, samples), True at the end only"
        )
    return lengths.tolist()
