"""Fixtures for all tests: real data where it is at hand, and speech-like voices that the tests synthesise."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

SAMPLE_RATE = 16000


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of recorded speech, noise and room responses; named by CSC_SHARED_DATA, else beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("CSC_SHARED_DATA", beside))
    if not (folder / "speakers.tsv").is_file():
        pytest.skip(f"no recorded speech at {folder}; name its folder with CSC_SHARED_DATA")
    return folder


def voice(speaker: int, take: int, seconds: float = 2.5) -> np.ndarray:
    """A speech-like take of a synthetic speaker, float32 [T] at 16 kHz.

    A speaker is a pitch and three formants; a take is a melody and a syllable rhythm. Takes differ in content, not in voice, so
    speakers can be told apart and, in mixtures, separated.
    """
    traits = np.random.default_rng([7, speaker])
    pitch, formants = traits.uniform(90, 260), traits.uniform((300, 900, 2000), (800, 1900, 3200))
    rng = np.random.default_rng([11, speaker, take])
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    knots = np.linspace(0, seconds, max(3, round(seconds * 4)))
    melody = np.interp(time, knots, rng.uniform(0.9, 1.1, len(knots)))
    phase = 2 * np.pi * np.cumsum(pitch * melody) / SAMPLE_RATE
    rhythm = np.clip(np.interp(time, knots, rng.uniform(-0.3, 1.0, len(knots))), 0, None)
    samples = np.zeros_like(time)
    for harmonic in range(1, int(3800 / pitch)):
        gain = np.exp(-(((harmonic * pitch - formants) / 150) ** 2)).sum() + 0.02
        samples += gain * np.sin(harmonic * phase)
    samples = samples * rhythm + 0.001 * rng.standard_normal(len(time))
    return (0.1 * samples / np.abs(samples).max()).astype(np.float32)


def write_split(folder: Path, split: str, takes: dict[int, range]) -> None:
    """Synthesises `takes` per speaker into folder/audio and writes folder/split.tsv and split.spk."""
    lines, speakers = [str(folder / "audio")], []
    for speaker, numbers in takes.items():
        for take in numbers:
            name = f"s{speaker:02d}/t{take:02d}.flac"
            samples = voice(speaker, take)
            (folder / "audio" / name).parent.mkdir(parents=True, exist_ok=True)
            sf.write(folder / "audio" / name, samples, SAMPLE_RATE)
            lines.append(f"{name}\t{len(samples)}")
            speakers.append(f"s{speaker:02d}")
    (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    (folder / f"{split}.spk").write_text("\n".join(speakers) + "\n")


@pytest.fixture(scope="session")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifests train (8 speakers), valid (the same speakers, other takes) and test (4 other speakers) of synthetic voices."""
    folder = tmp_path_factory.mktemp("voices")
    write_split(folder, "train", {speaker: range(4) for speaker in range(8)})
    write_split(folder, "valid", {speaker: range(4, 6) for speaker in range(8)})
    write_split(folder, "test", {speaker: range(3) for speaker in range(8, 12)})
    return folder
