"""A fine-tuned verifier: one embedding per stream, that of the loudest stream for an enrolment."""

from collections.abc import Sequence

import numpy as np
import torch

from csc_fairseq.checkpoints.checkpoint import Checkpoint
from csc_fairseq.inference.long_recordings import SeparatedVoices
from csc_fairseq.inference.verifier import Verifier, load_verifier
from csc_fairseq.modules.denormals import flush_denormals
from csc_fairseq.verification.encoders.batches import BATCH_SECONDS, equal_batches
from csc_fairseq.verification.encoders.checks import require_voices, unit_rows
from csc_fairseq.verification.encoders.encoder import StreamEmbeddings


class VerifierEncoder:
    """The checkpoint's model as an `Encoder`. Only recordings of one length share a batch, so nothing is padded."""

    def __init__(self, name: str, verifier: Verifier, device: str) -> None:
        self.name = name
        self.sample_rate = verifier.backbone.sample_rate
        self._backbone = verifier.backbone.to(device)
        self._head = verifier.head.to(device)
        self._device = device

    def enrol(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """See `Encoder.enrol`."""
        voices = self._analyse(waveforms)
        return unit_rows(self.name, torch.stack([one.queries[one.loudest] for one in voices]), (len(waveforms), None))

    def test(self, waveforms: Sequence[np.ndarray]) -> StreamEmbeddings:
        """See `Encoder.test`."""
        voices = self._analyse(waveforms)
        streams = unit_rows(self.name, torch.stack([one.queries for one in voices]), (len(waveforms), None, None))
        estimates = [one.estimates.numpy() for one in voices if one.estimates is not None]
        return StreamEmbeddings(streams, estimates or None)

    @torch.no_grad()
    def _analyse(self, waveforms: Sequence[np.ndarray]) -> list[SeparatedVoices]:
        require_voices(self.name, waveforms, self._backbone.shortest)
        found: list[SeparatedVoices] = [SeparatedVoices(None, torch.empty(0))] * len(waveforms)
        for batch in equal_batches([len(waveform) for waveform in waveforms], BATCH_SECONDS * self.sample_rate):
            stacked = torch.from_numpy(np.stack([waveforms[i] for i in batch]).astype(np.float32)).to(self._device)
            encoded = self._backbone(stacked)
            embeddings = self._head(encoded.layers, encoded.padding, encoded.embeddings).cpu()
            estimates = None if encoded.estimates is None else encoded.estimates.cpu()
            for row, i in enumerate(batch):
                found[i] = SeparatedVoices(None if estimates is None else estimates[row], embeddings[row])
        return found


def verifier_encoder(name: str, checkpoint: Checkpoint, device: str) -> VerifierEncoder:
    """The encoder of a fine-tuned checkpoint or its bundle. InputError for what `load_verifier` refuses."""
    flush_denormals()
    return VerifierEncoder(name, load_verifier(checkpoint), device)
