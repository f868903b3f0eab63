"""`csc prepare lhotse`: whole recordings stay where they are, parts of them become files."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from lhotse import CutSet, Recording, RecordingSet, SupervisionSegment
from lhotse.audio import AudioSource
from lhotse.testing.dummies import dummy_features
from lhotse.utils import fastcopy

from csc_fairseq.cli.main import main
from csc_fairseq.data.manifest import read_labels, read_manifest
from tests.corpora.preparing import check, complaint, contents, prepare
from tests.corpora.trees import FRAMES, SECONDS, cut_set, speak
from tests.making import SAMPLE_RATE, killed_after_renames, voice, write_recording


@pytest.fixture
def cuts(tmp_path: Path) -> Path:
    return cut_set(tmp_path)


def kept(cuts: Path, name: str, which: Callable[[Any], bool], change: Callable[[Any], Any] = lambda cut: cut) -> Path:
    """Another file of those cuts that `which` is true of, changed."""
    path = cuts.with_name(name)
    CutSet.from_cuts(change(cut) for cut in CutSet.from_file(cuts) if which(cut)).to_file(path)
    return path


def below(audio: Path, folder: Path) -> Path:
    """Where files of a folder are below --audio."""
    return audio / folder.resolve().relative_to("/")


def mono(cut: Any) -> bool:
    return cut.id in ("whole-0", "whole-1", "whole-2", "whole-3")


def test_parts_links_and_channels(cuts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    printed = prepare(capsys, "lhotse", cuts, out)
    overlapping = [cut.id for cut in CutSet.from_file(cuts) if len(cut.supervisions) > 1]
    train = read_manifest(out / "train.tsv")
    made = below(out / "audio", tmp_path / "corpus")
    assert train.root == made and tuple(zip(train.names, train.frames, strict=True)) == (
        ("0/0.flac", FRAMES),
        ("0/2.flac", FRAMES),
        ("0/4.flac.parts/ch1_000000000000-000000300000.flac", FRAMES),
        ("1/1.flac", FRAMES),
        ("1/3.flac", FRAMES),
        ("talk.wav.parts/ch0_000000150000-000000525000.flac", 6000),
        ("talk.wav.parts/ch0_000000525000-000000825000.flac", 4800),
    )  # fmt: skip
    assert read_labels(train, "spk") == ["reader 0"] * 3 + ["reader 1"] * 2 + ["anna", "ben"]
    assert read_labels(train, "gender") == ["f"] * 5 + ["unknown"] * 2
    assert printed[2:] == [
        f"left out, without a speaker: 1 of 10 cuts, such as {cuts}: cut whole-5",
        f"left out, with several speakers: 2 of 10 cuts, such as {cuts}: cut {overlapping[0]}",
        f"written below {made}: parts of recordings and of their channels, as FLAC, and links to the others",
    ]
    corpus = tmp_path / "corpus"
    assert (made / "0" / "2.flac").readlink() == corpus / "0" / "2.flac"
    talk, stereo = (soundfile.read(path)[0] for path in (corpus / "talk.wav", corpus / "0" / "4.flac"))
    for name, expected in ((train.names[2], stereo[:, 1]), (train.names[5], talk[2400:8400])):
        assert np.abs(soundfile.read(train.root / name)[0] - expected).max() <= 2**-24  # talk.wav has floating point
    check(out, "train")
    first = contents(out)
    prepare(capsys, "lhotse", cuts, out)
    assert contents(out) == first


def test_whole_recordings_stay(cuts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch):
    """Splits have a file each, or several; paths may be relative."""
    monkeypatch.chdir(tmp_path)
    short = kept(cuts, "a=1.jsonl", lambda cut: cut.id in ("whole-0", "whole-1"))
    relative = kept(cuts, "b.yaml", lambda cut: cut.id == "whole-2", relative_to(tmp_path))
    test = kept(cuts, "test.jsonl.gz", lambda cut: cut.id == "whole-3")
    assert main(["prepare", "lhotse", f"train={short}", str(relative), f"test={test}", "--out", "out"]) == 0
    assert "note: reader 1: 1 speakers are in both train and test" in capsys.readouterr().out
    train = read_manifest(tmp_path / "out" / "train.tsv")
    assert train.root == tmp_path / "corpus" and tuple(train.names) == ("0/0.flac", "0/2.flac", "1/1.flac")
    assert read_manifest(tmp_path / "out" / "test.tsv").names == ("1/3.flac",)
    assert not (tmp_path / "out" / "audio").exists()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    prepare(capsys, "lhotse", relative, tmp_path / "other", "--root", "..")
    assert read_manifest(tmp_path / "other" / "train.tsv").root == tmp_path / "corpus" / "0"


def relative_to(folder: Path) -> Callable[[Any], Any]:
    """Makes a cut's path relative."""

    def change(cut: Any) -> Any:
        (source,) = cut.recording.sources
        source.source = str(Path(source.source).relative_to(folder))
        return cut

    return change


