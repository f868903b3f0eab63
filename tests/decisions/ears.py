"""A model that knows synthetic voices apart without training, and what hears a conversation of them, by hand."""

from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from csc_fairseq.decisions.calibration_file import Domain, ModelCalibration, Quality
from csc_fairseq.decisions.model_identity import ModelIdentity
from csc_fairseq.inference import talkers as talkers_module
from csc_fairseq.inference.embedding_model import EmbeddingModel
from csc_fairseq.inference.recordings import read_recordings
from csc_fairseq.verification.metrics.calibration import Calibration
from tests.making import SAMPLE_RATE, voice

BANDS, FFT = 24, 512
TURN = 4.0  # seconds: in a recording for `hears`, voices take turns of this length
LEVEL = 1e-4  # below it there is no voice


class Ears(EmbeddingModel):
    """The mean log energies of BANDS bands over time, less their overall mean; one stream. seed: of weights without influence."""

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        super().__init__(
            nn.Linear(2, 2),
            kind="ears",
            sample_rate=SAMPLE_RATE,
            identity_level="none",
            streams=1,
            embedding_size=BANDS,
            shortest=FFT,
            separates=False,
            padding_matters=True,
            period=1,
        )

    def _encode(self, waveforms: Tensor, padding_mask: Tensor | None) -> tuple[None, Tensor]:
        frames = torch.stft(waveforms, FFT, window=torch.hann_window(FFT), return_complex=True).abs().square()
        power = frames[:, 1 : 1 + 5 * BANDS].unflatten(1, (BANDS, 5)).sum(2).mean(-1)  # up to 3750 Hz
        bands = (power + 1e-6).log()
        return None, nn.functional.normalize(bands - bands.mean(1, keepdim=True), dim=-1).unsqueeze(1)


def turns(*voices: int, seconds: float = TURN) -> np.ndarray:
    """These synthetic voices one after the other, float32 [T]; −1 is silence. Takes that no enrolment has."""
    return np.concatenate(
        [
            np.zeros(round(seconds * SAMPLE_RATE), np.float32) if one < 0 else voice(one, 50 + place, seconds)
            for place, one in enumerate(voices)
        ]
    )


def hears(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """Gives models windows and talkers that are right for `turns`: a talker a turn that is not silent.

    Returns a list to which (length, hop) of every call of `windows` are added; (0, 0) where they were left out.
    """
    asked: list[tuple[float, float]] = []

    def windows(self, audio, sample_rate=None, *, length=0.0, hop=0.0, resample=False, waveforms=False):
        asked.append((length, hop))
        read = read_recordings(audio, None, model_rate=self.sample_rate, shortest=self.shortest, resample=resample)
        parts = read.waveforms[0].split(round(TURN * self.sample_rate))
        return SimpleNamespace(sample_rate=self.sample_rate, frame=320, model=self, parts=parts)

    def find_talkers(found, *, talkers=None, most=None):
        spoken = [part for part in found.parts if part.abs().max() > LEVEL]
        centres = np.array([found.model.embed(part.numpy()) for part in spoken]).reshape(len(spoken), BANDS)
        active = np.zeros((len(spoken), 1000), dtype=bool)
        for talker, part in enumerate(spoken):
            active[talker, : len(part) // found.frame] = True
        return SimpleNamespace(centres=centres, active=active)

    monkeypatch.setattr(EmbeddingModel, "windows", windows)
    monkeypatch.setattr(talkers_module, "find_talkers", find_talkers)
    return asked


@cache
def fitted() -> ModelCalibration:
    """A calibration of `Ears()` on voices 20 to 27, enrolled with two takes each."""
    model, speakers = Ears(), range(20, 28)
    enrolled = np.stack([model.embed([voice(one, take, 2.0) for take in (0, 1)]).mean(0) for one in speakers])
    enrolled /= np.linalg.norm(enrolled, axis=1, keepdims=True)
    tests = np.stack([model.embed([voice(one, take, 2.0) for take in (2, 3)]) for one in speakers])
    scores = np.einsum("ne,mte->nmt", enrolled, tests)
    same = np.eye(len(speakers), dtype=bool)
    domain = Domain("dev.tsv", "d" * 32, 32, 8, 2.0, 2, "speaker", ({"name": "clean"},), {}, {}, 16, 112, 0)
    quality = Quality(0.1, 0.3)
    return ModelCalibration(
        Calibration.fit(scores[same], scores[~same]),
        ModelIdentity.of(model, "ears.pt"),
        "none",
        domain,
        "2024-05-06",
        quality,
        {"clean": quality},
    )
