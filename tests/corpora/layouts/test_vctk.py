"""`csc prepare vctk`: one microphone, 48 kHz, genders, and speakers drawn for test and development."""

from pathlib import Path

import pytest

from csc_fairseq.cli.main import main
from csc_fairseq.data.manifest import read_labels, read_manifest
from tests.corpora.preparing import check, complaint, contents, prepare
from tests.corpora.trees import FRAMES, speak, vctk


def test_one_microphone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root, out = vctk(tmp_path / "VCTK"), tmp_path / "out"
    assert main(["prepare", "vctk", str(root), "--out", str(out)]) == 2
    assert "has 48000 Hz, expected 16000 Hz" in capsys.readouterr().err
    printed = prepare(capsys, "vctk", root, out, "--allow-rates")
    assert set(contents(out)) == {"train.tsv", "train.spk", "train.gender", "report.txt", "speakers.txt"}
    train = read_manifest(out / "train.tsv")
    assert train.names == tuple(
        f"wav48_silence_trimmed/{speaker}/{speaker}_00{number}_mic1.flac"
        for speaker in ("p225", "p280", "s5")
        for number in (1, 2)
    )
    assert set(train.frames.tolist()) == {FRAMES}
    assert read_labels(train, "spk")[::2] == ["vctk/p225", "vctk/p280", "vctk/s5"]
    assert read_labels(train, "gender")[::2] == ["f", "f", "unknown"]
    assert printed[2:] == ["microphone: mic1", "left out, of other microphones: 4 recordings"]
    check(out, "train", resample=True)
    printed = prepare(capsys, "vctk", root, tmp_path / "second", "--allow-rates", "--mic", "mic2")
    assert printed[2:] == [
        "microphone: mic2",
        "left out, of other microphones: 6 recordings",
        "left out, without mic2: speakers p280",
    ]
    assert len(read_manifest(tmp_path / "second" / "train.tsv")) == 4


def test_speakers_are_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root = tmp_path / "VCTK"
    for number in range(10):
        for take in range(3):
            speak(
                root / "wav48_silence_trimmed" / f"p{300 + number}" / f"p{300 + number}_{take:03}_mic1.flac",
                number,
                take,
            )
    options = ["--test-speakers", "2", "--dev-speakers", "0.1", "--valid-per-speaker", "1"]
    prepare(capsys, "vctk", root, tmp_path / "out", *options)
    found = {
        split: set(read_labels(read_manifest(tmp_path / "out" / f"{split}.tsv"), "spk"))
        for split in ("train", "valid", "dev", "test")
    }
    assert [len(found[split]) for split in ("train", "valid", "dev", "test")] == [7, 7, 1, 2]
    assert found["train"] == found["valid"] and not found["test"] & (found["train"] | found["dev"])
    prepare(capsys, "vctk", root, tmp_path / "same", *options)
    assert contents(tmp_path / "same") == contents(tmp_path / "out")
    said = complaint(capsys, "vctk", root, tmp_path / "no", "--test-speakers", "9")
    assert said == "10 speakers, 9 of them drawn for test: at least 2 must be left for training; draw fewer"
    for wrong in ("0", "2.5", "-1", "x"):
        with pytest.raises(SystemExit):
            main(["prepare", "vctk", str(root), "--out", str(tmp_path / "no"), "--test-speakers", wrong])
        assert f"{wrong}: expected a number of speakers, or a share between 0 and 1" in capsys.readouterr().err


def test_wrong_trees(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    said = complaint(capsys, "vctk", tmp_path, out)
    assert said.startswith(
        f"{tmp_path}/wav48_silence_trimmed: no such folder; expected wav48_silence_trimmed/p225/p225_001_mic1.flac"
    )
    root = vctk(tmp_path / "VCTK")
    for path in root.rglob("*_mic2.flac"):
        path.unlink()
    assert "has no files ending in _mic2; choose another --mic" in complaint(capsys, "vctk", root, out, "--mic", "mic2")
    (root / "speaker-info.txt").write_text("p225 23\n")
    assert complaint(capsys, "vctk", root, out).startswith(
        f"{root}/speaker-info.txt:1: found 'p225 23', expected ID, AGE, GENDER"
    )
    assert not out.exists()
