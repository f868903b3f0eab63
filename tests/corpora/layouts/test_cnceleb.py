"""`csc prepare cnceleb`: who trains, who is evaluated, and the trials between enrolments and tests."""

import shutil
from pathlib import Path

import pytest

from csc_fairseq.data.manifest import read_labels, read_manifest
from csc_fairseq.verification.trials.trial_file import read_trials
from tests.corpora.preparing import check, complaint, contents, prepare
from tests.corpora.trees import cnceleb


def test_training_and_evaluation(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root, out = cnceleb(tmp_path / "CN-Celeb_flac"), tmp_path / "out"
    printed = prepare(capsys, "cnceleb", root, out)
    names = {f"{split}.{suffix}" for split in ("train", "eval") for suffix in ("tsv", "spk", "session")}
    assert set(contents(out)) == names | {"report.txt", "eval.trials"}
    train, evaluation = read_manifest(out / "train.tsv"), read_manifest(out / "eval.tsv")
    assert tuple(train.names[:2]) == ("data/id00804/singing-01-001.flac", "data/id00804/singing-01-002.flac")
    assert read_labels(train, "spk") == ["cnceleb/id00804"] * 3 + ["cnceleb/id00805"] * 3
    assert read_labels(train, "session")[1:3] == ["cnceleb/id00804/singing-01", "cnceleb/id00804/vlog-01"]
    assert list(zip(evaluation.names, read_labels(evaluation, "session"), strict=True))[3:5] == [
        ("eval/enroll/id00803-enroll.flac", "cnceleb/id00803/enroll"),
        ("eval/test/id00800-vlog-01-001.flac", "cnceleb/id00800/vlog-01"),
    ]
    assert (out / "eval.trials").read_text().splitlines()[:2] == [
        "1 eval/enroll/id00800-enroll.flac eval/test/id00800-vlog-01-001.flac",
        "0 eval/enroll/id00800-enroll.flac eval/test/id00801-vlog-01-001.flac",
    ]
    trials = read_trials(out / "eval.trials", evaluation)
    assert trials.targets.sum() == 4 and len(trials.targets) + trials.dropped == 16
    assert printed[3:] == [
        f"eval.trials: 16 trials of eval.tsv, from {root}/eval/lists/trials.lst",
        "left out, of the evaluation or not in dev.lst: 5 speakers of data",
    ]
    check(out, "train", "eval")


def test_without_dev_or_eval(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root = cnceleb(tmp_path / "CN-Celeb_flac")
    (root / "dev/dev.lst").unlink()
    prepare(capsys, "cnceleb", root, tmp_path / "a")
    speakers = set(read_labels(read_manifest(tmp_path / "a" / "train.tsv"), "spk"))
    assert speakers == {"cnceleb/id00804", "cnceleb/id00805", "cnceleb/id00806"}
    (root / "eval").rename(tmp_path / "away")
    printed = prepare(capsys, "cnceleb", root, tmp_path / "b")  # as CN-Celeb2 is
    assert printed[2].startswith(f"no {root}/eval: no evaluation set")
    assert len(set(read_labels(read_manifest(tmp_path / "b" / "train.tsv"), "spk"))) == 7


def test_audio_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """As a folder of converted audio is, whose lists stayed in another one."""
    root, out = cnceleb(tmp_path / "CN-Celeb_wav"), tmp_path / "out"
    shutil.rmtree(root / "eval" / "lists")
    printed = prepare(capsys, "cnceleb", root, out)
    assert f"no {root}/eval/lists: no trials; copy the folder there, if another place has it" in printed
    assert len(read_manifest(out / "eval.tsv")) == 8 and not (out / "eval.trials").exists()


def test_wrong_trees(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    assert complaint(capsys, "cnceleb", tmp_path, out).startswith(
        f"{tmp_path}/data: no such folder; expected data/idXXXXX/"
    )
    root = cnceleb(tmp_path / "CN-Celeb_flac")
    trials = root / "eval/lists/trials.lst"
    before = trials.read_text()
    trials.write_text("id00800-enroll test/x.wav\n")
    assert complaint(capsys, "cnceleb", root, out).startswith(
        f"{trials}:1: found 'id00800-enroll test/x.wav', expected `MODEL"
    )
    trials.write_text(before + "id00800-enroll test/id00999-vlog-01-001.wav 0\n")
    printed = prepare(capsys, "cnceleb", root, out)
    assert printed[3].startswith(
        f"left out, {trials}: 1 of its 9 recordings are not in eval.tsv, such as test/id00999-vlog"
    )
    assert not (out / "eval.trials").exists()
    (root / "eval/lists/enroll.lst").write_text("id00800-enroll\n")
    assert "expected `MODEL enroll/FILE.wav`; restore the list" in complaint(capsys, "cnceleb", root, out)
    (root / "dev/dev.lst").write_text("id99999\n")
    (root / "eval").rename(tmp_path / "away")
    assert complaint(capsys, "cnceleb", root, out).startswith(
        f"{root}/dev/dev.lst: allows none of the speakers in {root}/data"
    )
