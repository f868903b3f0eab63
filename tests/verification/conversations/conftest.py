"""A folder of two short conversations, a development folder, and one real recording with RTTM."""

from pathlib import Path

import pytest

from csc_fairseq.cli.main import main
from csc_fairseq.data.rttm import Turn, write_rttm
from tests.making import voice, write_recording, write_recordings


@pytest.fixture(scope="session")
def conversations(once) -> Path:
    """Folder with two/ and dev/, written by `csc mix`, and real/."""

    def fill(folder: Path) -> None:
        signals = {f"s{i // 4}_{i % 4}.wav": voice(i // 4, i % 4, 2.0) for i in range(16)}
        write_recordings(folder / "test.tsv", signals, [name[:2] for name in signals])
        short = ["--minutes", "0.25", "--turn", "2", "3", "--enrolments", "1", "--absent", "1", "--overlap", "0.1"]
        for name, seed in (("two", 1), ("dev", 2)):
            words = ["--manifest", str(folder / "test.tsv"), *short, "--seed", str(seed), "--count", "2"]
            assert main(["mix", "--conversation", *words, "--out", str(folder / name)]) == 0
        write_recording(folder / "real" / "a.wav", voice(0, 9, 8.0))
        write_rttm(folder / "real" / "a.rttm", "a", [Turn("x", 0.0, 8.0)])

    return once("conversations", fill)
