"""Miniatures of corpora in their published layouts, of synthesised speech: names, tables and quirks are those of the real ones."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tests.making import SAMPLE_RATE, voice, write_recording

SECONDS = 0.3
FRAMES = round(SECONDS * SAMPLE_RATE)


def speak(
    path: Path, speaker: int, take: int, seconds: float = SECONDS, sample_rate: int = SAMPLE_RATE, channels: int = 1
) -> Path:
    """One recording; of several channels, the first has the voice and the others are softer."""
    samples = voice(speaker, take, seconds * sample_rate / SAMPLE_RATE)
    if channels > 1:
        samples = np.stack([samples / (channel + 1) for channel in range(channels)], axis=1)
    return write_recording(path, samples, sample_rate)


def write_text(path: Path, lines: Iterable[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def librispeech(root: Path) -> Path:
    """Two speakers of train-clean-100 with two chapters, one of dev-clean, two of test-other. Reader 60's name holds bars."""
    chapters = {
        "train-clean-100": {"19": ("198", "227"), "60": ("121082", "121538")},
        "dev-clean": {"84": ("121123",)},
        "test-other": {"367": ("130732",), "533": ("1066",)},
    }
    for subset, speakers in chapters.items():
        for speaker, own in speakers.items():
            for chapter in own:
                folder = root / subset / speaker / chapter
                texts = []
                for number in range(3):
                    name = f"{speaker}-{chapter}-{number:04}"
                    speak(folder / f"{name}.flac", int(speaker), int(chapter) % 1000 * 10 + number)
                    texts.append(f"{name} CHAPTER {('ONE', 'TWO', 'THREE')[number]} IT'S")
                write_text(folder / f"{speaker}-{chapter}.trans.txt", texts)
    write_text(
        root / "SPEAKERS.TXT",
        [
            "; Some pieces of information about the LibriVox audiobook readers.",
            ";",
            ";ID  |SEX| SUBSET           |MINUTES| NAME",
            "19   | F | train-clean-100  | 25.19 | Kara Shallenberg",
            "60   | M | train-clean-100  | 20.18 | |CBW|Simon",
            "84   | F | dev-clean        | 8.02  | Christie Nowak",
            "367  | F | test-other       | 8.02  | Kathleen Costa",
            "533  | M | test-other       | 8.02  | Someone Else",
        ],
    )
    write_text(root / "CHAPTERS.TXT", ["; not read"])
    return root
