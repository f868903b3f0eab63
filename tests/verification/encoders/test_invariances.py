"""What a recorder does to a voice, and no voice does: level, sign, offset, rounding, a late start."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from csc_fairseq.backbones.csc import CscBackbone
from csc_fairseq.backbones.loading import backbone_from_settings
from csc_fairseq.data.audio import load_crop
from csc_fairseq.verification.encoders.registry import make_encoder
from tests.making import XVECTOR, saved, tiny, verifier_checkpoint, voice

PUBLISHED = Path(__file__).resolve().parents[3] / "examples" / "csc" / "pretrained"
CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "20 dB louder": lambda samples: samples * 10,
    "20 dB fainter": lambda samples: samples / 10,
    "turned over": lambda samples: -samples,
    "offset": lambda samples: samples + 0.03,
    "16 bits": lambda samples: np.round(samples * 2**15) / 2**15,
    "late": lambda samples: samples[3:],
}
LEAST = 0.99


@pytest.fixture(params=["csc_small.pt", "csc_small_unlabelled.pt", "mfcc", "xvector", "verifier on csc"])
def encoder(request, tmp_path):
    """The published ones, and kinds of which none is published, with random weights."""
    text = request.param
    torch.manual_seed(1)
    if text.endswith(".pt"):
        text = str(PUBLISHED / text)
    elif text == "xvector":
        text = str(saved(verifier_checkpoint(backbone_from_settings(XVECTOR)), tmp_path / "xvector.pt"))
    elif text == "verifier on csc":
        text = str(saved(verifier_checkpoint(CscBackbone(tiny(), 16000)), tmp_path / "verifier.pt"))
    return make_encoder(text, "cpu")


def require_invariance(encoder, recordings: Sequence[np.ndarray]) -> None:
    plain = encoder.enrol(recordings)
    # Random weights tell voices little apart: then a change must be far less than another voice.
    least = max(LEAST, 1 - (1 - (plain @ plain.T).min()) / 10)
    for name, change in CHANGES.items():
        changed = encoder.enrol([change(recording).astype(np.float32) for recording in recordings])
        assert (plain * changed).sum(1).min() > least, name


def test_synthetic_voices(encoder):
    require_invariance(encoder, [voice(speaker, 0) for speaker in range(3)])


def test_recorded_voices(encoder, shared_data):
    speech = sorted((shared_data / "speech").rglob("*.opus"))
    require_invariance(encoder, [load_crop(path, 0, -1, 16000) for path in speech[:: max(1, len(speech) // 6)]])
