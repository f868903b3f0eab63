"""A folder of two short conversations, a development folder of other speakers, and one real recording with RTTM."""

from pathlib import Path

import pytest

from csc_fairseq.cli.main import main
from csc_fairseq.data.rttm import Turn, write_rttm
from tests.making import voice, write_recording, write_recordings


@pytest.fixture(scope="session")
def conversations(once) -> Path:
    """Folder with two/ and dev/, written by `csc mix`, and real/."""

    def fill(folder: Path) -> None:
        short = ["--minutes", "0.25", "--turn", "2", "3", "--enrolments", "1", "--absent", "1", "--overlap", "0.1"]
        for name, first in (("two", 0), ("dev", 4)):
            takes = [(speaker, take) for speaker in range(first, first + 4) for take in range(4)]
            signals = {f"s{speaker}_{take}.wav": voice(speaker, take, 2.0) for speaker, take in takes}
            manifest = write_recordings(folder / f"{name}.tsv", signals, [name[:2] for name in signals])
            words = ["--manifest", str(manifest.path), *short, "--seed", "1", "--count", "2"]
            assert main(["mix", "--conversation", *words, "--out", str(folder / name)]) == 0
        write_recording(folder / "real" / "a.wav", voice(0, 9, 8.0))
        write_rttm(folder / "real" / "a.rttm", "a", [Turn("x", 0.0, 8.0)])

    return once("conversations", fill)
