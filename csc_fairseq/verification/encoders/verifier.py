"""A fine-tuned verifier: one embedding per stream, that of the loudest stream for an enrolment."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from csc_fairseq.checkpoints.checkpoint import Checkpoint
from csc_fairseq.inference.backbone_model import BackboneModel
from csc_fairseq.inference.long_recordings import SeparatedVoices
from csc_fairseq.inference.verifier import load_verifier
from csc_fairseq.modules.denormals import flush_denormals
from csc_fairseq.verification.encoders.checks import require_voices, unit_rows
from csc_fairseq.verification.encoders.encoder import StreamEmbeddings


class VerifierEncoder:
    """The checkpoint's model as an `Encoder`."""

    def __init__(self, name: str, model: BackboneModel) -> None:
        self.name = name
        self.sample_rate = model.sample_rate
        self._model = model

    def enrol(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """See `Encoder.enrol`."""
        rows = [torch.empty(0)] * len(waveforms)
        for i, voices in self._analyse(waveforms):
            rows[i] = voices.queries[voices.loudest].cpu()
        return unit_rows(self.name, torch.stack(rows), (len(rows), None))

    def test(self, waveforms: Sequence[np.ndarray]) -> StreamEmbeddings:
        """See `Encoder.test`."""
        rows = [torch.empty(0)] * len(waveforms)
        estimates = [np.empty(0, dtype=np.float32)] * len(waveforms)
        for i, voices in self._analyse(waveforms):
            rows[i] = voices.queries.cpu()
            if voices.estimates is not None:
                estimates[i] = voices.estimates.cpu().numpy()
        streams = unit_rows(self.name, torch.stack(rows), (len(rows), None, None))
        return StreamEmbeddings(streams, estimates if self._model.separates else None)

    def _analyse(self, waveforms: Sequence[np.ndarray]) -> Iterator[tuple[int, SeparatedVoices]]:
        require_voices(self.name, waveforms, self._model.shortest)
        # Copies, since torch takes neither read-only nor reversed arrays.
        return self._model.analyse([torch.from_numpy(np.array(waveform, dtype=np.float32)) for waveform in waveforms])


def verifier_encoder(name: str, checkpoint: Checkpoint, device: str) -> VerifierEncoder:
    """The encoder of a fine-tuned checkpoint or its bundle. InputError for what `load_verifier` refuses."""
    flush_denormals()
    model = BackboneModel(*load_verifier(checkpoint), checkpoint.identity_level)
    return VerifierEncoder(name, model.to(device))
