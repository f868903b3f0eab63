"""Long recordings in an evaluation, which wants as many streams of each as the model has."""

from types import SimpleNamespace

import numpy as np

from csc_fairseq.verification.encoders.of_model import ModelEncoder
from csc_fairseq.verification.encoders.separated import SeparatedEncoder
from tests.interleaved import HALF, RATE, Interleaved, talkers

TURNS = ([(1, 0, 20)], [(0, 0, 9), (2, 9, 20)], [(0, 0, 9), (1, 9, 16), (2, 15, 20)])  # one, two and three talkers
NAMES = np.eye(4)


def recordings():
    return [talkers(turns, 20) for turns in TURNS]


def test_as_many_streams_as_the_model_has():
    encoder = ModelEncoder("x", Interleaved())
    sources = recordings()
    found = encoder.test([source.sum(0) for source in sources])
    assert found.streams.shape == (3, 2, 4)
    np.testing.assert_array_equal(found.streams[:2], NAMES[[[1, 1], [2, 0]]])  # a silent stream decides no score
    assert [estimates.shape for estimates in found.estimates] == [(2, 20 * RATE)] * 3
    np.testing.assert_allclose(found.estimates[0], [sources[0][1], 0 * sources[0][1]], atol=HALF)
    np.testing.assert_allclose(found.estimates[1], sources[1][[2, 0]], atol=HALF)
    np.testing.assert_array_equal(encoder.enrol([sources[0].sum(0)]), NAMES[[1]])


def test_a_model_of_one_stream_has_one():
    found = ModelEncoder("x", Interleaved(streams=1)).test([source.sum(0) for source in recordings()])
    assert found.streams.shape == (3, 1, 4) and found.estimates is None


def test_the_streams_of_long_recordings_are_embedded():
    def own_slots(waveforms):
        return np.stack([[np.abs(waveform[slot::4]).sum() for slot in range(4)] for waveform in waveforms])

    encoder = SimpleNamespace(name="x", sample_rate=RATE, enrol=own_slots)
    found = SeparatedEncoder(encoder, Interleaved()).test([source.sum(0) for source in recordings()])
    assert found.streams.shape == (3, 2, 4)
    np.testing.assert_array_equal(found.streams[:2].argmax(axis=2), [[1, 1], [2, 0]])
    assert not found.estimates[0][1].any()
