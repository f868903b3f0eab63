"""`csc prepare librispeech`: roles, labels and texts of a miniature, worked out by hand."""

import shutil
from pathlib import Path

import pytest

from csc_fairseq.cli.main import main
from csc_fairseq.data.manifest import read_labels, read_manifest
from csc_fairseq.verification.trials.trial_file import read_trials
from tests.corpora.preparing import check, complaint, contents, prepare
from tests.corpora.trees import FRAMES, librispeech, speak


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return librispeech(tmp_path_factory.mktemp("corpus") / "LibriSpeech")


def test_official_roles_labels_and_texts(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    printed = prepare(capsys, "librispeech", root, tmp_path)
    names = {
        f"{split}.{suffix}"
        for split in ("train", "dev", "test")
        for suffix in ("tsv", "spk", "session", "gender", "txt")
    }
    assert set(contents(tmp_path)) == names | {"report.txt", "speakers.txt"}
    train = read_manifest(tmp_path / "train.tsv")
    assert train.root == root and set(train.frames.tolist()) == {FRAMES}
    assert tuple(train.names[:4]) == (
        "train-clean-100/19/198/19-198-0000.flac",
        "train-clean-100/19/198/19-198-0001.flac",
        "train-clean-100/19/198/19-198-0002.flac",
        "train-clean-100/19/227/19-227-0000.flac",
    )
    assert read_labels(train, "spk") == ["librispeech/19"] * 6 + ["librispeech/60"] * 6
    assert read_labels(train, "session")[::3] == [
        "librispeech/19/198",
        "librispeech/19/227",
        "librispeech/60/121082",
        "librispeech/60/121538",
    ]
    assert read_labels(train, "gender") == ["f"] * 6 + ["m"] * 6
    assert (tmp_path / "train.txt").read_text().splitlines()[:3] == [
        "CHAPTER ONE IT'S",
        "CHAPTER TWO IT'S",
        "CHAPTER THREE IT'S",
    ]
    assert read_labels(read_manifest(tmp_path / "test.tsv"), "spk") == ["librispeech/367"] * 3 + ["librispeech/533"] * 3
    assert [line.split() for line in printed[:4]] == [
        ["split", "speakers", "sessions", "recordings", "hours"],
        ["dev", "1", "1", "3", "0.00"],
        ["test", "2", "2", "6", "0.00"],
        ["train", "2", "4", "12", "0.00"],
    ]
    assert printed[4:] == ["subsets: train-clean-100, dev-clean, test-other"]
    report = (tmp_path / "report.txt").read_text().splitlines()
    assert report[:-1] == [f"csc prepare librispeech {root}", *printed]
    check(tmp_path, "train", "test")  # dev has a single speaker


def test_genders_serve_trials(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    prepare(capsys, "librispeech", root, tmp_path)
    assert (tmp_path / "speakers.txt").read_text().splitlines()[:3] == [
        "speaker\tgender",
        "librispeech/19\tf",
        "librispeech/367\tf",
    ]
    words = [
        "--manifest",
        str(tmp_path / "train.tsv"),
        "--speaker-table",
        str(tmp_path / "speakers.txt"),
        "--gender",
        "cross",
    ]
    assert main(["trials", *words, "--out", str(tmp_path / "trials.txt")]) == 0
    trials = read_trials(tmp_path / "trials.txt", read_manifest(tmp_path / "train.tsv"))
    assert not trials.targets.all() and trials.targets.any()


def test_typed_again_subsets_and_held_out(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    options = ["--subsets", "train-clean-100", "--valid-per-speaker", "2"]
    printed = prepare(capsys, "librispeech", root, tmp_path, *options)
    assert "left out, not in --subsets: dev-clean, test-other" in printed
    first = contents(tmp_path)
    assert len(read_manifest(tmp_path / "valid.tsv")) == 4 and "dev.tsv" not in first
    assert len((tmp_path / "valid.txt").read_text().splitlines()) == 4
    assert prepare(capsys, "librispeech", root, tmp_path, *options) == printed
    assert contents(tmp_path) == first


def test_without_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """One subset as somebody copied it: no SPEAKERS.TXT, no transcripts."""
    for number in range(4):
        speak(
            tmp_path / "L" / "dev-other" / f"{number // 2}" / "7" / f"{number // 2}-7-{number:04}.flac",
            number // 2,
            number,
        )
    printed = prepare(capsys, "librispeech", tmp_path / "L", tmp_path / "out")
    assert set(contents(tmp_path / "out")) == {"dev.tsv", "dev.spk", "dev.session", "report.txt"}
    assert f"no {tmp_path}/L/SPEAKERS.TXT: no .gender files" in printed
    check(tmp_path / "out", "dev")


def test_the_mini_corpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for subset, speaker in (("train-clean-5", 19), ("dev-clean-2", 84)):
        for number in range(2):
            speak(tmp_path / subset / str(speaker) / "1" / f"{speaker}-1-000{number}.flac", speaker, number)
    prepare(capsys, "librispeech", tmp_path, tmp_path / "out")
    assert read_labels(read_manifest(tmp_path / "out" / "dev.tsv"), "spk") == ["librispeech/84"] * 2
    assert len(read_manifest(tmp_path / "out" / "train.tsv")) == 2


def test_wrong_trees(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    said = complaint(capsys, "librispeech", root.parent, tmp_path / "out")
    assert said.startswith(
        f"{root.parent}/train-clean-100: no such folder; expected some of train-clean-100, train-clean-360"
    )
    said = complaint(capsys, "librispeech", root, tmp_path / "out", "--subsets", "test-clean")
    assert (
        said.startswith(f"{root}/test-clean: no such folder; expected") and "found train-clean-100, dev-clean" in said
    )
    broken = tmp_path / "LibriSpeech"
    shutil.copytree(root, broken)
    transcript = broken / "dev-clean/84/121123/84-121123.trans.txt"
    transcript.write_text(transcript.read_text().replace("84-121123-0001", "84-121123-0009"))
    said = complaint(capsys, "librispeech", broken, tmp_path / "out")
    assert "dev.tsv:3: no transcript of dev-clean/84/121123/84-121123-0001.flac" in said
    speakers = broken / "SPEAKERS.TXT"
    before = speakers.read_text()
    speakers.write_text(before + "nobody\n")
    assert complaint(capsys, "librispeech", broken, tmp_path / "out").startswith(
        f"{speakers}:9: found 'nobody', expected `id"
    )
    speakers.write_text(before)
    shutil.move(broken / "dev-clean/84/121123/84-121123-0000.flac", broken / "dev-clean/84/lost.flac")
    said = complaint(capsys, "librispeech", broken, tmp_path / "out")
    assert said.startswith(f"{broken}/dev-clean/84/lost.flac: expected SPEAKER/CHAPTER/FILE below {broken}/dev-clean")
    assert not (tmp_path / "out").exists()
