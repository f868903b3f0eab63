"""`csc prepare commonvoice`: official splits, clips that are decoded or were, and training on all validated clips."""

from pathlib import Path

import pytest

from csc_fairseq.cli.main import main
from csc_fairseq.data.manifest import read_labels, read_manifest
from tests.corpora.preparing import check, complaint, contents, prepare
from tests.corpora.trees import commonvoice, ffmpeg, speak


def test_official_splits_are_decoded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    root, out = commonvoice(tmp_path / "en"), tmp_path / "out"
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    said = complaint(capsys, "commonvoice", root, out)
    assert said.startswith(
        f"{root}/clips: has 8 recordings as .mp3, which ffmpeg decodes, and there is no ffmpeg on PATH"
    )
    assert f"cd {root}/clips && find . -name '*.mp3'" in said
    monkeypatch.setenv("PATH", ffmpeg(tmp_path / "bin"))
    prepare(capsys, "commonvoice", root, out)
    names = {f"{split}.{suffix}" for split in ("train", "dev", "test") for suffix in ("tsv", "spk", "gender")}
    assert {name for name in contents(out) if not name.startswith("audio")} == names | {"report.txt", "speakers.txt"}
    train = read_manifest(out / "train.tsv")
    assert train.root == out / "audio" and train.names == tuple(f"clips/common_voice_en_{i}.flac" for i in (1, 2, 3, 4))
    assert read_labels(train, "spk") == ["commonvoice/aaa"] * 2 + ["commonvoice/bbb"] * 2
    assert read_labels(train, "gender") == ["f"] * 2 + ["m"] * 2
    assert read_labels(read_manifest(out / "test.tsv"), "gender") == ["unknown", "m"]
    assert read_labels(read_manifest(out / "dev.tsv"), "spk") == ["commonvoice/ccc"] * 2
    check(out, "train", "test")


def test_clips_that_somebody_decoded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    root, out = commonvoice(tmp_path / "en"), tmp_path / "out"
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    for number in range(1, 11):
        ending = "opus" if number == 1 else "wav"
        speak(root / "clips" / f"common_voice_en_{number}.{ending}", number, number)
    printed = prepare(capsys, "commonvoice", root, out, "--validated")
    train = read_manifest(out / "train.tsv")
    assert train.root == root
    assert train.names == ("clips/common_voice_en_1.opus", "clips/common_voice_en_3.wav", "clips/common_voice_en_9.wav")
    assert read_labels(train, "spk") == ["commonvoice/aaa", "commonvoice/bbb", "commonvoice/aaa"]
    assert "left out, of speakers of dev and test: 1 clips of validated.tsv" in printed


def test_a_small_language(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Tables of dev and test without rows, and clips that the tables have and the archive has not."""
    monkeypatch.setenv("PATH", ffmpeg(tmp_path / "bin"))
    root = commonvoice(tmp_path / "or")
    for split in ("dev", "test"):
        table = root / f"{split}.tsv"
        table.write_text(table.read_text().splitlines()[0] + "\n")
    printed = prepare(capsys, "commonvoice", root, tmp_path / "out", "--validated")
    assert printed[-1] == "without clips: dev.tsv, test.tsv"
    assert len(read_manifest(tmp_path / "out" / "train.tsv")) == 4 and not (tmp_path / "out" / "test.tsv").exists()
    for number in (1, 4):
        (root / "clips" / f"common_voice_en_{number}.mp3").unlink()
    assert main(["prepare", "commonvoice", str(root), "--out", str(tmp_path / "no")]) == 2
    said = capsys.readouterr().err
    assert all(f"{root}/train.tsv:{line}: no file for common_voice_en_" in said for line in (2, 5))
    assert not (tmp_path / "no").exists()
    words = ["--out", str(tmp_path / "less"), "--skip-bad"]
    assert main(["prepare", "commonvoice", str(root), *words]) == 0
    assert len((tmp_path / "less" / "skipped.txt").read_text().splitlines()) == 2
    assert len(read_manifest(tmp_path / "less" / "train.tsv")) == 2
    table = root / "train.tsv"
    table.write_text(table.read_text().splitlines()[0] + "\n")
    said = complaint(capsys, "commonvoice", root, tmp_path / "no")
    assert said == f"{root}/dev.tsv: has no rows, as all tables; expected clips"


def test_wrong_trees(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", ffmpeg(tmp_path / "bin"))
    out = tmp_path / "out"
    assert complaint(capsys, "commonvoice", tmp_path, out).startswith(
        f"{tmp_path}/clips: no such folder; expected clips/NAME.mp3"
    )
    root = commonvoice(tmp_path / "en")
    (root / "clips/common_voice_en_6.mp3").unlink()
    said = complaint(capsys, "commonvoice", root, out)
    assert said.startswith(
        f"{root}/dev.tsv:3: no file for common_voice_en_6.mp3 in {root}/clips, expected .mp3 or wav, flac"
    )
    table = root / "dev.tsv"
    table.write_text(table.read_text() + "ccc\tcommon_voice_en_5.mp3\n")
    assert complaint(capsys, "commonvoice", root, out).startswith(f"{table}:4: has 2 fields, expected 10 as in line 1")
    for split in ("train", "dev", "test"):
        (root / f"{split}.tsv").unlink()
    assert complaint(capsys, "commonvoice", root, out).startswith(
        f"{root}/train.tsv: no such file; expected train.tsv, dev.tsv"
    )
    assert not out.exists()
