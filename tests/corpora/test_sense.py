"""What looks wrong with speakers that are folders: each suspicion alone, and corpora that raise none."""

from pathlib import Path

import pytest

from csc_fairseq.cli.main import main
from csc_fairseq.corpora.preparation import Recording
from csc_fairseq.corpora.sense import suspicions
from tests.corpora.trees import speak


def told(*names: str, level: int = 1, root: str = "/data", split: str = "train") -> list[str]:
    """For recordings of these names, whose speaker is the folder of that level."""
    recordings = [Recording(name, 1, "/".join(name.split("/")[:level])) for name in names]
    return suspicions(Path(root), {split: recordings})


def takes(*folders: str, count: int = 2, ending: str = ".wav") -> list[str]:
    return [f"{folder}/{take}{ending}" for folder in folders for take in range(count)]


@pytest.mark.parametrize(
    "folders",
    [
        ("anna", "ben", "cleo"),
        tuple(f"s{number}" for number in range(1, 35)),  # GRID's speakers
        ("mixa", "noise2", "mick", "s1"),
        ("trainer", "tester"),
    ],
)
def test_speakers_raise_no_doubt(folders: tuple[str, ...]):
    assert told(*takes(*folders)) == []


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (
            takes("mix_clean", "s1", "s2"),
            "mix_clean, s1, s2: look like mixtures and their sources, not like speakers; prepare",
        ),
        (
            takes("mix_both", "mix_single", "noise", "s1", "s2"),
            "mix_both, mix_single, noise, s1, …: look like mixtures",
        ),
        (takes("s1", "s2"), "s1, s2: look like mixtures and their sources"),
        (takes("mic1", "mic2"), "mic1, mic2: look like microphones, not like speakers; choose another --speaker-level"),
        (
            takes("train", "dev", "test"),
            "dev, test, train: look like splits, not like speakers; prepare them with --speaker-level 2",
        ),
        (takes("train-clean-100", "train-other-500"), "train-clean-100, train-other-500: look like splits"),
        (
            ["a/1_mic1.flac", "a/1_mic2.flac", "b/1_mic1.flac"],
            "mic1, mic2 at the ends of names: each utterance is there once",
        ),
        (takes("a", "b", "c", count=1), "one recording for each of 3 speakers: training on speakers needs two"),
        (takes("all"), "one speaker with 2 recordings each: are these folders speakers? if not, choose another"),
        (takes("libri", "vox", count=201), "2 speakers with 201 recordings each: are these folders speakers?"),
    ],
)
def test_each_doubt(names: list[str], found: str):
    (line,) = told(*names)
    assert line.startswith(found) and "\n" not in line


def test_the_verb_that_fits():
    assert "`csc prepare librispeech /data`" in told(*takes("train-clean-100"))[0]
    assert "csc prepare vctk" in told("a/1_mic1.flac", "a/1_mic2.flac")[0]
    assert "`csc prepare audio /data --valid-share 0.05`" in told("a/1.wav", "b/1.wav")[0]


def test_official_test_data_in_train():
    names = takes("test-clean/61", "train-clean-100/19")
    (line,) = told(*names, level=2)
    assert line.startswith(
        "test-clean: official development and test data are train here; type `csc prepare librispeech`"
    )
    assert told(*names, level=2, split="test") == []
    assert told(*takes("61", "62"), root="/data/LibriSpeech/dev-other")[0].startswith("dev-other: official")


def test_limits_of_numbers():
    assert told(*takes("a", "b", count=200)) == []
    assert told(*takes(*"abcdefghij", count=201)) == []
    assert told("a/1.wav", "b/1.wav", "b/2.wav") == []


def test_the_verb_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for folder in ("mix_clean", "s1", "s2"):
        for take in range(2):
            speak(tmp_path / "m" / folder / f"{take}.wav", len(folder) + ord(folder[-1]), take, seconds=0.1)
    assert main(["prepare", "folders", str(tmp_path / "m"), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.splitlines()[2].startswith("note: mix_clean, s1, s2: look like mixtures")
