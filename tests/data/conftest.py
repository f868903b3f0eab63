"""Small synthetic corpora for the tests of this folder."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile

from csc_fairseq.data.manifest import Manifest, read_manifest, write_manifest
from csc_fairseq.data.pool import RecordingPool

SAMPLE_RATE = 16000


def voice(speaker: int, recording: int, frames: int) -> np.ndarray:
    """A harmonic tone of the speaker's pitch with syllables of 250 ms, over a faint noise floor."""
    rng = np.random.default_rng([speaker, recording])
    time = np.arange(frames) / SAMPLE_RATE
    pitch = (90 + 25 * speaker) * (1 + 0.01 * recording)
    tone = sum(np.sin(2 * np.pi * pitch * k * time + rng.uniform(0, 6)) / k for k in range(1, 6))
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * time + rng.uniform(0, 6))
    return (0.1 * tone * syllables + 0.001 * rng.standard_normal(frames)).astype(np.float32)


@pytest.fixture
def make_manifest(tmp_path: Path) -> Callable[..., Manifest]:
    """make_manifest("noise", {"a.wav": samples, ...}) writes the files and their manifest."""

    def make(name: str, signals: Mapping[str, np.ndarray], sample_rate: int = SAMPLE_RATE) -> Manifest:
        root = tmp_path / name
        for file, samples in signals.items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            subtype = "FLOAT" if file.endswith(".wav") else None
            soundfile.write(root / file, samples, sample_rate, subtype=subtype)
        path = tmp_path / f"{name}.tsv"
        write_manifest(path, root, [(file, len(samples)) for file, samples in signals.items()])
        return read_manifest(path)

    return make


@pytest.fixture
def make_pool(make_manifest: Callable[..., Manifest]) -> Callable[..., RecordingPool]:
    """make_pool([[n, ...], ...]): for each speaker the lengths of the recordings in samples, labels "spk0", "spk1", ...

    level="utterance" labels every recording by itself; known: how many of the labels are in the identity table.
    """

    def make(
        lengths: list[list[int]], level: str = "speaker", known: int | None = None, suffix: str = "wav", **options
    ):
        signals, labels = {}, []
        for speaker, recordings in enumerate(lengths):
            for recording, frames in enumerate(recordings):
                name = f"spk{speaker}/{recording}.{suffix}"
                signals[name] = voice(speaker, recording, frames)
                labels.append(name if level == "utterance" else f"spk{speaker}")
        table = {label: row for row, label in enumerate(sorted(set(labels))[:known])}
        return RecordingPool(make_manifest("speech", signals), labels, table, SAMPLE_RATE, **options)

    return make
