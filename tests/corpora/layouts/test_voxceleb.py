"""`csc prepare voxceleb1` and `voxceleb2`: sets, labels, lists of trials, and files that ffmpeg decodes."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from filelock import FileLock

from csc_fairseq.cli.main import main
from csc_fairseq.data.manifest import read_labels, read_manifest
from csc_fairseq.verification.trials.trial_file import read_trials
from tests.corpora.preparing import check, complaint, contents, prepare
from tests.corpora.trees import FRAMES, encode, ffmpeg, speak, voxceleb1, voxceleb2
from tests.faults.test_no_room import no_room
from tests.making import killed_after_renames


def test_voxceleb1_sets_labels_and_trials(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root, out = voxceleb1(tmp_path / "vox1"), tmp_path / "out"
    printed = prepare(capsys, "voxceleb1", root, out)
    labels = {
        f"{split}.{suffix}" for split in ("train", "test", "all") for suffix in ("tsv", "spk", "session", "gender")
    }
    assert set(contents(out)) == labels | {"report.txt", "speakers.txt", "vox1_O_cleaned.trials", "vox1_H.trials"}
    train, test = read_manifest(out / "train.tsv"), read_manifest(out / "test.tsv")
    assert tuple(train.names[:3]) == (
        "wav/id10001/8jEAjG6SegY/00001.wav",
        "wav/id10001/8jEAjG6SegY/00002.wav",
        "wav/id10001/x6uYqmx31kE/00001.wav",
    )
    assert read_labels(train, "spk") == ["voxceleb1/id10001"] * 4 + ["voxceleb1/id10002"] * 4
    assert read_labels(train, "gender") == ["m"] * 4 + ["f"] * 4
    assert read_labels(test, "session")[::2] == [
        "voxceleb1/id10270/8jEAjG6SegY",
        "voxceleb1/id10270/x6uYqmx31kE",
        "voxceleb1/id10271/8jEAjG6SegY",
        "voxceleb1/id10271/x6uYqmx31kE",
    ]
    assert len(read_manifest(out / "all.tsv")) == 16
    assert (out / "vox1_O_cleaned.trials").read_text().splitlines() == [
        "1 wav/id10270/x6uYqmx31kE/00001.wav wav/id10270/8jEAjG6SegY/00002.wav",
        "0 wav/id10270/x6uYqmx31kE/00001.wav wav/id10271/8jEAjG6SegY/00001.wav",
    ]
    trials = read_trials(out / "vox1_H.trials", read_manifest(out / "all.tsv"))
    assert len(trials.targets) + trials.dropped == 6 and trials.targets.any()
    assert printed[4:] == [
        f"vox1_O_cleaned.trials: 2 trials of test.tsv, from {root}/veri_test2.txt",
        f"left out, {root}/list_test_all.txt: 1 of its 5 recordings are not in all.tsv, such as id10003/x6uYqmx31kE/00001.wav",
        f"vox1_H.trials: 6 trials of all.tsv, from {root}/list_test_hard.txt",
    ]
    check(out, "train", "test", "all")


def test_voxceleb1_unpacked_apart_with_lists_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root, lists = voxceleb1(tmp_path / "vox1", tmp_path / "lists"), tmp_path / "lists"
    assert complaint(capsys, "voxceleb1", root, tmp_path / "no").startswith(
        f"{root}/vox1_meta.csv: no such file; expected"
    )
    for folder, speakers in (("dev", ("id10001", "id10002")), ("test", ("id10270", "id10271"))):
        for speaker in speakers:
            (root / folder / "wav").mkdir(parents=True, exist_ok=True)
            shutil.move(root / "wav" / speaker, root / folder / "wav" / speaker)
    (root / "wav").rmdir()
    plain = prepare(capsys, "voxceleb1", root, tmp_path / "plain")
    assert plain[3] == f"no {root}/vox1_meta.csv: no .gender files"
    assert plain[4].startswith("no lists of trials: looked for veri_test.txt, ") and plain[4].endswith(f" in {root}")
    assert read_labels(read_manifest(tmp_path / "plain" / "test.tsv"), "spk")[0] == "voxceleb1/id10270"
    prepare(capsys, "voxceleb1", root, tmp_path / "out", "--lists", str(lists))
    first = (tmp_path / "out" / "vox1_H.trials").read_text().splitlines()[-1]
    assert first == "1 dev/wav/id10001/x6uYqmx31kE/00001.wav dev/wav/id10001/8jEAjG6SegY/00001.wav"
    assert "has none of vox1_meta.csv, veri_test.txt" in complaint(
        capsys, "voxceleb1", root, tmp_path / "no", "--lists", str(tmp_path / "plain")
    )
    (lists / "veri_test2.txt").write_text("1 a b\n2 a b\n")
    said = complaint(capsys, "voxceleb1", root, tmp_path / "no", "--lists", str(lists))
    assert said == f"{lists}/veri_test2.txt:2: found '2 a b', expected `1 ENROLMENT TEST` (or 0); restore the list"
    meta = lists / "vox1_meta.csv"
    meta.write_text(meta.read_text().replace("id10002", "id10009"))
    said = complaint(capsys, "voxceleb1", root, tmp_path / "no", "--lists", str(lists))
    assert said.startswith(f"{meta}: has no speaker id10002, but there is {root}/dev/wav/id10002/")
    meta.write_text(meta.read_text().replace("\tSet\n", "\tsplit\n"))
    said = complaint(capsys, "voxceleb1", root, tmp_path / "no", "--lists", str(lists))
    assert said.startswith(f"{meta}:1: has the header") and "expected the columns VoxCeleb1 ID, Gender, Set" in said
    assert complaint(capsys, "voxceleb1", tmp_path, tmp_path / "no").startswith(
        f"{tmp_path}: has no folder wav; expected wav/"
    )
    assert not (tmp_path / "no").exists()


def test_voxceleb1_recordings_that_are_there_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Those of a published list stay, or its error rates would compare with nothing; others are told as ever."""
    root, out = voxceleb1(tmp_path / "vox1"), tmp_path / "out"
    shutil.copy(root / "wav/id10270/8jEAjG6SegY/00001.wav", root / "wav/id10271/8jEAjG6SegY/00001.wav")
    printed = prepare(capsys, "voxceleb1", root, out)
    assert printed[-1] == "kept, because lists of trials name them: 1 recordings that are the same audio as another one"
    assert len(read_manifest(out / "test.tsv")) == 8 and (out / "vox1_O_cleaned.trials").is_file()
    copy = root / "wav/id10271/x6uYqmx31kE/00002.wav"
    shutil.copy(root / "wav/id10270/8jEAjG6SegY/00001.wav", copy)
    said = complaint(capsys, "voxceleb1", root, out)
    assert said.startswith(f"{copy}: is the same audio as wav/id10270/8jEAjG6SegY/00001.wav; keep one")


