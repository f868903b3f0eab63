"""A model file with random weights and a small corpus, for the verbs that take a model or a manifest."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from csc_fairseq.inference.speaker_encoder import SpeakerEncoder
from tests.making import bundled, speaker_encoder, voice, write_recordings


@pytest.fixture
def encoder() -> SpeakerEncoder:
    return speaker_encoder()


@pytest.fixture
def bundle(encoder: SpeakerEncoder, tmp_path: Path) -> str:
    """Path of its model file."""
    return str(bundled(encoder, tmp_path / "model.pt"))


@cache
def takes() -> dict[str, np.ndarray]:
    """Three of each of four speakers, of 0.5 to 0.9 s."""
    return {f"s{i // 3}_{i % 3}.wav": voice(i // 3, i % 3, (8000 + 600 * i) / 16000) for i in range(12)}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Folder with train.tsv, train.spk and their recordings: four speakers, three recordings each."""
    root = tmp_path / "corpus"
    write_recordings(root / "train.tsv", takes(), [f"speaker{name[1]}" for name in takes()], root)
    return root
