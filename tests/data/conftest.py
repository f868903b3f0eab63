"""Small synthetic corpora for the tests of this folder."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from csc_fairseq.data.manifest import Manifest
from csc_fairseq.data.pool import RecordingPool
from tests.making import SAMPLE_RATE, voice, write_recordings


@pytest.fixture
def make_manifest(tmp_path: Path) -> Callable[..., Manifest]:
    """make_manifest("noise", {"a.wav": samples, ...}) writes the files and their manifest."""

    def make(name: str, signals: Mapping[str, np.ndarray], sample_rate: int = SAMPLE_RATE) -> Manifest:
        return write_recordings(tmp_path / f"{name}.tsv", signals, sample_rate=sample_rate)

    return make


@pytest.fixture
def make_pool(make_manifest: Callable[..., Manifest]) -> Callable[..., RecordingPool]:
    """make_pool([[n, ...], ...]): for each speaker the lengths of the recordings in samples, labels "spk0", "spk1", ...

    level="utterance" labels every recording by itself; known: how many of the labels are in the identity table.
    """

    def make(
        lengths: list[list[int]], level: str = "speaker", known: int | None = None, suffix: str = "wav", **options
    ) -> RecordingPool:
        signals, labels = {}, []
        for speaker, recordings in enumerate(lengths):
            for recording, samples in enumerate(recordings):
                name = f"spk{speaker}/{recording}.{suffix}"
                signals[name] = voice(speaker, recording, samples / SAMPLE_RATE)
                labels.append(name if level == "utterance" else f"spk{speaker}")
        table = {label: row for row, label in enumerate(sorted(set(labels))[:known])}
        return RecordingPool(make_manifest("speech", signals), labels, table, SAMPLE_RATE, **options)

    return make
