"""Encoders that users bring: what is accepted, and what is said of the rest."""

import sys

import numpy as np
import pytest

from csc_fairseq.errors import InputError
from csc_fairseq.verification.encoders.user_function import CheckedEncoder, user_encoder

MODULE = """
from types import SimpleNamespace
import numpy as np

NUMBER = 3

def spectrum(waveforms):
    return [np.abs(np.fft.rfft(waveform, 16))[:4] for waveform in waveforms]

class Streams:
    sample_rate = 8000

    def __init__(self, size=5):
        self.size = size

    def enrol(self, waveforms):
        return np.full((len(waveforms), self.size), 2.0)

    def test(self, waveforms):
        streams = np.full((len(waveforms), 3, self.size), 2.0)
        return SimpleNamespace(streams=streams, estimates=[np.ones((3, len(w))) for w in waveforms])

def make():
    return Streams(7)

def incomplete():
    return SimpleNamespace(enrol=None)

def two(waveforms, rates):
    return None

def keyword(*, size):
    return None
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module in the working directory, which is not on Python's path."""
    (tmp_path / "csc_test_users_encoder.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    monkeypatch.delitem(sys.modules, "csc_test_users_encoder", raising=False)
    return "csc_test_users_encoder"


def test_function_of_waveforms(module, require_encoder, waveforms):
    encoder = user_encoder("mine", f"{module}:spectrum")
    require_encoder(encoder)
    assert (encoder.name, encoder.sample_rate) == ("mine", 16000)
    assert user_encoder("mine", f"{module}:spectrum", 8000).sample_rate == 8000
    expected = np.abs(np.fft.rfft(waveforms[1], 16))[:4]
    np.testing.assert_allclose(encoder.enrol(waveforms)[1], expected / np.linalg.norm(expected), rtol=1e-5)


@pytest.mark.parametrize(("function", "size"), [("make", 7), ("Streams", 5)])
def test_function_that_makes_an_encoder(module, function, size, waveforms):
    encoder = user_encoder("mine", f"{module}:{function}")
    assert (encoder.name, encoder.sample_rate) == ("mine", 8000)
    np.testing.assert_allclose(encoder.enrol(waveforms), np.full((4, size), size**-0.5), rtol=1e-6)
    found = encoder.test(waveforms)
    np.testing.assert_allclose(found.streams, np.full((4, 3, size), size**-0.5), rtol=1e-6)
    assert [estimate.shape for estimate in found.estimates] == [(3, len(waveform)) for waveform in waveforms]
    assert found.streams.dtype == found.estimates[0].dtype == np.float32


def test_what_is_missing(module):
    cases = [
        ("absent_module_of_csc:make", "module absent_module_of_csc cannot be imported"),
        (f"{module}:absent", "csc_test_users_encoder.py has no function 'absent'"),
        (f"{module}:NUMBER", "has no function 'NUMBER'"),
        (f"{module}:two", "two needs 2 arguments, expected none .* or one"),
        (f"{module}:keyword", "keyword needs the arguments size; give them defaults"),
        (f"{module}:incomplete", "its SimpleNamespace lacks sample_rate, test; expected"),
    ]
    for target, message in cases:
        with pytest.raises(InputError, match=f"encoder mine: .*{message}"):
            user_encoder("mine", target)
    with pytest.raises(InputError, match="rate is for functions of waveforms"):
        user_encoder("mine", f"{module}:make", 8000)


class Faulty:
    """Answers whatever it was given."""

    sample_rate = 16000

    def __init__(self, answer):
        self.answer = answer

    def enrol(self, waveforms):
        return self.answer

    def test(self, waveforms):
        return self.answer


class Answer:
    def __init__(self, streams, estimates):
        self.streams, self.estimates = streams, estimates


def test_answers_of_another_form():
    waveforms = [np.ones(10, dtype=np.float32)] * 2
    with pytest.raises(InputError, match=r"encoder x: gave embeddings of shape \[3, 4\], expected \[2, any\]"):
        CheckedEncoder("x", Faulty(np.ones((3, 4)))).enrol(waveforms)
    with pytest.raises(InputError, match="encoder x: gave NaN"):
        CheckedEncoder("x", Faulty(np.full((2, 4), np.nan))).enrol(waveforms)
    with pytest.raises(InputError, match="encoder x: test gave a ndarray, expected a StreamEmbeddings"):
        CheckedEncoder("x", Faulty(np.ones((2, 4)))).test(waveforms)
    for estimates in ([np.ones((3, 10))], [np.ones((3, 10)), np.ones((3, 9))]):
        with pytest.raises(InputError, match="test gave separated waveforms of other shapes than its 3 streams"):
            CheckedEncoder("x", Faulty(Answer(np.ones((2, 3, 4)), estimates))).test(waveforms)
    assert CheckedEncoder("x", Faulty(Answer(np.ones((2, 3, 4)), None))).test(waveforms).estimates is None
