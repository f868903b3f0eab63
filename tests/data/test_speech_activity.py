import numpy as np
import pytest

from csc_fairseq.data.speech_activity import active_frames, runs, stretches
from tests.making import SAMPLE_RATE, voice

FRAME = 320


def speech(*parts: tuple[float, float], noise: float = 0.0) -> np.ndarray:
    """Parts of (RMS, seconds) of noise, one after the other, over a floor of RMS `noise`."""
    rng = np.random.default_rng(0)
    loudness = np.concatenate([np.full(round(seconds * SAMPLE_RATE), rms) for rms, seconds in parts])
    return loudness * rng.standard_normal(len(loudness)) + noise * rng.standard_normal(len(loudness))


def test_runs():
    active = np.array([True, True, False, True, False, False, True])
    assert runs(active).tolist() == [[0, 2], [3, 4], [6, 7]]
    assert runs(np.zeros(4, dtype=bool)).shape == runs(np.zeros(0, dtype=bool)).shape == (0, 2)


@pytest.mark.parametrize("gain", [1.0, 1e-3])
@pytest.mark.parametrize("noise", [0.0, 1e-3, 0.006])
def test_speech_is_found_at_any_level_in_any_noise(gain, noise):
    """The faintest part is 26 dB below the loudest, the strongest noise 24 dB: then that part cannot be told from it."""
    samples = gain * speech((0, 0.5), (0.1, 1), (0, 0.6), (0.005 if noise < 0.005 else 0.05, 1), (0, 1), noise=noise)
    active = active_frames(samples, SAMPLE_RATE)
    expected = np.zeros(len(samples) // FRAME, dtype=bool)
    expected[25:75] = expected[105:155] = True
    assert (active == expected).mean() > 0.99
    assert np.abs(stretches(active) - [[25, 75], [105, 155]]).max() <= 1


def test_clicks_and_scraps_are_no_speech():
    samples = speech((0, 0.2), (0.3, 0.04), (0, 0.5), (0.1, 1), (0, 0.6), (0.1, 0.2), (0, 0.5))
    active = active_frames(samples, SAMPLE_RATE)
    assert not active[:37].any()
    assert stretches(active).tolist() == [[37, 87]]
    assert active[117:127].all()  # active, though no stretch


def test_pauses_up_to_the_limit_are_bridged():
    for frames, count in ((20, 1), (21, 2)):  # 0.40 and 0.42 s
        active = np.r_[np.ones(50, bool), np.zeros(frames, bool), np.ones(50, bool)]
        assert len(stretches(active)) == count


def test_nothing_to_find():
    for samples in (np.zeros(SAMPLE_RATE), np.zeros(10), np.zeros(0)):
        active = active_frames(samples, SAMPLE_RATE)
        assert not active.any() and stretches(active).shape == (0, 2)


def test_where_nobody_pauses_all_is_speech():
    active = active_frames(speech((0.1, 2)), SAMPLE_RATE)
    assert active.all() and stretches(active).tolist() == [[0, 100]]


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_seconds_do_not_depend_on_the_rate(rate):
    samples = np.concatenate([np.zeros(rate), np.random.default_rng(0).standard_normal(rate), np.zeros(rate)])
    assert stretches(active_frames(samples, rate)).tolist() == [[50, 100]]


def test_a_voice_keeps_its_energy():
    samples = voice(3, 1, 4.0)
    heard = np.repeat(active_frames(samples, SAMPLE_RATE), FRAME)
    samples = samples[: len(heard)]
    assert np.square(samples[heard]).sum() > 0.995 * np.square(samples).sum()
    assert 0.4 < heard.mean() < 0.95  # its rhythm has pauses
