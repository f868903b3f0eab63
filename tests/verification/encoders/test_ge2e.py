"""The encoder of resemblyzer, where that package is installed."""

import sys

import numpy as np
import pytest

from csc_fairseq.errors import InputError
from csc_fairseq.verification.encoders.ge2e import ge2e_encoder


@pytest.fixture
def resemblyzer():
    return pytest.importorskip("resemblyzer", reason="pip install 'csc-fairseq[baselines]' brings resemblyzer")


@pytest.mark.slow  # librosa, which it imports, compiles for half a minute
def test_keeps_what_an_encoder_promises(resemblyzer, require_encoder):
    encoder = ge2e_encoder("ge2e", "cpu")
    require_encoder(encoder)
    assert (encoder.name, encoder.sample_rate) == ("ge2e", 16000)


@pytest.mark.slow
def test_raises_the_volume_and_keeps_the_silence(resemblyzer, waveforms):
    encoder = ge2e_encoder("ge2e", "cpu")
    network = resemblyzer.VoiceEncoder("cpu", verbose=False)
    loud = np.concatenate([waveforms[0], np.full(16000, 1e-4, dtype=np.float32), waveforms[1]])
    level = np.sqrt(np.mean(loud.astype(np.float64) ** 2))
    at_minus_30 = (loud * (10 ** (-30 / 20) / level)).astype(np.float32)
    assert level > 10 ** (-30 / 20)  # louder than that, hence left as it is
    np.testing.assert_allclose(encoder.enrol([loud])[0], network.embed_utterance(loud), atol=1e-6)
    quiet = 0.01 * at_minus_30
    np.testing.assert_allclose(encoder.enrol([quiet])[0], network.embed_utterance(at_minus_30), atol=1e-4)
    assert np.abs(encoder.enrol([quiet])[0] - network.embed_utterance(quiet)).max() > 0.01


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "resemblyzer", None)
    with pytest.raises(InputError, match=r"encoder x: resemblyzer cannot be imported .*csc-fairseq\[baselines\]"):
        ge2e_encoder("x", "cpu")
