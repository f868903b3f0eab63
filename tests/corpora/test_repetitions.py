"""Pairs that are there twice are found, by name and by samples, and nothing else is."""

import shutil
from pathlib import Path

import numpy as np
import soundfile

from csc_fairseq.corpora.repetitions import twins_by_audio, twins_by_name

RATE = 16000


def test_by_name():
    names = [
        "a/1.flac",
        "a/1.wav",
        "b/1.wav",
        "José.wav",
        "Jose\u0301.flac",
        "a/1.opus",
        "a/1.2.wav",
        "a.1/x",
        "a.1/x.wav",
    ]
    assert twins_by_name(names) == {1: 0, 4: 3, 5: 0, 8: 7}


def test_by_audio(tmp_path: Path):
    rng = np.random.default_rng(0)
    take = rng.integers(-9000, 9000, RATE).astype(np.int16)
    other = take.copy()
    other[-1] += 1  # as long, and alike to the last sample
    signals = {"a.wav": take, "b.wav": other, "c.flac": take, "d.wav": take[:-1], "e.wav": -take, "f.wav": take[::2]}
    for name, samples in signals.items():
        soundfile.write(tmp_path / name, samples, RATE // 2 if name == "f.wav" else RATE)
    shutil.copy(tmp_path / "b.wav", tmp_path / "g.wav")
    (tmp_path / "h.wav").write_bytes(b"nothing")
    files = sorted(tmp_path.iterdir())
    frames = [len(signals.get(file.name, take)) for file in files]
    frames[5] = RATE  # at the target rate
    assert twins_by_audio(files, frames, RATE, True, 2) == {2: 0, 6: 1}


def test_by_audio_reads_all_of_long_recordings(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("csc_fairseq.corpora.repetitions.BLOCK_SECONDS", 1)
    for name, last in (("a.wav", 0.1), ("b.wav", 0.2), ("c.wav", 0.1)):
        samples = np.zeros(int(2.5 * RATE), np.float32)
        samples[-1] = last
        soundfile.write(tmp_path / name, samples, RATE)
    files = sorted(tmp_path.iterdir())
    assert twins_by_audio(files, [int(2.5 * RATE)] * 3, RATE, False, 1) == {2: 0}
