"""A model for inference as an encoder: one embedding per stream, that of the loudest stream for an enrolment."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from csc_fairseq.inference.embedding_model import EmbeddingModel
from csc_fairseq.inference.separated_voices import SeparatedVoices
from csc_fairseq.verification.encoders.checks import require_voices, unit_rows
from csc_fairseq.verification.encoders.encoder import StreamEmbeddings


class ModelEncoder:
    """See `Encoder`. Separated voices leave the model's device recording by recording.

    Args:
        name: see `Encoder`. model: what embeds.
    """

    def __init__(self, name: str, model: EmbeddingModel) -> None:
        self.name = name
        self.sample_rate = model.sample_rate
        self._model = model

    def enrol(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """The embedding of the stream with the most energy, as `EmbeddingModel.embed` chooses it."""
        rows: list[Tensor] = [torch.empty(0)] * len(waveforms)
        for i, voices in self._analyse(waveforms):
            rows[i] = self._embeddings(voices)[voices.loudest]
        return unit_rows(self.name, torch.stack(rows).cpu(), (len(rows), self._model.embedding_size))

    def test(self, waveforms: Sequence[np.ndarray]) -> StreamEmbeddings:
        """The embeddings of all streams, and the streams of a model that separates.

        Where a long recording has fewer talkers than the model has streams, the other streams are silent and have the embedding of
        the loudest talker, so that they decide no score.
        """
        rows: list[Tensor] = [torch.empty(0)] * len(waveforms)
        estimates = [np.empty(0, dtype=np.float32)] * len(waveforms)
        for i, voices in self._analyse(waveforms):
            rows[i] = self._embeddings(voices)
            missing = self._model.streams - len(rows[i])
            rows[i] = torch.cat([rows[i], rows[i][[voices.loudest] * missing]])
            if voices.estimates is not None:
                estimates[i] = np.pad(voices.estimates.cpu().numpy(), ((0, missing), (0, 0)))
        shape = (len(rows), self._model.streams, self._model.embedding_size)
        streams = unit_rows(self.name, torch.stack(rows).cpu(), shape)
        return StreamEmbeddings(streams, estimates if self._model.separates else None)

    def _analyse(self, waveforms: Sequence[np.ndarray]) -> Iterator[tuple[int, SeparatedVoices]]:
        require_voices(self.name, waveforms, self._model.shortest)
        # Copies, since torch takes neither read-only nor reversed arrays.
        copies = [torch.from_numpy(np.array(waveform, dtype=np.float32)) for waveform in waveforms]
        return self._model.analyse(copies, most=self._model.streams)

    def _embeddings(self, voices: SeparatedVoices) -> Tensor:
        """[C, E], row c for stream c."""
        return voices.queries