def test_without_speakers(cuts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    flat = kept(cuts, "flat.jsonl", mono, lambda cut: cut.drop_supervisions())
    printed = prepare(capsys, "lhotse", flat, tmp_path / "out", "--valid-for", "utterance", "--valid-share", "0.5")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"train.tsv", "valid.tsv", "report.txt"}
    assert printed[-1] == "no supervision names a speaker: no label files"


def test_drawn_speakers_and_patterns(cuts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    prepare(capsys, "lhotse", cuts, out, "--test-speakers", "1", "--exclude", "0/4.flac*")
    speakers = {split: set(read_labels(read_manifest(out / f"{split}.tsv"), "spk")) for split in ("train", "test")}
    assert [len(own) for own in speakers.values()] == [3, 1] and not speakers["train"] & speakers["test"]


def test_resampled_by_lhotse(cuts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Its files are read as they are; times stay the same."""
    slow = kept(cuts, "slow.jsonl", lambda cut: mono(cut) or cut.id == "t0", lambda cut: cut.resample(8000))
    assert main(["prepare", "lhotse", str(slow), "--sample-rate", "8000", "--out", str(tmp_path / "no")]) == 2
    assert capsys.readouterr().err.count("16000 Hz") == 5
    prepare(capsys, "lhotse", slow, tmp_path / "out", "--sample-rate", "8000", "--allow-rates")
    train = read_manifest(tmp_path / "out" / "train.tsv")
    assert train.names[4] == "talk.wav.parts/ch0_000000150000-000000525000.flac" and train.frames[4] == 3000
    assert soundfile.info(train.root / train.names[4]).frames == 6000


@pytest.mark.parametrize(
    ("name", "coding", "bits"), [("a.wav", "PCM_24", 24), ("a.wav", "FLOAT", 24), ("a.mp3", None, 16)]
)
def test_other_codings(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, coding: str | None, bits: int):
    """What FLAC can hold is kept: 24 bits to the sample."""
    rng = np.random.default_rng(0)
    samples = rng.integers(-(2**23), 2**23, SAMPLE_RATE).astype(float) / 2**23 * 0.3
    soundfile.write(tmp_path / name, np.rint(samples * 2**23) / 2**23, SAMPLE_RATE, subtype=coding)
    recording = Recording.from_file(tmp_path / name)
    cut = recording.to_cut().truncate(offset=0.25, duration=0.5)
    cut.supervisions = [SupervisionSegment("s", recording.id, 0, 0.5, speaker="anna")]
    CutSet.from_cuts([cut]).to_file(tmp_path / "cuts.jsonl")
    prepare(capsys, "lhotse", tmp_path / "cuts.jsonl", tmp_path / "out")
    (made,) = (tmp_path / "out").rglob("*.flac")
    assert soundfile.info(made).subtype == f"PCM_{bits}"
    part, whole = soundfile.read(made)[0], soundfile.read(tmp_path / name)[0][4000:12000]
    assert np.abs(part - whole).max() <= (0 if bits == 24 else 2**-15)


def test_killed_at_every_file(
    cuts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    out, whole = tmp_path / "out", tmp_path / "whole"
    words = ["prepare", "lhotse", str(cuts), "--audio", str(tmp_path / "audio"), "--jobs", "2", "--out"]
    assert main([*words, str(whole)]) == 0
    expected, audio = contents(whole), contents(tmp_path / "audio")
    shutil.rmtree(tmp_path / "audio")
    for kill in range(len([name for name in (*expected, *audio) if not name.endswith(".lock")])):
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", killed_after_renames(kill))
            assert main([*words, str(out)]) == 130
        assert main([*words, str(out)]) == 0
        assert contents(out) == expected and contents(tmp_path / "audio") == audio
        shutil.rmtree(tmp_path / "audio")
        shutil.rmtree(out)


def test_recordings_of_one_name_share_a_folder(cuts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Of another corpus, with the same times of change: nothing is taken for what it is not, and both manifests stay true."""
    other = cut_set(tmp_path / "other")
    for path in (tmp_path / "other").rglob("*.*"):
        os.utime(path, (1, 1))
    talk = tmp_path / "other" / "corpus" / "talk.wav"
    write_recording(talk, voice(5, 5, 6 * SECONDS))
    os.utime(talk, (1, 1))
    found = []
    for name, one in (("a", cuts), ("b", other), ("again", cuts)):
        prepare(capsys, "lhotse", one, tmp_path / name, "--audio", str(tmp_path / "audio"))
        train = read_manifest(tmp_path / name / "train.tsv")
        found.append([soundfile.read(train.file(i))[0] for i in range(len(train))])
    alike = [np.array_equal(one, another) for one, another in zip(*found[:2], strict=True)]
    assert alike == [True] * 5 + [False] * 2
    assert all(np.array_equal(one, another) for one, another in zip(found[0], found[2], strict=True))


def test_files_of_the_user_stay(cuts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Whatever lies where a link belongs, and however --audio leads to the corpus itself."""
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    before = contents(corpus)
    (tmp_path / "root").symlink_to("/")
    prepare(capsys, "lhotse", cuts, out, "--audio", str(tmp_path / "root"))
    train = read_manifest(out / "train.tsv")
    assert train.root == corpus and train.names[0] == "0/0.flac" and not train.file(0).is_symlink()
    assert {name: text for name, text in contents(corpus).items() if name in before} == before
    own = below(tmp_path / "audio", corpus) / "1" / "1.flac"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"of the user")
    said = complaint(capsys, "lhotse", cuts, tmp_path / "no", "--audio", str(tmp_path / "audio"))
    assert said.startswith(f"{own}: is there, and is not {corpus}/1/1.flac; move it away, or choose another place")
    assert own.read_bytes() == b"of the user"
    own.unlink()
    own.symlink_to(tmp_path / "gone")
    prepare(capsys, "lhotse", cuts, tmp_path / "yes", "--audio", str(tmp_path / "audio"))
    assert own.readlink() == corpus / "1" / "1.flac"


def test_links_in_paths(cuts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """`..` after a link to a folder means what the system means; a cut set may be a link to a name without an ending."""
    (tmp_path / "blobs").mkdir()
    deep = tmp_path / "deep" / "er"
    deep.mkdir(parents=True)
    (tmp_path / "here").symlink_to(deep)

    def through(cut: Any) -> Any:
        (source,) = cut.recording.sources
        source.source = f"here/../../corpus/{Path(source.source).relative_to(tmp_path / 'corpus')}"
        return cut

    kept(cuts, "some.jsonl", mono, through).rename(tmp_path / "blobs" / "4f3a")
    (tmp_path / "some.jsonl").symlink_to("blobs/4f3a")
    prepare(capsys, "lhotse", tmp_path / "some.jsonl", tmp_path / "out", "--root", str(tmp_path))
    assert read_manifest(tmp_path / "out" / "train.tsv").root == tmp_path / "corpus"


def test_speakers_of_each_recording(cuts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    def numbered(cut: Any) -> Any:
        for one in cut.supervisions:
            one.speaker = "spk00"
        return cut

    local = kept(cuts, "local.jsonl", mono, numbered)
    printed = prepare(capsys, "lhotse", local, tmp_path / "a")
    note = "note: speaker spk00 is in 4 recordings; if this is another person in each, add --local-speakers"
    assert printed[-1] == note
    printed = prepare(capsys, "lhotse", local, tmp_path / "b", "--local-speakers")
    assert read_labels(read_manifest(tmp_path / "b" / "train.tsv"), "spk") == [
        "r0/spk00",
        "r2/spk00",
        "r1/spk00",
        "r3/spk00",
    ]
    assert note not in printed


def test_speakers_that_are_numbers(cuts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Some recipes have them; blanks around names say nothing."""

    def numbered(cut: Any) -> Any:
        (one,) = cut.supervisions
        one.speaker = 7 if cut.id < "whole-2" else " 8 "
        one.gender = 1
        return cut

    prepare(capsys, "lhotse", kept(cuts, "numbers.jsonl", mono, numbered), tmp_path / "out")
    assert read_labels(read_manifest(tmp_path / "out" / "train.tsv"), "spk") == ["7", "8", "7", "8"]


def test_one_part_twice(cuts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """As with a text and its translation. For two speakers it is a fault."""
    both = tmp_path / "both.jsonl"
    cut = next(iter(CutSet.from_file(cuts)))
    CutSet.from_cuts([cut, cut.with_id("again")]).to_file(both)
    printed = prepare(capsys, "lhotse", both, tmp_path / "out")
    assert "left out, the same part of a recording as another cut: 1 of 2 cuts" in printed
    other = cut.with_id("other").map_supervisions(lambda one: fastcopy(one, speaker="x"))
    CutSet.from_cuts([cut, other]).to_file(both)
    said = complaint(capsys, "lhotse", both, tmp_path / "no")
    assert said.startswith(f"{both}: cut other: is the same part of {tmp_path}/corpus/0/0.flac as {both}: cut whole-0")


def test_parts_that_overlap_are_told(cuts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    windows = tmp_path / "windows.jsonl"
    CutSet.from_cuts(cut for cut in CutSet.from_file(cuts) if mono(cut)).cut_into_windows(0.2, hop=0.1).to_file(windows)
    printed = prepare(capsys, "lhotse", windows, tmp_path / "out")
    assert printed[-1].startswith("note: 4 cuts begin within another one, such as ")


def test_known_faults_come_before_hours_of_work(cuts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"

    def some(cut: Any) -> Any:
        if cut.id == "whole-1":
            return cut.pad(5, preserve_id=True)
        if cut.id == "whole-3":
            cut.supervisions[0].speaker = "a\tb"
        return cut

    mixed = kept(cuts, "mixed.jsonl", lambda cut: True, some)
    assert main(["prepare", "lhotse", str(mixed), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert f"{mixed}: cut whole-1: is mixed or padded; " in said and not out.exists()
    assert f"{mixed}: cut whole-3: 'a\\tb' has a tab or a line break, or is not UTF-8; rename this" in said
    assert main(["prepare", "lhotse", str(mixed), "--out", str(out), "--skip-bad"]) == 0
    assert len((out / "skipped.txt").read_text().splitlines()) == 2 and len(read_manifest(out / "train.tsv")) == 5
    assert main(["prepare", "lhotse", str(cuts), "--out", str(tmp_path / "no"), "--sample-rate", "8000"]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path}/corpus/talk.wav, channel 0 from 0.15 to 0.525 s: has 16000 Hz, expected 8000 Hz" in said
    assert not list((tmp_path / "no").rglob("ch0_*"))


def test_faulty_recordings(cuts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """All are named at once, or left out."""
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    write_recording(corpus / "talk.wav", voice(92, 0, 4 * SECONDS))
    (corpus / "0" / "2.flac").unlink()
    (corpus / "0" / "4.flac").write_bytes(b"fLaC")
    assert main(["prepare", "lhotse", str(cuts), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert f"{corpus}/0/2.flac: no such file; restore it, or correct its path\n" in said
    assert f"{corpus}/0/4.flac, channel 1 from 0 to 0.3 s: cannot be read (" in said
    prepared = ["lhotse", cuts, out, "--skip-bad"]
    assert main(["prepare", *map(str, prepared[:2]), "--out", str(out), "--skip-bad"]) == 0
    assert len(read_manifest(out / "train.tsv")) == 5 and len((out / "skipped.txt").read_text().splitlines()) == 2


def test_a_recording_that_is_too_short_or_loud(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.full(SAMPLE_RATE, 0.5), SAMPLE_RATE, subtype="FLOAT")
    cut = Recording.from_file(path).to_cut().truncate(offset=0.5)
    CutSet.from_cuts([cut]).to_file(tmp_path / "cuts.jsonl")
    soundfile.write(path, np.full(SAMPLE_RATE, 1.5), SAMPLE_RATE, subtype="FLOAT")
    said = complaint(capsys, "lhotse", tmp_path / "cuts.jsonl", tmp_path / "out")
    assert said.startswith(
        f"{path}, channel 0 from 0.5 to 1 s: has a peak of 1.50, which FLAC cannot hold; lower the level"
    )
    soundfile.write(path, np.full(SAMPLE_RATE - 300, 0.5), SAMPLE_RATE, subtype="FLOAT")
    assert main(["prepare", "lhotse", str(tmp_path / "cuts.jsonl"), "--out", str(tmp_path / "out")]) == 0
    assert read_manifest(tmp_path / "out" / "train.tsv").frames[0] == SAMPLE_RATE // 2 - 300
    soundfile.write(path, np.full(SAMPLE_RATE // 2, 0.5), SAMPLE_RATE, subtype="FLOAT")
    said = complaint(capsys, "lhotse", tmp_path / "cuts.jsonl", tmp_path / "no")
    assert said.startswith(f"{path}, channel 0 from 0.5 to 1 s: the file has 1 channels of 0.5 s; restore it")


def source_of(kind: str) -> Callable[[Any], Any]:
    def change(cut: Any) -> Any:
        cut.recording.sources = [AudioSource(kind, [0], "cat a.wav")]
        return cut

    return change


def channel_two(cut: Any) -> Any:
    cut.channel = 2
    return cut


def features_alone(cut: Any) -> Any:
    cut.features = dummy_features(0, 0, cut.duration)
    return cut.drop_recording()


CHANGED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "padded": (lambda cut: cut.pad(5, preserve_id=True), "is mixed or padded; give the cuts before that"),
    "speed": (lambda cut: cut.perturb_speed(1.1, affix_id=False), "is changed by Speed; give the cuts as they were"),
    "features": (features_alone, "has no recording; make cuts with lhotse cut simple -r"),
    "url": (
        source_of("url"),
        "has its audio from a url, expected a file; write files, and cuts of them, with CutSet.save",
    ),
    "channel": (channel_two, "has channel 2, which its recording lacks; make the cuts again"),
}


@pytest.mark.parametrize("kind", CHANGED)
def test_cuts_that_are_no_part_of_a_file(cuts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str):
    change, expected = CHANGED[kind]
    changed = kept(cuts, "changed.jsonl", lambda cut: cut.id == "whole-0", change)
    said = complaint(capsys, "lhotse", changed, tmp_path / "out")
    assert said.startswith(f"{changed}: cut whole-0: {expected}"), said
    assert not (tmp_path / "out").exists()


def test_files_that_are_no_cut_sets(
    cuts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "out"

    def said(name: str, content: bytes | None = None) -> str:
        if content is not None:
            (tmp_path / name).write_bytes(content)
        return complaint(capsys, "lhotse", tmp_path / name, out).removeprefix(f"{tmp_path}/")

    assert said("none.jsonl") == "none.jsonl: no such file; expected a cut set of lhotse, such as cuts.jsonl.gz"
    assert said("empty.jsonl", b"") == "empty.jsonl: no cuts; expected one for each recording, or part of a recording"
    assert said("half.jsonl.gz", cuts.read_bytes()[:-40]).startswith("half.jsonl.gz: cannot be read after ")
    assert said("other.jsonl", b'{"a": 1}\n').startswith("other.jsonl: cannot be read after 0 cuts (TypeError: ")
    assert said("other.txt", b"a").startswith("other.txt: cannot be read after 0 cuts (ValueError: ")
    recordings = RecordingSet.from_recordings([Recording.from_file(speak(tmp_path / "a.wav", 1, 1))])
    recordings.to_file(tmp_path / "recordings.jsonl.gz")
    assert (
        said("recordings.jsonl.gz")
        == "recordings.jsonl.gz: has a Recording in place 1, expected a cut: lhotse cut simple -r RECORDINGS -s SUPERVISIONS CUTS"
    )
    turns = kept(cuts, "turns.jsonl", lambda cut: len(cut.supervisions) > 1)
    assert ": has several speakers, and so has each cut with any; make a cut for each turn: lhotse" in said(turns.name)
    assert main(["prepare", "lhotse", str(cuts), f"test={cuts}", "--out", str(out)]) == 2
    assert "is the same part of" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "lhotse", None)
    assert said("cuts.jsonl.gz").endswith("; pip install 'csc-fairseq[lhotse]'")
