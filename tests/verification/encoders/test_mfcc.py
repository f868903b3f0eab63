"""MFCCs against their definition, written out with loops; and what level and channel do to the embedding."""

import math

import numpy as np
import pytest
import soundfile

from csc_fairseq.data.manifest import read_labels, read_manifest
from csc_fairseq.errors import InputError
from csc_fairseq.modules.mel import mel_filters
from csc_fairseq.verification.encoders.mfcc import FFT, embedding, mfcc, mfcc_encoder


def test_keeps_what_an_encoder_promises(require_encoder):
    encoder = mfcc_encoder("mfcc")
    require_encoder(encoder)
    assert (encoder.name, encoder.sample_rate) == ("mfcc", 16000)


def mel(hertz):
    return 2595 * math.log10(1 + hertz / 700)


def triangle(band, hertz):
    """Weight of a frequency in a band, from the mel scale itself."""
    step = (mel(7600) - mel(20)) / 41
    low, centre, high = (700 * (10 ** ((mel(20) + (band + i) * step) / 2595) - 1) for i in range(3))
    if low < hertz <= centre:
        return (hertz - low) / (centre - low)
    return (high - hertz) / (high - centre) if centre < hertz < high else 0.0


def test_coefficients_by_definition(waveforms):
    waveform = waveforms[0].astype(np.float64)
    waveform -= waveform.mean()
    found = mfcc(waveforms[0])
    assert found.shape == (1 + (9000 - 400) // 160, 24)
    start = 7 * 160
    level = math.sqrt(np.mean(waveform**2))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)
    frame = waveform[start : start + 400] / level * window
    bins = np.arange(257)
    spectrum = np.exp(-2j * np.pi * bins[:, None] * np.arange(400) / 512) @ frame
    logs = [
        math.log(sum(triangle(band, k * 16000 / 512) * abs(spectrum[k]) ** 2 for k in range(257))) for band in range(40)
    ]
    for k in (1, 2, 13, 24):
        expected = math.sqrt(2 / 40) * sum(logs[b] * math.cos(math.pi * k * (b + 0.5) / 40) for b in range(40))
        assert found[7, k - 1] == pytest.approx(expected, abs=1e-6)


def test_filters_overlap_to_one():
    filters = mel_filters(16000, FFT)
    step = (mel(7600) - mel(20)) / 41
    mels = np.array([mel(k * 16000 / 512) for k in range(257)])
    inside = (mels >= mel(20) + step) & (mels <= mel(7600) - step)  # from the first centre to the last
    np.testing.assert_allclose(filters.sum(axis=0)[inside], 1, atol=1e-9)
    outside = (mels <= mel(20)) | (mels >= mel(7600))
    np.testing.assert_array_equal(filters[:, outside], 0)
    assert (filters.max(axis=1) > 0).all(), "a band without a bin has no energy"


@pytest.mark.parametrize(
    "change", [lambda x: 0.01 * x, lambda x: -x, lambda x: x + 0.1], ids=["level", "sign", "offset"]
)
def test_level_sign_and_offset_are_not_heard(waveforms, change):
    np.testing.assert_allclose(embedding(change(waveforms[0])), embedding(waveforms[0]), atol=1e-3)


def test_a_late_start_is_hardly_heard(waveforms):
    whole, late = mfcc_encoder("mfcc").enrol([waveforms[0], waveforms[0][37:]])
    assert whole @ late > 0.99


def test_a_channel_moves_the_mean_alone(waveforms):
    """A filter multiplies the spectrum, hence adds to the cepstrum; that is what this baseline is there to show."""
    channel = np.array([1.0, -0.6])
    filtered = np.convolve(waveforms[1], channel)[: len(waveforms[1])]
    change = embedding(filtered) - embedding(waveforms[1])
    mean, deviation = np.abs(change[:24]), np.abs(change[24:])
    assert mean.max() > 10 * deviation.max()
    response = np.abs(np.fft.rfft(channel, 512)) ** 2
    filters = mel_filters(16000, FFT)
    logs = np.log((filters @ response) / filters.sum(axis=1))
    k = np.arange(1, 5)
    expected = math.sqrt(2 / 40) * np.cos(np.pi * k[:, None] * (np.arange(40) + 0.5) / 40) @ logs * np.sqrt(k)
    np.testing.assert_allclose(change[:4], expected, atol=0.2)


def test_short_recordings_and_gaps(waveforms):
    one_frame = mfcc_encoder("mfcc").enrol([waveforms[0][:400]])
    np.testing.assert_array_equal(one_frame[0, 24:], 0)  # nothing deviates
    with pytest.raises(InputError, match="has 399 samples, expected 400"):
        mfcc_encoder("mfcc").enrol([waveforms[0][:399]])
    gap = waveforms[0].copy()
    gap[2000:5000] = 0  # digital silence has no logarithm
    assert np.isfinite(mfcc_encoder("mfcc").enrol([gap])).all()


def test_tells_synthetic_voices_apart(voices):
    manifest = read_manifest(voices / "test.tsv")
    speakers = np.array(read_labels(manifest, "spk"))
    samples = [soundfile.read(manifest.file(i), dtype="float32")[0] for i in range(len(manifest))]
    rows = mfcc_encoder("mfcc").enrol(samples)
    same = speakers[:, None] == speakers
    scores = rows @ rows.T
    np.fill_diagonal(scores, np.nan)
    assert np.nanmin(scores[same]) > np.nanmax(scores[~same])
