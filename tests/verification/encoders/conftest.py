"""Recordings for all encoders, and what each of them must keep: one norm, one answer, whatever else is in the batch."""

from collections.abc import Callable

import numpy as np
import pytest

from csc_fairseq.verification.encoders.encoder import Encoder
from tests.making import syllables


@pytest.fixture(scope="session")
def waveforms() -> list[np.ndarray]:
    """Noises whose loudness moves as speech's does, float32; two of one length, the others of their own."""
    return [syllables(samples, seed, quietest=0.1) for seed, samples in enumerate((9000, 12345, 9000, 4321))]


@pytest.fixture
def require_encoder(waveforms: list[np.ndarray]) -> Callable[[Encoder], None]:
    """require_encoder(encoder): that it keeps what `Encoder` promises."""

    def check(encoder: Encoder) -> None:
        voices = encoder.enrol(waveforms)
        found = encoder.test(waveforms)
        assert voices.dtype == found.streams.dtype == np.float32
        assert voices.shape[0] == found.streams.shape[0] == len(waveforms)
        assert voices.shape[1] == found.streams.shape[2]
        np.testing.assert_allclose(np.linalg.norm(voices, axis=-1), 1, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(found.streams, axis=-1), 1, atol=1e-6)
        assert np.abs(voices[0] - voices[2]).max() > 1e-3, "two recordings have one embedding"

        np.testing.assert_array_equal(encoder.enrol(waveforms), voices)
        for i, waveform in enumerate(waveforms):
            np.testing.assert_allclose(encoder.enrol([waveform])[0], voices[i], atol=1e-4)
            np.testing.assert_allclose(encoder.test([waveform]).streams[0], found.streams[i], atol=1e-4)
        np.testing.assert_allclose(encoder.enrol(waveforms[::-1])[::-1], voices, atol=1e-4)

        readonly = waveforms[0].copy()
        readonly.flags.writeable = False
        np.testing.assert_allclose(encoder.enrol([readonly])[0], voices[0], atol=1e-4)

    return check
