"""A small encoder with random weights, and recordings for it."""

import numpy as np
import pytest
import soundfile
import torch

from csc_fairseq.inference.speaker_encoder import SpeakerEncoder
from csc_fairseq.modules.separative_encoder import SeparativeEncoder, SeparativeEncoderConfig

TINY = SeparativeEncoderConfig(
    waveform_channels=24,
    window=64,
    channels=16,
    segment_frames=8,
    segment_summaries=4,
    recurrent_channels=8,
    attention_heads=2,
    shared_blocks=1,
    stream_channels=16,
    embedding_channels=12,
    memory_size=5,
    memory_heads=2,
)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return SpeakerEncoder(SeparativeEncoder(TINY), 16000, "speaker")


@pytest.fixture
def voice():
    """voice(samples, seed): noise whose loudness moves as speech's does, float32 [samples]."""

    def make(samples, seed=0):
        rng = np.random.default_rng(seed)
        syllables = np.arange(0, samples + 3200, 1600)
        envelope = np.interp(np.arange(samples), syllables, rng.uniform(0, 1, len(syllables)))
        return (0.1 * envelope * rng.standard_normal(samples)).astype(np.float32)

    return make


@pytest.fixture
def write(tmp_path):
    """write(name, samples, rate): a float WAV file; its path."""

    def make(name, samples, rate=16000):
        soundfile.write(tmp_path / name, samples, rate, subtype="FLOAT")
        return tmp_path / name

    return make
