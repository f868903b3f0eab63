import numpy as np
import pytest
from scipy.signal import fftconvolve

from csc_fairseq.data.augment import NoiseBank, RirBank, gain_to, place, power, reverberate, white_noise
from csc_fairseq.data.pool import RecordingError


def test_power_and_gain():
    samples = np.array([3, -4, 0, 5], dtype=np.float32)
    assert power(samples) == 12.5
    scaled = samples * gain_to(-20, power(samples))
    assert np.sqrt(np.mean(scaled**2)) == pytest.approx(0.005)


def test_power_of_tiny_samples_keeps_its_precision():
    assert power(np.full(10, 1e-25, dtype=np.float32)) == pytest.approx(1e-50)


@pytest.mark.parametrize(
    ("offset", "expected", "filled"),
    [
        (0, [1, 2, 3, 0, 0], (0, 3)),
        (1, [0, 1, 2, 3, 0], (1, 4)),
        (3, [0, 0, 0, 1, 2], (3, 5)),
        (-2, [3, 0, 0, 0, 0], (0, 1)),
    ],
)
def test_place(offset, expected, filled):
    view, extent = place(np.array([1, 2, 3], dtype=np.float32), offset, 5)
    assert view.tolist() == expected
    assert (extent.start, extent.stop) == filled


def test_place_cuts_on_both_sides():
    view, extent = place(np.arange(10, dtype=np.float32), -3, 4)
    assert view.tolist() == [3, 4, 5, 6]
    assert (extent.start, extent.stop) == (0, 4)


def test_reverberate_against_numpy():
    rng = np.random.default_rng(0)
    dry, response = rng.standard_normal(300).astype(np.float32), rng.standard_normal(50).astype(np.float32)
    response[17] = -9
    wet, delay = reverberate(dry, response)
    np.testing.assert_allclose(wet, np.convolve(dry, response), atol=1e-4)
    assert wet.dtype == np.float32
    assert delay == 17


def test_reverberation_keeps_the_direct_path_in_place():
    response = np.zeros(4000, dtype=np.float32)
    response[73] = -0.8  # the direct path, of either sign
    response[[400, 1100, 2500]] = [0.3, -0.2, 0.1]
    dry = np.random.default_rng(1).standard_normal(8000).astype(np.float32)
    wet, delay = reverberate(dry, response)
    heard, _ = place(wet, 1000 - delay, 12000)
    placed, _ = place(dry, 1000, 12000)
    correlation = fftconvolve(heard, placed[::-1])
    assert np.abs(correlation).argmax() == len(placed) - 1  # lag 0


def test_silent_room_response_is_an_error(make_manifest):
    bank = RirBank(make_manifest("rir", {"good.wav": np.ones(10), "zeros.wav": np.zeros(10)}), 16000)
    assert bank.response(0).tolist() == [1] * 10
    with pytest.raises(RecordingError, match=r"zeros\.wav.*rir\.tsv:3"):
        bank.response(1)


@pytest.mark.parametrize("cache_megabytes", [0, 1])
def test_noise_stretch_is_read_or_repeated(make_manifest, cache_megabytes):
    ramp = np.arange(100) / 128
    bank = NoiseBank(make_manifest("noise", {"ramp.wav": ramp}), 16000, cache_megabytes=cache_megabytes)
    np.testing.assert_array_equal(bank.stretch(0, 20, 50), ramp[20:70])
    np.testing.assert_array_equal(bank.stretch(0, 0, 100), ramp)
    np.testing.assert_array_equal(bank.stretch(0, 0, 250), np.concatenate([ramp, ramp, ramp[:50]]))


def test_white_noise_is_seeded_unit_and_white():
    noise = white_noise(5, 100_000)
    np.testing.assert_array_equal(noise, white_noise(5, 100_000))
    assert abs(np.corrcoef(noise, white_noise(6, 100_000))[0, 1]) < 0.02
    assert power(noise) == pytest.approx(1, abs=0.02)
    assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < 0.02
