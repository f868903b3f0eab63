import numpy as np
import pytest

from csc_fairseq.data.pool import RecordingError
from csc_fairseq.data.speech_pool import SpeechPool
from tests.making import SAMPLE_RATE


def test_speech_of_a_recording(make_manifest):
    rng = np.random.default_rng(0)
    loud = 0.1 * rng.standard_normal(16000)
    samples = np.concatenate([np.zeros(8000), loud, np.zeros(16000), loud[:8000], np.zeros(8000)]) + 0.25
    pool = SpeechPool(make_manifest("speech", {"a.wav": samples}), ["a"], SAMPLE_RATE)
    speech = pool.speech(0)
    assert speech.stretches.tolist() == [[8000, 24000], [40000, 48000]]
    assert speech.samples == 24000
    assert speech.mean == pytest.approx(samples.mean(), abs=1e-6)
    heard = np.concatenate([loud, loud[:8000]]) + 0.25 - samples.mean()
    assert speech.power == pytest.approx(np.mean(heard**2), rel=1e-4)
    assert pool.speech(0) is speech


def test_silence_is_an_error_that_names_file_and_line(make_manifest):
    manifest = make_manifest("speech", {"a.wav": np.full(9000, 0.5), "b.wav": np.zeros(100)})
    pool = SpeechPool(manifest, ["a", "b"], SAMPLE_RATE)
    for recording, place in ((0, r"a\.wav: is silent.*speech\.tsv:2"), (1, r"b\.wav: is silent.*speech\.tsv:3")):
        with pytest.raises(RecordingError, match=place):
            pool.speech(recording)
