"""Every kind of input, and the complaint about every bad one."""

import re

import numpy as np
import pytest
import soxr
import torch

from csc_fairseq.errors import InputError


def test_answers_in_the_kind_asked(model, voice, write):
    samples = voice(8000)
    path = write("a.wav", samples)
    for embed, shape in ((model.embed, (12,)), (model.embed_sources, (2, 12))):
        from_path, from_array, from_tensor = embed(path), embed(samples), embed(torch.from_numpy(samples), 16000)
        assert isinstance(from_path, np.ndarray) and isinstance(from_array, np.ndarray)
        assert isinstance(from_tensor, torch.Tensor) and not from_tensor.requires_grad
        assert from_path.shape == from_array.shape == tuple(from_tensor.shape) == shape
        assert from_path.dtype == np.float32
        np.testing.assert_array_equal(from_path, from_array)
        np.testing.assert_array_equal(from_path, from_tensor.numpy())
        assert embed(str(path)).shape == shape
        assert embed(samples[None].repeat(3, 0)).shape == (3, *shape)
        assert embed([path, path]).shape == (2, *shape)
        np.testing.assert_allclose(np.linalg.norm(from_path, axis=-1), 1, atol=1e-6)
        np.testing.assert_array_equal(embed(samples.astype(np.float64)), from_path)
        np.testing.assert_array_equal(embed(samples[::-1].copy()[::-1]), from_path)  # a view with a negative stride


def test_separate_keeps_the_kind_and_length(model, voice, write):
    short, long = voice(3001), voice(8000, 1)
    assert model.separate(write("a.wav", short)).shape == (2, 3001)
    assert isinstance(model.separate(torch.from_numpy(short)), torch.Tensor)
    streams = model.separate([short, long])
    assert [stream.shape for stream in streams] == [(2, 3001), (2, 8000)]
    batch = np.zeros((2, 8000), np.float32)
    batch[0, :3001], batch[1] = short, long
    padded = model.separate(batch, lengths=[3001, 8000])
    assert padded.shape == (2, 2, 8000)
    np.testing.assert_array_equal(padded[0, :, 3001:], 0)
    np.testing.assert_allclose(padded[0, :, :3001], streams[0], atol=1e-6)


def test_other_rate_is_refused_or_resampled(model, voice, write):
    samples = voice(8000)
    path = write("slow.wav", samples, rate=8000)
    with pytest.raises(InputError, match="slow.wav: has 8000 Hz, expected 16000 Hz"):
        model.embed(path)
    with pytest.raises(InputError, match="input: has 8000 Hz, expected 16000 Hz"):
        model.embed(samples, sample_rate=8000)
    expected = model.embed(soxr.resample(samples, 8000, 16000))
    np.testing.assert_allclose(model.embed(samples, sample_rate=8000, resample=True), expected, atol=1e-5)
    np.testing.assert_allclose(model.embed(path, resample=True), expected, atol=1e-5)
    assert model.separate(samples, sample_rate=8000, resample=True).shape == (2, 16000)


def test_bad_arrays(model, voice):
    samples = voice(2000)
    broken = samples.copy()
    broken[7] = np.nan
    cases = [
        (broken, "input: has NaN or infinite samples"),
        ([samples, broken], r"input\[1\]: has NaN or infinite samples"),
        (np.zeros(0, np.float32), "has 0 samples at 16000 Hz, expected 64 at least"),
        (samples[:63], "has 63 samples at 16000 Hz, expected 64 at least"),
        (samples.reshape(-1, 2), "has 2 samples"),  # (samples, channels), read as a batch of two-sample recordings
        (samples.reshape(2, 1, -1), r"shape \(2, 1, 1000\), expected mono audio"),
        ([samples.reshape(2, -1)], r"input\[0\]: has shape \(2, 1000\), expected one mono recording"),
        ((samples * 32768).astype(np.int16), "samples are int16, expected floating point"),
        ([], "no recording was given"),
        ([3], "is a int, expected a path"),
        ([samples, torch.from_numpy(samples)], "pass one kind"),
        (np.zeros(2000, np.float32), "input: is digitally silent"),
        (torch.full((2000,), -1 / 128), "input: is digitally silent"),
    ]
    for audio, message in cases:
        with pytest.raises(InputError, match=message) as caught:
            model.embed(audio)
        assert "\n" not in str(caught.value)
    for lengths in ([2000], [2000, 2001], [0, 5]):
        with pytest.raises(InputError, match=re.escape(f"lengths are {lengths}, expected 2 values from 1 to 2000")):
            model.embed(np.stack([samples, samples]), lengths=lengths)
    with pytest.raises(InputError, match="lengths= is for an array"):
        model.embed(samples, lengths=[5])


def test_bad_files(model, voice, write, tmp_path):
    samples = voice(2000)
    broken = samples.copy()
    broken[7] = np.inf
    (tmp_path / "text.wav").write_text("not audio")
    cases = [
        (tmp_path / "absent.wav", "absent.wav: no such file"),
        (tmp_path / "text.wav", "text.wav: is not intact"),
        (write("stereo.wav", np.stack([samples, samples], axis=1)), "stereo.wav: has 2 channels"),
        (write("nan.wav", broken), "nan.wav: has NaN or infinite samples"),
        (write("empty.wav", samples[:0]), "empty.wav: is empty"),
        (write("short.wav", samples[:50]), "short.wav: has 50 samples"),
        (write("silent.wav", 0 * samples), "silent.wav: is digitally silent"),
        (write("constant.wav", 0 * samples + 0.01), "constant.wav: is digitally silent"),
    ]
    for path, message in cases:
        with pytest.raises(InputError, match=message):
            model.embed([write("good.wav", samples), path])
        with pytest.raises(InputError, match=message):
            model.score(write("good.wav", samples), path)
    with pytest.raises(InputError, match="files state their own rate"):
        model.embed(write("good.wav", samples), sample_rate=16000)


def test_silence_can_be_separated(model):
    np.testing.assert_allclose(model.separate(np.zeros(4000, np.float32)), 0, atol=1e-6)
