"""A model file with random weights and a small corpus, for the verbs that take a model or a manifest."""

import numpy as np
import pytest
import soundfile
import torch

from csc_fairseq.data.manifest import write_labels, write_manifest
from csc_fairseq.inference.checkpoint import save_bundle
from csc_fairseq.inference.speaker_encoder import SpeakerEncoder
from csc_fairseq.modules.separative_encoder import SeparativeEncoder, SeparativeEncoderConfig


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    config = SeparativeEncoderConfig(
        waveform_channels=16,
        window=64,
        channels=8,
        attention_heads=2,
        recurrent_channels=8,
        shared_blocks=1,
        embedding_channels=12,
        memory_size=4,
    )
    return SpeakerEncoder(SeparativeEncoder(config), 16000, "speaker")


@pytest.fixture
def bundle(encoder, tmp_path):
    """Path of a model file."""
    save_bundle(encoder, tmp_path / "model.pt")
    return str(tmp_path / "model.pt")


@pytest.fixture
def corpus(tmp_path):
    """Folder with train.tsv and train.spk: four speakers, three recordings each of 0.5 to 0.9 s, 16 kHz."""
    root = tmp_path / "corpus"
    root.mkdir()
    entries, speakers = [], []
    for i in range(12):
        samples = 8000 + 600 * i
        rng = np.random.default_rng(i)
        tone = np.sin(2 * np.pi * (110 + 40 * (i // 3)) * np.arange(samples) / 16000)
        wave = 0.1 * tone * rng.uniform(0.5, 1.5) + 0.01 * rng.standard_normal(samples)
        soundfile.write(root / f"s{i // 3}_{i % 3}.wav", wave, 16000, subtype="FLOAT")
        entries.append((f"s{i // 3}_{i % 3}.wav", samples))
        speakers.append(f"speaker{i // 3}")
    write_manifest(root / "train.tsv", root, entries)
    write_labels(root / "train.spk", speakers)
    return root
