import numpy as np
import pytest

from csc_fairseq.verification.conversations.speech_detector import speech_frames
from tests.making import SAMPLE_RATE


def samples(*parts: tuple[float, float], noise: float) -> np.ndarray:
    """Parts of (RMS, seconds) over noise."""
    rng = np.random.default_rng(0)
    loudness = np.concatenate([np.full(round(seconds * SAMPLE_RATE), rms) for rms, seconds in parts])
    return loudness * rng.standard_normal(len(loudness)) + noise * rng.standard_normal(len(loudness))


@pytest.mark.parametrize("noise", [0.0, 1e-4, 0.005, 0.03])
@pytest.mark.parametrize("gain", [1.0, 1e-3])
def test_speech_is_what_is_louder_than_the_room(noise, gain):
    found = speech_frames(gain * samples((0, 0.5), (0.1, 2), (0, 0.6), (0.05, 1), (0, 0.5), noise=noise), SAMPLE_RATE)
    expected = np.zeros(230, dtype=bool)
    expected[25:125] = expected[155:205] = True
    assert len(found) == 230 and (found != expected).sum() <= 4


def test_short_pauses_are_filled_and_clicks_left_out():
    found = speech_frames(
        samples((0, 0.6), (0.1, 1), (0, 0.2), (0.1, 1), (0, 0.6), (0.1, 0.06), (0, 0.6), noise=1e-4), SAMPLE_RATE
    )
    assert found[30:140].all() and not found[:30].any() and not found[140:].any()


def test_silence_and_odd_lengths():
    assert not speech_frames(np.zeros(16001), SAMPLE_RATE).any()
    assert len(speech_frames(np.zeros(16001), SAMPLE_RATE)) == 51
    assert speech_frames(samples((0.1, 1), noise=0.0), SAMPLE_RATE).all()  # nobody pauses
