"""Any encoder on the streams that a separating model makes of a test recording."""

from collections.abc import Sequence

import numpy as np

from csc_fairseq.checkpoints.checkpoint import Checkpoint
from csc_fairseq.errors import InputError
from csc_fairseq.inference.embedding_model import EmbeddingModel
from csc_fairseq.inference.loading import model_of
from csc_fairseq.modules.denormals import flush_denormals
from csc_fairseq.verification.encoders.checks import require_voices
from csc_fairseq.verification.encoders.encoder import Encoder, StreamEmbeddings

INAUDIBLE = 1e-6  # energy of a stream, as a share of the recording's: 60 dB below it (our choice)


class SeparatedEncoder:
    """An encoder that embeds each stream of a test recording as a recording of one voice. Enrolments stay as they are.

    Args:
        encoder: what embeds.
        separator: what separates; it needs the encoder's sample rate.
        mixture: whether the streams that `encoder` finds in the recording itself (one, if it does not separate) follow as
            further candidates.

    Raises:
        InputError: a separator that does not separate, or of another sample rate.
    """

    def __init__(self, encoder: Encoder, separator: EmbeddingModel, mixture: bool = False) -> None:
        try:
            separator.require_separation()
        except InputError as error:
            raise InputError(f"encoder {encoder.name}: separate: {error}") from error
        if separator.sample_rate != encoder.sample_rate:
            raise InputError(
                f"encoder {encoder.name}: takes {encoder.sample_rate} Hz, but its separate= gives {separator.sample_rate} Hz; "
                "take a model that was trained at the same rate"
            )
        self.name = encoder.name
        self.sample_rate = encoder.sample_rate
        self._encoder = encoder
        self._separator = separator
        self._mixture = mixture

    def enrol(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """The encoder's own answer: an enrolment is not separated."""
        return self._encoder.enrol(waveforms)

    def test(self, waveforms: Sequence[np.ndarray]) -> StreamEmbeddings:
        """The embeddings of all streams, and the streams.

        A stream without a sound has no embedding: it takes that of the loudest one, so that it decides no score. Where none
        has a sound, all take that of the recording.
        """
        require_voices(self.name, waveforms, self._separator.shortest)
        # A long recording may have fewer talkers: then the other streams are silent.
        estimates = [
            np.pad(streams, ((0, self._separator.streams - len(streams)), (0, 0)))
            for streams in self._separator.separate(list(waveforms), most=self._separator.streams)
        ]
        heard: list[np.ndarray] = []
        places = np.empty((len(waveforms), self._separator.streams), dtype=np.int64)
        for i, (streams, waveform) in enumerate(zip(estimates, waveforms, strict=True)):
            energies = np.square(streams, dtype=np.float64).sum(axis=1)
            audible = np.flatnonzero(energies > INAUDIBLE * np.square(waveform, dtype=np.float64).sum())
            places[i] = len(heard) + (int(energies[audible].argmax()) if len(audible) else 0)
            places[i, audible] = len(heard) + np.arange(len(audible))
            heard += [streams[stream] for stream in audible] if len(audible) else [waveform]
        embeddings = self._encoder.enrol(heard)[places]
        if self._mixture:
            embeddings = np.concatenate([embeddings, self._encoder.test(waveforms).streams], axis=1)
        return StreamEmbeddings(embeddings, estimates)


def separated(encoder: Encoder, checkpoint: Checkpoint, device: str, mixture: bool) -> SeparatedEncoder:
    """An encoder on the streams of a checkpoint or bundle. InputError for what `model_of` and `SeparatedEncoder` refuse."""
    flush_denormals()
    return SeparatedEncoder(encoder, model_of(checkpoint).to(device), mixture)
