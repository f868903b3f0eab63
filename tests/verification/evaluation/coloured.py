"""Speakers that are noises of different colours: enough to be told apart, not without errors."""

from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import lfilter

from csc_fairseq.data.manifest import write_labels, write_manifest

RATE = 16000


def write_speech(folder: Path, name: str, speakers: int, first: int = 0) -> Path:
    """Manifest name.tsv with .spk, two or three recordings a speaker; its path. first: number of the first speaker."""
    entries, labels = [], []
    for speaker in range(first, first + speakers):
        for utterance in range(3 if speaker % 3 else 2):
            rng = np.random.default_rng([speaker, utterance])
            samples = 4800 + 800 * int(rng.integers(5))
            colour = [1, 0.9 * np.sin(speaker) + 0.25 * rng.standard_normal(), 0.5 * np.cos(3 * speaker)]
            file = f"s{speaker}/{utterance}.wav"
            (folder / name / file).parent.mkdir(parents=True, exist_ok=True)
            wave = lfilter(colour, 1, 0.05 * rng.standard_normal(samples))
            soundfile.write(folder / name / file, wave, RATE, subtype="FLOAT")
            entries.append((file, samples))
            labels.append(f"s{speaker}")
    write_manifest(folder / f"{name}.tsv", folder / name, entries)
    write_labels(folder / f"{name}.spk", labels)
    return folder / f"{name}.tsv"