def test_voxceleb2_is_decoded(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    root, out = voxceleb2(tmp_path / "vox2"), tmp_path / "out"
    samples = encode(root / "dev/aac/id00012/21Uxsk56VDQ/00001.m4a", 12, 1)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    said = complaint(capsys, "voxceleb2", root, out)
    assert said.startswith(
        f"{root}: has 12 recordings as .m4a, which ffmpeg decodes, and there is no ffmpeg on PATH; install it"
    )
    assert f"cd {root} && find . -name '*.m4a' | while IFS= read -r f; do ffmpeg -nostdin " in said
    assert not out.exists()
    monkeypatch.setenv("PATH", ffmpeg(tmp_path / "bin"))
    prepare(capsys, "voxceleb2", root, out)
    train, test = read_manifest(out / "train.tsv"), read_manifest(out / "test.tsv")
    assert train.root == out / "audio"
    assert train.names[0] == "dev/aac/id00012/21Uxsk56VDQ/00001.flac"
    assert set(train.frames.tolist()) == {FRAMES}
    assert np.array_equal(soundfile.read(train.file(0), dtype="int16")[0], samples)
    assert read_labels(train, "spk") == ["voxceleb2/id00012"] * 4 + ["voxceleb2/id00015"] * 4
    assert read_labels(train, "gender") == ["m"] * 4 + ["f"] * 4
    assert read_labels(test, "session") == ["voxceleb2/id00017/21Uxsk56VDQ"] * 2 + ["voxceleb2/id00017/2DLq_Kkc1r8"] * 2
    check(out, "train")
    # Typed again, nothing is decoded; a source that was replaced is.
    before = {path: path.stat().st_mtime_ns for path in (out / "audio").rglob("*.flac")}
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    prepare(capsys, "voxceleb2", root, out)
    assert {path: path.stat().st_mtime_ns for path in (out / "audio").rglob("*.flac")} == before
    monkeypatch.setenv("PATH", ffmpeg(tmp_path / "bin"))
    newer = root / "dev/aac/id00012/21Uxsk56VDQ/00001.m4a"
    encode(newer, 12, 9)
    os.utime(newer, ns=(2**62, 2**62))
    prepare(capsys, "voxceleb2", root, out)
    assert not np.array_equal(soundfile.read(train.file(0), dtype="int16")[0], samples)


def test_voxceleb2_that_somebody_decoded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """All of dev, into a folder wav; and one damaged file in the test set."""
    root = voxceleb2(tmp_path / "vox2")
    monkeypatch.setenv("PATH", ffmpeg(tmp_path / "bin"))
    prepare(capsys, "voxceleb2", root, tmp_path / "first", "--audio", str(tmp_path / "audio"))
    shutil.copytree(tmp_path / "audio" / "dev" / "aac", root / "dev" / "wav")
    bad = root / "aac/id00017/21Uxsk56VDQ/00001.m4a"
    bad.write_bytes(b"no audio at all")
    out = tmp_path / "out"
    said = complaint(capsys, "voxceleb2", root, out)
    assert said.startswith(f"{bad}: ffmpeg cannot decode it (Invalid data found when processing input); restore it")
    capsys.readouterr()
    printed = prepare(capsys, "voxceleb2", root, out, "--skip-bad")
    assert printed[0] == f"left out, with faults: 1 of 12 recordings, listed in {out}/skipped.txt"
    assert "left out, with faults: 1 recordings, listed in skipped.txt" in (out / "report.txt").read_text()
    train = read_manifest(out / "train.tsv")
    assert train.root == root and len(train) == 8
    assert train.names[0] == "dev/wav/id00012/21Uxsk56VDQ/00001.flac"
    assert len(read_manifest(out / "test.tsv")) == 3
    # Where one was not decoded, it alone is, and the others are links beside it.
    (root / "dev/wav/id00012/21Uxsk56VDQ/00001.flac").unlink()
    encode(bad, 17, 1)
    (out / "audio" / "aac/id00017/21Uxsk56VDQ/00002.flac").unlink()
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert complaint(capsys, "voxceleb2", root, out).startswith(f"{root}: has 3 recordings as .m4a")
    monkeypatch.setenv("PATH", ffmpeg(tmp_path / "bin"))
    prepare(capsys, "voxceleb2", root, out)
    train = read_manifest(out / "train.tsv")
    assert train.root == out / "audio" and len(train) == 8
    decoded, *links = [train.file(i) for i in range(8)]
    assert decoded == out / "audio/dev/aac/id00012/21Uxsk56VDQ/00001.flac" and not decoded.is_symlink()
    assert {os.readlink(path) for path in links} == {str(path) for path in (root / "dev/wav").rglob("*.flac")}
    check(out, "train")
    assert complaint(capsys, "voxceleb2", tmp_path, tmp_path / "no").startswith(
        f"{tmp_path}: has none of the folders dev/aac"
    )


def test_both_sets_in_one_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Decoded trees of other toolkits: the table says who is in which set."""
    root = tmp_path / "vox2"
    for speaker in ("id00012", "id00017"):
        for take in (1, 2):
            speak(root / "wav" / speaker / "21Uxsk56VDQ" / f"0000{take}.wav", int(speaker[2:]), take)
    said = complaint(capsys, "voxceleb2", root, tmp_path / "no")
    assert said.startswith(f"{root}/vox2_meta.csv: no such file; expected the corpus' table, which says of {root}/wav")
    rows = ["VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set ", "id00012 ,n000012 ,m ,dev ", "id00017 ,n000017 ,m ,test "]
    (root / "vox2_meta.csv").write_text("".join(f"{row}\n" for row in rows))
    prepare(capsys, "voxceleb2", root, tmp_path / "out")
    train, test = (read_manifest(tmp_path / "out" / f"{split}.tsv") for split in ("train", "test"))
    assert (
        train.names[0] == "wav/id00012/21Uxsk56VDQ/00001.wav" and read_labels(test, "spk") == ["voxceleb2/id00017"] * 2
    )


def test_sets_of_the_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Folders and tables that say another thing; and VoxCeleb2's aac, which may have speakers of both sets."""
    root, out = tmp_path / "vox2", tmp_path / "out"
    for speaker in (12, 17):
        for number in (1, 2):
            speak(root / f"aac/id{speaker:05}/21Uxsk56VDQ/{number:05}.wav", speaker, number)
    prepare(capsys, "voxceleb2", root, tmp_path / "plain")
    assert len(read_manifest(tmp_path / "plain/test.tsv")) == 4
    table = root / "vox2_meta.csv"
    table.write_text("VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set \nid00012 ,n000012 ,m ,dev \nid00017 ,n000017 ,f ,test \n")
    prepare(capsys, "voxceleb2", root, out)
    for split, speaker in (("train", "id00012"), ("test", "id00017")):
        assert read_labels(read_manifest(out / f"{split}.tsv"), "spk") == [f"voxceleb2/{speaker}"] * 2
    (root / "dev").mkdir()
    (root / "aac").rename(root / "dev/aac")
    said = complaint(capsys, "voxceleb2", root, out)
    assert said.startswith(
        f"{table}:3: id00017 is of the set test, but there is {root}/dev/aac/id00017/21Uxsk56VDQ/00001.wav"
    )
    table.write_text(table.read_text().replace("id00017", "id00018"))
    assert complaint(capsys, "voxceleb2", root, out).startswith(
        f"{table}: has no speaker id00017, but there is {root}/dev"
    )
    one = voxceleb1(tmp_path / "vox1")
    (one / "dev").mkdir()
    (one / "wav").rename(one / "dev/wav")
    assert complaint(capsys, "voxceleb1", one, out).startswith(f"{one}/vox1_meta.csv:4: id10270 is of the set test")


def test_killed_at_every_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Interrupted at each file that takes its place, audio and manifests: the same command ends with the same bytes."""
    root = voxceleb2(tmp_path / "vox2")
    monkeypatch.setenv("PATH", ffmpeg(tmp_path / "bin"))
    whole = tmp_path / "whole"
    assert prepare(capsys, "voxceleb2", root, whole, "--audio", str(tmp_path / "audio"))
    expected, audio = contents(whole), contents(tmp_path / "audio")
    shutil.rmtree(tmp_path / "audio")
    renames = len({*expected, *audio} - {".lock"})
    assert renames >= 20
    words = ["prepare", "voxceleb2", str(root), "--audio", str(tmp_path / "audio"), "--jobs", "2", "--out"]
    for kill in range(renames):
        out = tmp_path / f"out{kill}"
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", killed_after_renames(kill))
            assert main([*words, str(out)]) == 130
        # What a killed process could not clean away.
        stale = tmp_path / "audio" / "dev/aac/id00012/21Uxsk56VDQ" / ".00001.flac.1.tmp"
        if stale.parent.is_dir():
            stale.write_bytes(b"half")
        assert main([*words, str(out)]) == 0
        assert contents(out) == expected and contents(tmp_path / "audio") == audio
        shutil.rmtree(tmp_path / "audio")


def test_a_full_disk_and_a_second_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """A full disk is no fault of the recordings, so --skip-bad leaves none out."""
    root, out = voxceleb2(tmp_path / "vox2"), tmp_path / "out"
    monkeypatch.setenv("PATH", ffmpeg(tmp_path / "bin"))
    with no_room():
        said = complaint(capsys, "voxceleb2", root, out, "--jobs", "1", "--skip-bad")
    first = "audio/aac/id00017/21Uxsk56VDQ/00001.flac"
    assert said == f"{out}/{first}: cannot be written (File too large); make room, or choose another place"
    assert contents(out) == {"audio/.lock": b""}
    prepare(capsys, "voxceleb2", root, out)
    with FileLock(out / "audio" / ".lock"):
        prepare(capsys, "voxceleb2", root, out)  # nothing is left to write
        (out / first).unlink()
        said = complaint(capsys, "voxceleb2", root, out)
    assert (
        said
        == f"{out}/audio: another preparation is writing there; wait for its end, or choose another place with --audio"
    )
    said = complaint(capsys, "voxceleb2", root, out, "--audio", str(out / "train.tsv"))
    assert said == f"{out}/train.tsv: cannot be written (File exists); choose another place with --audio"
    (out / "audio" / ".lock").unlink()
    (out / "audio" / ".lock").mkdir()
    said = complaint(capsys, "voxceleb2", root, out)
    assert said == f"{out}/audio/.lock: cannot be written (Is a directory); choose another place with --audio"
