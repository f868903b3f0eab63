"""A tiny encoder with random weights, and recordings for it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from csc_fairseq.inference.speaker_encoder import SpeakerEncoder
from tests.making import SAMPLE_RATE, speaker_encoder, syllables, write_recording


@pytest.fixture
def model() -> SpeakerEncoder:
    return speaker_encoder()


@pytest.fixture
def unaligned(model) -> SpeakerEncoder:
    """The same, of recordings as they begin, so that plain passes of the network can be compared with it."""
    model.period = 1
    return model


@pytest.fixture
def voice() -> Callable[..., np.ndarray]:
    """voice(samples, seed): noise whose loudness moves as speech's does, float32 [samples]."""
    return syllables


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """write(name, samples, rate): a float WAV file; its path."""

    def make(name: str, samples: np.ndarray, rate: int = SAMPLE_RATE) -> Path:
        return write_recording(tmp_path / name, samples, rate)

    return make
