"""What the evaluation asks of an encoder, and encoders that are one function."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from csc_fairseq.verification.encoders.checks import require_voices, unit_rows


@dataclass(frozen=True)
class StreamEmbeddings:
    """What an encoder says about n test recordings.

    streams: float32 [n, C, E], unit norm, one embedding for each talker that the encoder tells apart; C = 1 for
    encoders with one embedding. estimates: separated waveforms, float32 [C, T_i] each, row c belonging to stream c, or
    fewer rows, where the last streams are no separated ones; None for encoders that do not separate.
    """

    __test__ = False  # pytest would take the name for a class of tests

    streams: np.ndarray
    estimates: list[np.ndarray] | None


class Encoder(Protocol):
    """Waveforms to embeddings.

    name: as it appears in results. sample_rate: Hz of the waveforms that it takes.

    Waveforms are float32 [T_i], full scale 1, of any lengths. Embeddings are finite and of unit norm, the same every
    time, and depend on a recording alone, not on those it is embedded with (to 1e-4).
    """

    @property
    def name(self) -> str: ...

    @property
    def sample_rate(self) -> int: ...

    def enrol(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """Recordings of one voice each: float32 [n, E]. InputError for what cannot be embedded."""
        ...

    def test(self, waveforms: Sequence[np.ndarray]) -> StreamEmbeddings:
        """Recordings in which others may talk. InputError for what cannot be embedded."""
        ...


@dataclass(frozen=True)
class SingleEncoder:
    """An encoder of one function, which gives one embedding per recording, however many people talk in it.

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
        return unit_rows(self.name, self.embed(waveforms), (len(waveforms), None))

    def test(self, waveforms: Sequence[np.ndarray]) -> StreamEmbeddings:
        """The same embedding, as the only stream."""
        return StreamEmbeddings(self.enrol(waveforms)[:, None], None)
