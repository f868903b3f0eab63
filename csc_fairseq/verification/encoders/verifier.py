"""A fine-tuned verifier: one embedding per stream, that of the loudest stream for an enrolment."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from csc_fairseq.models.speaker_verifier import SpeakerVerifier, VerifierOutput
from csc_fairseq.verification.encoders.checks import require_voices, unit
from csc_fairseq.verification.encoders.protocol import TestEmbeddings
from csc_fairseq.verification.encoders.wav2vec import BATCH_SECONDS, equal_batches


class VerifierEncoder:
    """The checkpoint's model as an `Encoder`. Only recordings of one length share a batch, so padding plays no part."""

    def __init__(self, name: str, model: SpeakerVerifier, device: str) -> None:
        self.name = name
        self.sample_rate = model.encoder.sample_rate
        self._model = model
        self._device = device

    def enrol(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """See `Encoder.enrol`."""
        found = self.test(waveforms)
        if found.estimates is None:
            return found.streams[:, 0]
        loudest = [np.square(estimates).sum(axis=1).argmax() for estimates in found.estimates]
        return found.streams[np.arange(len(loudest)), loudest]

    def test(self, waveforms: Sequence[np.ndarray]) -> TestEmbeddings:
        """See `Encoder.test`."""
        require_voices(self.name, waveforms, self._model.encoder.shortest)
        streams = np.zeros((len(waveforms), self._model.streams, self._model.cfg.embedding_channels), dtype=np.float32)
        estimates: list[np.ndarray | None] = [None] * len(waveforms)
        for batch in equal_batches([len(waveform) for waveform in waveforms], BATCH_SECONDS * self.sample_rate):
            output = self._forward([waveforms[i] for i in batch])
            streams[batch] = output.embeddings.cpu().numpy()
            if output.estimates is not None:
                for i, separated in zip(batch, output.estimates.cpu().numpy(), strict=True):
                    estimates[i] = separated
        return TestEmbeddings(
            unit(self.name, streams, streams.shape), None if any(one is None for one in estimates) else estimates
        )

    @torch.no_grad()
    def _forward(self, waveforms: Sequence[np.ndarray]) -> VerifierOutput:
        return self._model(torch.from_numpy(np.stack(waveforms).astype(np.float32)).to(self._device))


def verifier_encoder(name: str, path: str | Path, device: str) -> VerifierEncoder:
    """The encoder of a fine-tuned checkpoint. InputError for what `load_verifier` refuses."""
    from csc_fairseq.inference.verifier import load_verifier

    return VerifierEncoder(name, load_verifier(path, device), device)
