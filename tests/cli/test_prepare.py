"""`csc prepare` on synthesised corpora: what the manifests hold, what is left out, and one line for what is wrong."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from csc_fairseq.cli.main import main
from csc_fairseq.corpora.check import check_manifest
from csc_fairseq.data.manifest import identity_labels, read_labels, read_manifest
from csc_fairseq.data.rng import text_key
from tests.making import SAMPLE_RATE, killed_after_renames, write_noise


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two corpora; speaker 1 of one is not speaker 1 of the other."""
    root = tmp_path / "speech"
    for name in ("x/1/s1/a.wav", "x/1/s1/b.flac", "x/1/s2/c.opus", "x/1/s2/d.wav", "x/2/s1/a.wav", "y/1/s1/a.wav"):
        write_noise(root / name)
    write_noise(root / "y/1/s1/long.wav", seconds=0.5)
    (root / "y" / "README.txt").write_text("not audio")
    return root


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "manifests"


def prepare(root: Path, out: Path, *options: str) -> int:
    return main(["prepare", "folders", str(root), "--out", str(out), *options])


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a failing `csc prepare` prints."""
    capsys.readouterr()
    assert main(["prepare", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("csc prepare: ")
    return error.removeprefix("csc prepare: ").strip()


def rows(path: Path) -> list[tuple[str, int, str]]:
    manifest = read_manifest(path)
    return list(zip(manifest.names, manifest.frames.tolist(), read_labels(manifest, "spk"), strict=True))


def test_without_a_table_all_is_train(root: Path, out: Path, capsys: pytest.CaptureFixture[str]):
    assert prepare(root, out, "--speaker-level", "2") == 0
    assert rows(out / "train.tsv") == [
        ("x/1/s1/a.wav", 3200, "x/1"),
        ("x/1/s1/b.flac", 3200, "x/1"),
        ("x/1/s2/c.opus", 3200, "x/1"),
        ("x/1/s2/d.wav", 3200, "x/1"),
        ("x/2/s1/a.wav", 3200, "x/2"),
        ("y/1/s1/a.wav", 3200, "y/1"),
        ("y/1/s1/long.wav", 8000, "y/1"),
    ]
    assert sorted(path.name for path in out.iterdir()) == ["report.txt", "train.spk", "train.tsv"]
    report = (out / "report.txt").read_text().splitlines()
    assert report[0] == f"csc prepare folders {root}"
    assert (out / "train.tsv").read_text().splitlines()[0] == str(root)
    printed = capsys.readouterr().out.splitlines()
    assert printed[1].split() == ["train", "3", "7", "0.00"]
    assert report[1:] == [*printed, "files: train.spk train.tsv"]
    assert check_manifest(out / "train.tsv", deep=True) == []


def test_sessions(root: Path, out: Path):
    assert prepare(root, out, "--speaker-level", "-2", "--session-level", "3") == 0
    manifest = read_manifest(out / "train.tsv")
    sessions = ["x/1/s1", "x/1/s1", "x/1/s2", "x/1/s2", "x/2/s1", "y/1/s1", "y/1/s1"]
    assert read_labels(manifest, "session") == sessions
    assert identity_labels(manifest, "session") == sessions
    assert read_labels(manifest, "spk") == ["x/1"] * 4 + ["x/2"] + ["y/1"] * 2


def test_split_table_and_minimum_length(root: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    splits = tmp_path / "speakers.tsv"
    splits.write_text("corpus\tspeaker\tsplit\nx\t1\ttrain\nx\t2\tdev\ny\t1\ttrain\nz\t9\ttest\n")
    options = ["--speaker-level", "2", "--splits", str(splits)]
    assert prepare(root, out, *options) == 0
    assert [speaker for _, _, speaker in rows(out / "train.tsv")] == ["x/1"] * 4 + ["y/1"] * 2
    assert [speaker for _, _, speaker in rows(out / "dev.tsv")] == ["x/2"]
    assert not (out / "test.tsv").exists()

    message = complaint(capsys, "folders", str(root), "--out", str(out), *options, "--min-seconds", "0.3")
    assert "no recording is left for split dev" in message
    splits.write_text("corpus\tspeaker\tsplit\nx\t1\ttrain\nx\t2\ttrain\ny\t1\ttrain\n")
    assert prepare(root, tmp_path / "long", *options, "--min-seconds", "0.2001") == 0
    assert rows(tmp_path / "long" / "train.tsv") == [("y/1/s1/long.wav", 8000, "y/1")]
    assert "left out, shorter than 0.2001 s: 6 recordings" in capsys.readouterr().out


def test_speakers_that_the_table_lacks(root: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    splits = tmp_path / "speakers.txt"
    splits.write_text("x/1 train\n")
    options = ["--speaker-level", "2", "--splits", str(splits)]
    message = complaint(capsys, "folders", str(root), "--out", str(out), *options)
    assert message.startswith(f"{splits}: lacks 2 of 3 speakers below {root} (x/2, y/1)")
    assert "--ignore-missing" in message
    assert not out.exists()
    assert prepare(root, out, *options, "--ignore-missing") == 0
    assert {speaker for _, _, speaker in rows(out / "train.tsv")} == {"x/1"}
    assert f"left out, not in {splits}: 2 speakers with 3 recordings" in capsys.readouterr().out


def test_held_out_recordings_are_unseen_but_their_speakers_are_not(root: Path, out: Path):
    assert prepare(root, out, "--speaker-level", "2", "--valid-per-speaker", "2") == 0
    train, valid = rows(out / "train.tsv"), rows(out / "valid.tsv")
    assert len(train) == 5
    assert [speaker for _, _, speaker in valid] == ["x/1", "x/1"]  # nobody else has four
    assert [speaker for _, _, speaker in train].count("x/1") == 2
    assert not {name for name, _, _ in train} & {name for name, _, _ in valid}


def test_a_second_run_writes_the_same_bytes(root: Path, out: Path, tmp_path: Path):
    options = ["--speaker-level", "2", "--session-level", "3", "--valid-share", "0.3"]
    assert prepare(root, out, *options, "--jobs", "1") == 0
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    written = {f"{split}.{suffix}" for split in ("train", "valid") for suffix in ("tsv", "spk", "session")}
    assert set(first) == written | {"report.txt"}
    assert prepare(root, out, *options, "--jobs", "3") == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first
    assert prepare(root / ".." / "speech", tmp_path / "again", *options) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == first


def test_labels_of_an_earlier_manifest_are_not_left_beside_a_new_one(
    root: Path, out: Path, capsys: pytest.CaptureFixture[str]
):
    assert prepare(root, out, "--speaker-level", "2", "--session-level", "3") == 0
    before = (out / "train.tsv").read_bytes()
    message = complaint(capsys, "folders", str(root), "--out", str(out), "--speaker-level", "1")
    assert message.startswith(f"{out}/train.session: belongs to an earlier train.tsv")
    assert (out / "train.tsv").read_bytes() == before


def test_recordings_held_out_earlier_are_not_left_beside_a_new_training_set(
    root: Path, out: Path, capsys: pytest.CaptureFixture[str]
):
    assert prepare(root, out, "--speaker-level", "2", "--valid-share", "0.3") == 0
    before = (out / "train.tsv").read_bytes()
    message = complaint(capsys, "folders", str(root), "--out", str(out), "--speaker-level", "2")
    assert message.startswith(f"{out}/valid.tsv: belongs to an earlier train.tsv")
    assert (out / "train.tsv").read_bytes() == before


def test_one_line_for_a_file_of_another_kind(root: Path, out: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["folders", str(root), "--out", str(out), "--speaker-level", "2"]
    write_noise(root / "y/1/s1/b.wav", sample_rate=8000)
    write_noise(root / "y/1/s1/c.wav", sample_rate=44100)
    assert main(["prepare", *arguments]) == 2
    faults = capsys.readouterr().err.splitlines()
    assert len(faults) == 3
    assert faults[0].startswith(
        f"{root}/y/1/s1/b.wav: has 8000 Hz, expected 16000 Hz; convert it (ffmpeg -i {root}/y/1/s1/b.wav -ar "
    )
    assert faults[1].startswith(f"{root}/y/1/s1/c.wav: has 44100 Hz")
    assert faults[2].startswith("csc prepare: 2 of 9 recordings have faults, see above; repair them; --skip-bad leaves")
    assert main(["prepare", *arguments, "--allow-rates"]) == 0
    lengths = {name: frames for name, frames, _ in rows(out / "train.tsv")}
    assert lengths["y/1/s1/b.wav"] == 3200  # 0.2 s, at the target rate
    assert lengths["y/1/s1/c.wav"] == 3200
    assert check_manifest(out / "train.tsv", resample=True) == []

    write_noise(root / "x/2/s1/stereo.wav", channels=2)
    message = complaint(capsys, *arguments, "--allow-rates")
    assert message.startswith(f"{root}/x/2/s1/stereo.wav: has 2 channels, expected one")
    (root / "x/2/s1/stereo.wav").write_bytes(b"RIFF")
    assert complaint(capsys, *arguments, "--allow-rates").startswith(f"{root}/x/2/s1/stereo.wav: is not intact")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--speaker-level", "4"], "lies 3 folders deep"),
        (["--speaker-level", "0"], "expected a folder of level 0"),
        (["--valid-per-speaker", "0"], "expected at least 1"),
        (["--valid-per-speaker", "9"], "no training speaker can spare"),
        (["--valid-share", "1"], "expected a share between 0 and 1"),
        (["--ext", "mp3"], "no recordings found"),
        (["--min-seconds", "9"], "no recording is left for split train"),
        (["--splits", "/no/such/table"], "/no/such/table: cannot be read"),
        (["--jobs", "0"], "expected at least 1"),
    ],
)
def test_bad_options(root: Path, out: Path, capsys: pytest.CaptureFixture[str], options: list[str], found: str):
    assert found in complaint(capsys, "folders", str(root), "--out", str(out), *options)
    assert not out.exists()


def test_holding_out_beside_a_table_that_has_valid(
    root: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    splits = tmp_path / "splits.txt"
    splits.write_text("x train\ny valid\n")
    options = ["--splits", str(splits), "--valid-per-speaker", "1"]
    assert "has the splits train, valid" in complaint(capsys, "folders", str(root), "--out", str(out), *options)


def test_audio_without_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root, file = tmp_path / "noise", tmp_path / "manifests" / "noise.tsv"
    for name in ("sea/waves.flac", "sea/gulls.wav", "city/tram.wav"):
        write_noise(root / name)
    assert main(["prepare", "audio", str(root), "--out", str(file)]) == 0
    assert read_manifest(file).names == ("city/tram.wav", "sea/gulls.wav", "sea/waves.flac")
    assert read_manifest(file).frames.tolist() == [3200] * 3
    assert check_manifest(file) == []

    listed = tmp_path / "noise_list.tsv"
    listed.write_text("corpus\tname\tsplit\nsea\twaves\ttrain\nsea\tgulls\ttest\n")
    options = ["audio", str(root), "--out", str(file), "--list", str(listed)]
    assert main(["prepare", *options, "--split", "train"]) == 0
    assert read_manifest(file).names == ("sea/waves.flac",)
    assert f"left out, not in {listed}: 2 recordings" in capsys.readouterr().out
    assert "expected one of test, train" in complaint(capsys, *options, "--split", "dev")
    assert "--list" in complaint(capsys, "audio", str(root), "--out", str(file), "--split", "train")
    (root / "sea/waves.flac").unlink()
    assert f"{listed}:2: no file for 1 of its rows" in complaint(capsys, *options)


def test_held_out_utterances(tmp_path: Path, root: Path, out: Path, capsys: pytest.CaptureFixture[str]):
    """A flat folder, and folders: whoever speaks. The same recordings again when some are added."""
    flat = tmp_path / "flat"
    for number in range(40):
        write_noise(flat / f"{number:02}.wav")
    words = ["prepare", "audio", str(flat), "--valid-for", "utterance", "--out"]
    assert main([*words, str(out / "train.tsv"), "--valid-share", "0.25"]) == 0
    plain = ["prepare", "audio", str(flat), "--valid-share", "0.25", "--out", str(tmp_path / "plain" / "train.tsv")]
    assert main(plain) == 0  # --valid-for need not be typed: nothing else is possible
    for name in ("train.tsv", "valid.tsv"):
        assert (tmp_path / "plain" / name).read_bytes() == (out / name).read_bytes()
    train, valid = (set(read_manifest(out / f"{split}.tsv").names) for split in ("train", "valid"))
    assert len(train | valid) == 40 and not train & valid and len(valid) == 10
    assert not (out / "train.spk").exists()
    assert main([*words, str(out / "train.tsv")]) == 0  # again, and a fifth of so few recordings
    assert len(read_manifest(out / "valid.tsv")) == 8 and set(read_manifest(out / "valid.tsv").names) < valid
    for number in range(40, 60):
        write_noise(flat / f"{number:02}.wav")
    assert main([*words, str(tmp_path / "more" / "train.tsv"), "--valid-share", "0.25"]) == 0
    more = set(read_manifest(tmp_path / "more" / "valid.tsv").names)
    order = sorted(more | valid, key=lambda name: text_key(f"1 hold-out {name}"))
    assert set(order[:15]) == more  # of the old ones, those stay that come first in an order of names

    options = ["prepare", "folders", str(root), "--valid-for", "utterance", "--valid-share", "0.5", "--out"]
    assert main([*options, str(tmp_path / "folders")]) == 0
    split = [read_manifest(tmp_path / "folders" / f"{name}.tsv") for name in ("train", "valid")]
    assert {len(read_labels(manifest, "spk")) == len(manifest) for manifest in split} == {True}
    assert min(len(manifest) for manifest in split) >= 2
    for wrong, found in (
        (["audio", str(flat), "--valid-for", "speaker"], "knows no speakers; hold out recordings with --valid-share P"),
        (
            ["audio", str(flat), "--valid-for", "utterance", "--valid-share", "0.001"],
            "60 recordings, 0 of them held out",
        ),
        (["folders", str(root), "--valid-for", "utterance", "--valid-per-speaker", "1"], "asks for speakers"),
        (["folders", str(root), "--valid-for", "speaker"], "how many? add --valid-per-speaker N"),
    ):
        assert found in complaint(capsys, *wrong, "--out", str(tmp_path / "wrong" / "train.tsv"))
    assert not (tmp_path / "wrong").exists()
    for file, found, *options in (
        ("other.tsv", "valid.tsv: belongs to another train.tsv", "--valid-for", "utterance"),
        ("train.tsv", "valid.tsv: belongs to another train.tsv"),
    ):
        assert found in complaint(capsys, "audio", str(flat), "--out", str(out / file), *options)
    (out / "valid.spk").write_text("x\n")
    before = (out / "train.tsv").read_bytes()
    assert "valid.spk: belongs to an earlier valid.tsv" in complaint(capsys, *words[1:], str(out / "train.tsv"))
    assert (out / "train.tsv").read_bytes() == before
    (out / "valid.spk").unlink()
    assert "name the manifest train.tsv" in complaint(
        capsys, "audio", str(flat), "--valid-for", "utterance", "--out", str(out / "valid.tsv")
    )


def test_audio_may_be_too_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_noise(tmp_path / "noise" / "a.wav")  # 0.2 s
    words = ["audio", str(tmp_path / "noise"), "--out", str(tmp_path / "noise.tsv"), "--min-seconds"]
    assert main(["prepare", *words, "0.2"]) == 0
    assert "no recording is left; lower --min-seconds" in complaint(capsys, *words, "0.3")


def test_in_a_process_of_its_own(root: Path, out: Path):
    command = [sys.executable, "-m", "csc_fairseq.cli.main", "prepare", "folders", str(root), "--out", str(out)]
    done = subprocess.run([*command, "--speaker-level", "2"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(rows(out / "train.tsv")) == 7
    failed = subprocess.run([*command, "--speaker-level", "9"], capture_output=True, text=True, check=False)
    assert failed.returncode == 2
    assert failed.stderr.startswith("csc prepare: x/1/s1/a.wav: lies 3 folders deep")
    assert failed.stderr.count("\n") == 1


def test_a_real_corpus(shared_data: Path, out: Path):
    options = ["--speaker-level", "2", "--splits", str(shared_data / "speakers.tsv"), "--valid-per-speaker", "2"]
    assert prepare(shared_data / "speech", out, *options) == 0
    found = {split: rows(out / f"{split}.tsv") for split in ("train", "valid", "dev", "test")}
    speakers = {split: {speaker for _, _, speaker in recordings} for split, recordings in found.items()}
    table = [line.split("\t") for line in (shared_data / "speakers.tsv").read_text().splitlines()[1:]]
    for split in ("train", "dev", "test"):
        assert speakers[split] == {f"{row[0]}/{row[1]}" for row in table if row[2] == split}
    assert sum(map(len, found.values())) == sum(int(row[5]) for row in table)
    seconds = sum(frames for recordings in found.values() for _, frames, _ in recordings) / SAMPLE_RATE
    assert seconds == pytest.approx(sum(float(row[6]) for row in table), abs=0.06 * len(table))
    # Held out: two of every training speaker with at least four.
    many = {f"{row[0]}/{row[1]}" for row in table if row[2] == "train" and int(row[5]) >= 4}
    assert speakers["valid"] == many
    assert len(found["valid"]) == 2 * len(many)


def test_one_recording_twice(root: Path, out: Path, capsys: pytest.CaptureFixture[str]):
    """In two formats, and under another name: the first of each pair is kept, whoever asks for it."""
    samples, rate = np.random.default_rng(0).integers(-9000, 9000, 3200).astype(np.int16), SAMPLE_RATE
    for name in ("x/1/s1/a.flac", "y/1/s1/zz.wav"):
        soundfile.write(root / name, samples, rate, subtype="PCM_16")
    write_noise(root / "x/1/s2/d.flac", seconds=0.3)
    arguments = ["folders", str(root), "--out", str(out), "--speaker-level", "2"]
    soundfile.write(root / "x/1/s1/a.wav", samples, rate, subtype="PCM_16")
    assert main(["prepare", *arguments]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"{root}/x/1/s1/a.wav: has the name of x/1/s1/a.flac, but for the ending; keep one",
        f"{root}/x/1/s2/d.wav: has the name of x/1/s2/d.flac, but for the ending; keep one",
        f"{root}/y/1/s1/zz.wav: is the same audio as x/1/s1/a.flac; keep one",
        "csc prepare: 3 of 10 recordings have faults, see above; repair them; --skip-bad leaves such out",
    ]
    assert not out.exists()
    assert main(["prepare", *arguments, "--skip-bad"]) == 0
    assert f"left out, with faults: 3 of 10 recordings, listed in {out}/skipped.txt" in capsys.readouterr().out
    assert [name for name, _, _ in rows(out / "train.tsv")][:2] == ["x/1/s1/a.flac", "x/1/s1/b.flac"]
    assert len(rows(out / "train.tsv")) == 7
    assert (out / "skipped.txt").read_text().splitlines()[2].startswith(f"{root}/y/1/s1/zz.wav: is the same audio")
    assert check_manifest(out / "train.tsv", deep=True) == []
    for name in ("x/1/s1/a.wav", "x/1/s2/d.wav", "y/1/s1/zz.wav"):
        (root / name).unlink()
    assert main(["prepare", *arguments, "--skip-bad"]) == 0
    assert not (out / "skipped.txt").exists()  # of an earlier run


def test_all_faults_are_named_in_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root, out = tmp_path / "noise", tmp_path / "noise.tsv"
    for number in range(27):
        write_noise(root / f"{number:02}.wav", sample_rate=8000 if number < 24 else SAMPLE_RATE)
    (root / "24.wav").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(99))
    os.rename(root / "25.wav", os.fsencode(root) + b"/caf\xe9.wav")
    arguments = ["prepare", "audio", str(root), "--out", str(out)]
    assert main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[20:] == [
        "… and 6 more",
        "csc prepare: 26 of 27 recordings have faults, see above; repair them; --skip-bad leaves such out",
    ]
    assert main([*arguments, "--skip-bad"]) == 0
    assert read_manifest(out).names == ("26.wav",)
    assert "other formats" not in capsys.readouterr().out
    report = (tmp_path / "noise.skipped.txt").read_text().splitlines()
    assert len(report) == 26
    assert report[24].startswith(f"{root}/24.wav: is MPEG-4 audio (m4a, mp4), expected")
    assert report[25] == f"{root}/caf\\xe9.wav: its name is not UTF-8; rename it"
    (root / "26.wav").unlink()
    assert main([*arguments, "--skip-bad"]) == 2
    assert "all 26 recordings have faults" in capsys.readouterr().err


def test_other_formats_are_not_passed_over_in_silence(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root, arguments = tmp_path / "noise", ["audio", str(tmp_path / "noise"), "--out", str(tmp_path / "noise.tsv")]
    (root / "x").mkdir(parents=True)
    for name in ("b.MP3", "x/a b.m4a"):
        (root / name).touch()
    told = f"left out, of other formats: 2 files, convert them, such as ffmpeg -i {root}/b.MP3 -ac 1 -ar 16000 {root}/b.wav"
    message = complaint(capsys, *arguments)
    assert (
        message
        == f"{root}: no recordings found; expected files ending in .wav, .flac, .opus, .ogg (option --ext); {told}"
    )
    write_noise(root / "c.wav")
    assert main(["prepare", *arguments]) == 0
    assert told in capsys.readouterr().out.splitlines()


def test_names_of_bytes_in_a_process_of_its_own(tmp_path: Path):
    """Folder or file: one line with the escaped name, whatever the terminal can show."""
    write_noise(tmp_path / "x" / "a.wav")
    os.rename(tmp_path / "x" / "a.wav", os.fsencode(tmp_path / "x") + b"/caf\xe9.wav")
    command = [
        sys.executable,
        "-m",
        "csc_fairseq.cli.main",
        "prepare",
        "folders",
        str(tmp_path),
        "--out",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"csc prepare: {tmp_path}/x/caf\\xe9.wav: its name is not UTF-8; rename it")
    assert done.stderr.count("\n") == 1
    os.rename(tmp_path / "x", os.fsencode(tmp_path) + b"/\xe9")
    done = subprocess.run(
        [*command, "--splits", os.fsencode(tmp_path) + b"/\xe9"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, f"csc prepare: {tmp_path}/\\xe9: the name is not UTF-8; rename it\n")


def test_tables_with_marks_and_in_another_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A byte order mark, CRLF, and a name that the folder has decomposed and the table composed."""
    root, splits = tmp_path / "speech", tmp_path / "splits.txt"
    for name in ("anna", "Jose\u0301", "ben"):
        write_noise(root / name / "a.wav")
    splits.write_bytes("anna test\r\nJosé train\r\n".encode("utf-8-sig"))
    assert (
        main(["prepare", "folders", str(root), "--out", str(tmp_path), "--splits", str(splits), "--ignore-missing"])
        == 0
    )
    assert rows(tmp_path / "test.tsv") == [("anna/a.wav", 3200, "anna")]
    assert rows(tmp_path / "train.tsv") == [("Jose\u0301/a.wav", 3200, "José")]
    (root / "José").mkdir()
    if len(list(root.iterdir())) == 3:
        pytest.skip("this file system knows one form alone")
    write_noise(root / "José" / "b.wav")
    message = complaint(capsys, "folders", str(root), "--out", str(tmp_path / "new"))
    assert message.startswith("speakers 'Jose\\u0301' and 'Jos\\xe9' differ in their Unicode form alone; rename one")


