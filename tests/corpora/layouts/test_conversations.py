"""`csc prepare ami` and `voxconverse`: folders that `csc diarize` and `csc evaluate --conversations` read."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from csc_fairseq.cli.main import main
from csc_fairseq.data.conversation_folder import read_conversations
from csc_fairseq.data.rttm import Turn
from tests.corpora.preparing import complaint, contents, prepare
from tests.corpora.trees import ami, speak, voxconverse, write_text
from tests.making import killed_after_renames


def test_meetings_of_one_microphone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root, out = ami(tmp_path / "ami"), tmp_path / "out"
    printed = prepare(capsys, "ami", root, out)
    assert [line.split() for line in printed[:3]] == [
        ["split", "recordings", "talkers", "hours"],
        ["dev", "1", "2", "0.00"],
        ["test", "1", "2", "0.00"],
    ]
    assert printed[3:] == ["microphone: Mix-Headset", "left out, RTTM without a recording: 1, such as ES2004b"]
    assert (out / "report.txt").read_text().splitlines() == [f"csc prepare ami {root}", *printed, "files: dev test"]
    (meeting,) = read_conversations(out / "test")
    assert meeting.name == "ES2004a" and meeting.seconds == 2.0
    assert meeting.turns == (Turn("FEE041", 0.1, 0.9), Turn("MEE042", 0.7, 1.7))
    assert os.readlink(meeting.audio) == str(root / "amicorpus/ES2004a/audio/ES2004a.Mix-Headset.wav")
    first = contents(out)
    prepare(capsys, "ami", root, out)
    assert contents(out) == first
    prepare(capsys, "ami", root, tmp_path / "array", "--mic", "Array1-01")
    assert os.readlink(tmp_path / "array/dev/ES2011a.wav").endswith("ES2011a.Array1-01.wav")


def test_voxconverse(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root, out = voxconverse(tmp_path / "vc"), tmp_path / "out"
    prepare(capsys, "voxconverse", root, out)
    for split, name in (("dev", "abjxc"), ("test", "aepyx")):
        (conversation,) = read_conversations(out / split)
        assert (conversation.name, conversation.turns) == (name, (Turn("spk00", 0.4, 1.4),))


def test_a_meeting_of_two_channels(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """As ES2010d of the published corpus: the first one is written, below ROOT here, and not found when typed again."""
    root = ami(tmp_path / "ami")
    name = "amicorpus/ES2004a/audio/ES2004a.Mix-Headset.wav"
    speak(root / name, 1, 1, seconds=2.0, channels=2)
    out = root / "conversations"
    printed = prepare(capsys, "ami", root, out)
    assert printed[4] == f"first channels of 1 recordings of several, such as {root / name}, written to {out}/audio"
    assert os.readlink(out / "test/ES2004a.wav") == str(out / "audio" / name)
    written, source = (soundfile.read(folder / name, dtype="float32")[0] for folder in (out / "audio", root))
    assert written.ndim == 1 and np.array_equal(written, source[:, 0])
    first = contents(out)
    assert prepare(capsys, "ami", root, out) == printed and contents(out) == first


def test_beamformed_and_a_meeting_whose_turns_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """TS3007c of the published corpus ends ten seconds before its turns do."""
    root, out = tmp_path / "ami", tmp_path / "out"
    speak(root / "amicorpus/beamformed/TS3007c/TS3007c_MDM8.wav", 1, 1, seconds=2.0)
    turns = ("0.5 1.0", "1.5 5.0", "9.0 1.0")
    write_text(
        root / "only_words/rttms/train/TS3007c.rttm",
        [f"SPEAKER TS3007c 1 {turn} <NA> <NA> MTD026PM <NA> <NA>" for turn in turns],
    )
    printed = prepare(capsys, "ami", root, out, "--mic", "MDM8")
    assert printed[-1] == "TS3007c: turns after the end of the recording are cut"
    (meeting,) = read_conversations(out / "train")
    assert meeting.turns == (Turn("MTD026PM", 0.5, 1.5), Turn("MTD026PM", 1.5, 2.0))


def test_below_the_root_and_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """What a preparation wrote is no source of the next one, and published RTTM is not rewritten."""
    root = voxconverse(tmp_path / "vc")
    rttm, out = root / "voxconverse", root / "conversations"
    deeper = ("--rttm", str(rttm / "dev"))
    assert complaint(capsys, "voxconverse", root, rttm, *deeper).startswith(f"{rttm}/dev/abjxc.rttm: is not of this")
    prepare(capsys, "voxconverse", root, out)
    first = contents(out)
    prepare(capsys, "voxconverse", root, out)
    assert contents(out) == first
    before = contents(root)
    for folder, options in ((root, ()), (rttm, ("--rttm", str(rttm)))):
        said = complaint(capsys, "voxconverse", root, folder, *options)
        assert said.startswith(f"{folder}: is searched for recordings or RTTM, so nothing can be written there")
    assert contents(root) == before
    shutil.rmtree(root / "audio")  # dev has no recording any more
    assert complaint(capsys, "voxconverse", root, out).startswith(f"{out}/dev: was written by `csc prepare voxconverse")


def test_killed_between_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    root = ami(tmp_path / "ami")
    prepare(capsys, "ami", root, tmp_path / "whole")
    expected = contents(tmp_path / "whole")
    for kill in range(len(expected)):
        words = ["prepare", "ami", str(root), "--out", str(tmp_path / f"out{kill}")]
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", killed_after_renames(kill))
            assert main(words) == 130
        assert main(words) == 0
        assert contents(tmp_path / f"out{kill}") == expected


def test_wrong_trees(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root, out = ami(tmp_path / "ami"), tmp_path / "out"
    said = complaint(capsys, "ami", root, out, "--mic", "Lapel")
    assert said.startswith(
        f"{root}: no recording NAME.Lapel.wav has a NAME.rttm below {root}; found 0 such recordings and 3 RTTM"
    )
    rttm = root / "only_words/rttms/test/ES2004a.rttm"
    write_text(root / "word_and_vocalsounds/rttms/test/ES2004a.rttm", ["SPEAKER ES2004a 1 0 1 <NA> <NA> x <NA> <NA>"])
    said = complaint(capsys, "ami", root, out)
    assert "RTTM files of ES2004a are there twice" in said and "with --rttm" in said
    words = ["--rttm", str(root / "only_words")]
    prepare(capsys, "ami", root, tmp_path / "good", *words)
    rttm.write_text("SPEAKER ES2004a 1 0 9 <NA> <NA> x <NA> <NA>\n")
    said = complaint(capsys, "ami", root, out, *words)
    assert (
        said.startswith(f"{rttm}: has a turn until 9.00 s, but {root}/amicorpus")
        and "lasts 2.00 s; they do not fit" in said
    )
    printed = prepare(capsys, "ami", root, out, *words, "--skip-bad")
    assert printed[0] == f"left out, with faults: 1 of 2 recordings, listed in {out}/skipped.txt"
    assert not (out / "test").exists()
    rttm.write_text("")
    assert complaint(capsys, "ami", root, out, *words).startswith(f"{rttm}: holds no turns of ES2004a; leave")
    write_text(root / "only_words/ES2004c.rttm", [])
    assert complaint(capsys, "ami", root, out, *words).startswith(
        f"{root}/only_words/ES2004c.rttm: lies in no folder train, dev, test"
    )


def test_files_of_others_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root, out = voxconverse(tmp_path / "vc"), tmp_path / "out"
    write_text(out / "test" / "mine.rttm", ["mine"])
    said = complaint(capsys, "voxconverse", root, out)
    assert said == f"{out}/test/mine.rttm: is not of this preparation; move it away, or choose another folder"
    (out / "test" / "mine.rttm").unlink()
    speak(out / "test" / "aepyx.wav", 1, 1)
    before = contents(out)
    assert complaint(capsys, "voxconverse", root, out).startswith(f"{out}/test/aepyx.wav: is not of this preparation")
    assert contents(out) == before
