"""Encoders that give one embedding per recording, however many people talk in it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from csc_fairseq.verification.encoders.checks import require_voices, unit
from csc_fairseq.verification.encoders.protocol import TestEmbeddings


@dataclass(frozen=True)
class SingleEncoder:
    """An encoder made of one function.

    name, sample_rate: see `Encoder`. shortest: fewest samples of a recording. embed: waveforms, float32 [T_i] each, to
    embeddings [n, E] of any norm.
    """

    name: str
    sample_rate: int
    shortest: int
    embed: Callable[[Sequence[np.ndarray]], np.ndarray]

    def enrol(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """See `Encoder.enrol`."""
        require_voices(self.name, waveforms, self.shortest)
        return unit(self.name, self.embed(waveforms), (len(waveforms), None))

    def test(self, waveforms: Sequence[np.ndarray]) -> TestEmbeddings:
        """The same embedding, as the only stream."""
        return TestEmbeddings(self.enrol(waveforms)[:, None], None)