def test_texts_of_an_earlier_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """What others wrote line by line stays beside the same manifest, and stops another one."""
    root, out = tmp_path / "noise", tmp_path / "train.tsv"
    for name in "ab":
        write_noise(root / f"{name}.wav")
    arguments = ["audio", str(root), "--out", str(out)]
    assert main(["prepare", *arguments]) == 0
    out.with_suffix(".txt").write_text("one\ntwo\n")
    assert main(["prepare", *arguments]) == 0
    (root / "a.wav").unlink()
    before = out.read_bytes()
    assert complaint(capsys, *arguments).startswith(f"{tmp_path}/train.txt: belongs to an earlier train.tsv")
    assert out.read_bytes() == before


def test_a_flat_folder_has_no_speakers(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_noise(tmp_path / "flat" / "a.wav")
    assert main(["prepare", "folders", str(tmp_path / "flat"), "--out", str(tmp_path / "out")]) == 2
    assert "a.wav: lies in no folder, so none says who speaks; find speakers in names" in capsys.readouterr().err
    assert main(["prepare", "audio", str(tmp_path / "flat"), "--out", str(tmp_path / "out")]) == 2
    assert (
        f"--out {tmp_path}/out: expected the name of a manifest, such as {tmp_path}/out/train.tsv"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("renamed", range(5))
def test_killed_between_two_files(root: Path, out: Path, monkeypatch: pytest.MonkeyPatch, renamed: int):
    """The folder levels of another preparation: what is there afterwards fits together."""
    options = ["--speaker-level", "2", "--session-level", "3"]
    assert prepare(root, out, *options) == 0
    (root / "x/1/s1/a.wav").unlink()  # all lines move up
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", killed_after_renames(renamed))
        assert prepare(root, out, *options, "--valid-share", "0.4") == 130
    for manifest in out.glob("*.tsv"):
        assert check_manifest(manifest) == []
    assert not list(out.glob(".*"))
    assert prepare(root, out, *options, "--valid-share", "0.4") == 0
    assert [len(rows(out / f"{split}.tsv")) for split in ("train", "valid")] == [5, 1]
