"""`csc prepare join`: what the joined folder holds, what is refused, and that packed and loose folders mix."""

from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from csc_fairseq.cli.main import main
from csc_fairseq.corpora.check import check_manifest
from csc_fairseq.corpora.joining import folder_names
from csc_fairseq.data.manifest import domain_labels, identity_labels, read_labels, read_manifest
from tests.corpora.preparing import contents
from tests.making import write_noise

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A prepared folder m/NAME of recordings speaker/number.wav below audio/NAME: speakers by split, label files by suffix."""

    def make(name: str, splits: dict[str, str], **labels: str) -> Path:
        folder = tmp_path / "m" / name
        folder.mkdir(parents=True)
        for split, speakers in splits.items():
            names = [f"{speaker}/{split}{number}.wav" for speaker, number in product(speakers.split(), "12")]
            for one in names:
                write_noise(tmp_path / "audio" / name / one, seconds=0.1)
            lines = [str(tmp_path / "audio" / name), *(f"{one}\t1600" for one in names)]
            (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n")
            for suffix, form in {"spk": "{corpus}/{speaker}", **labels}.items():
                own = [form.format(corpus=name, speaker=one.split("/")[0], name=one) for one in names]
                (folder / f"{split}.{suffix}").write_text("\n".join(own) + "\n")
        return folder

    return make


def join(out: Path, *words: object) -> int:
    return main(["prepare", "join", *map(str, words), "--out", str(out)])


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Joins what cannot be joined; the one line. Nothing is written."""

    def refused(*words: object, out: Path | None = None) -> str:
        out = out or tmp_path / "refused"
        before = contents(tmp_path)
        capsys.readouterr()
        assert join(out, *words) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and contents(tmp_path) == before
        return error

    return refused


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "joined"


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_each_split_is_joined_with_its_like(make: Make, out: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    a = make("a", {"train": "x y", "valid": "x", "all": "x"}, gender="f", session="{corpus}/{name}")
    b = make("b", {"train": "z", "test": "t"}, domain="phone")
    (a / "vox.trials").write_text("")
    assert join(out, a, b) == 0
    assert lines(out / "train.tsv") == [
        str(tmp_path / "audio"),
        *(f"{name}\t1600" for name in ("a/x/train1.wav", "a/x/train2.wav", "a/y/train1.wav", "a/y/train2.wav")),
        *(f"b/z/train{number}.wav\t1600" for number in (1, 2)),
    ]
    assert lines(out / "train.spk") == ["a/x", "a/x", "a/y", "a/y", "b/z", "b/z"]
    assert lines(out / "train.domain") == ["a"] * 4 + ["phone"] * 2
    assert lines(out / "train.gender") == ["f"] * 4 + ["unknown"] * 2
    assert lines(out / "train.session") == [*(f"a/{s}/train{n}.wav" for s, n in product("xy", "12")), "b/z", "b/z"]
    assert lines(out / "valid.tsv") == [str(tmp_path / "audio"), "a/x/valid1.wav\t1600", "a/x/valid2.wav\t1600"]
    assert lines(out / "test.domain") == ["phone", "phone"] and not (out / "test.session").exists()
    assert lines(out / "speakers.txt") == ["speaker\tgender", "a/x\tf", "a/y\tf", "b/z\tunknown"]
    assert not (out / "all.tsv").exists()
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[:-1] for line in printed if line.startswith("train")] == [
        ["train", "3", "5", "6"],
        ["train,", "a", "2", "4", "4"],
        ["train,", "b", "1", "1", "2"],
    ]
    assert printed[-1] == f"left out, to be used from {a}: all.tsv, vox.trials"
    report = lines(out / "report.txt")
    assert report[1:-1] == printed and report[-1].startswith("files: speakers.txt test.domain test.spk test.tsv ")
    for split in ("train", "valid", "test"):
        assert [str(one) for one in check_manifest(out / f"{split}.tsv")] == [
            f"{out / split}.spk:1: has the single identity {label!r}; expected at least two, to mix and to distinguish"
            for label in {"train": (), "valid": ("a/x",), "test": ("b/t",)}[split]
        ]
    before = contents(out)
    assert join(out, a, b) == 0 and contents(out) == before


def test_labels_that_a_folder_lacks_are_left_out_and_told(make: Make, out: Path, capsys: pytest.CaptureFixture[str]):
    a = make("a", {"train": "x"}, txt="YES", ltr="Y E S |", cluster="a{speaker}")
    b = make("b", {"train": "z"}, txt="NO")
    (b / "train.spk").unlink()
    assert join(out, a, b) == 0
    printed = capsys.readouterr().out
    assert lines(out / "train.txt") == ["YES", "YES", "NO", "NO"]
    for suffix in ("spk", "cluster"):
        assert f"left out, train.{suffix}: there is no {b}/train.{suffix}\n" in printed
    assert "left out, train.ltr: `csc prepare transcripts`" in printed
    assert {path.name for path in out.iterdir()} == {"train.tsv", "train.txt", "train.domain", "report.txt"}


@pytest.mark.parametrize(("suffix", "what"), [("spk", "speaker"), ("session", "session"), ("cluster", "cluster")])
def test_one_label_of_two_folders_is_refused_and_can_be_told_apart(make: Make, out: Path, refused, suffix, what):
    a, b = make("a", {"train": "x z"}, **{suffix: "{speaker}"}), make("b", {"valid": "y z"}, **{suffix: "{speaker}"})
    error = refused(a, b)
    assert f"{a}/train.{suffix}:3 and {b}/valid.{suffix}:3: both have {what} 'z' (1 such labels)" in error
    assert "`--equal-labels rename` to have a/z and b/z" in error
    assert join(out, a, b, "--equal-labels", "rename") == 0
    assert lines(out / f"train.{suffix}") == ["a/x", "a/x", "a/z", "a/z"]
    assert lines(out / f"valid.{suffix}") == ["b/y", "b/y", "b/z", "b/z"]


def test_equal_labels_may_be_one_speaker_but_not_in_training_and_test(make: Make, out: Path, refused):
    a = make("a", {"train": "x z"}, spk="{speaker}")
    b, c = (make(name, {split: "z u"}, spk="{speaker}") for name, split in (("b", "valid"), ("c", "test")))
    assert join(out, a, b, "--equal-labels", "same") == 0
    assert (lines(out / "train.spk"), lines(out / "valid.spk")) == (["x", "x", "z", "z"], ["z", "z", "u", "u"])
    error = refused(a, c, "--equal-labels", "same")
    assert f"{c}/test.spk:1: speaker 'z' is in train too, by {a}/train.spk:3 (1 such speakers)" in error


def test_a_recording_in_two_splits_of_two_folders_is_refused(make: Make, tmp_path: Path, refused):
    a, b = make("a", {"train": "x y"}), make("b", {"test": "z"})
    (b / "test.tsv").write_text(f"{tmp_path}/audio\na/y/train2.flac\t1600\nb/z/test1.wav\t1600\n")
    error = refused(a, b)
    assert f"{b}/test.tsv:2: a/y/train2.flac is on {a}/train.tsv:5 too" in error and "keep one" in error


def test_packed_folders_keep_their_names_and_mix_with_loose_ones(make: Make, out: Path, tmp_path: Path, refused):
    """Both were packed from folders of one layout, so their names are the same though the recordings are not."""
    packed = []
    for name in ("a", "b"):
        loose = make(name, {"train": "x y"})
        assert main(["pack", str(loose / "train.tsv"), "--out", str(tmp_path / name / "packed")]) == 0
        packed.append(tmp_path / name / "packed")
    loose = make("c", {"train": "x"})
    assert join(out, packed[0], loose) == 0
    manifest = read_manifest(out / "train.tsv")
    assert check_manifest(out / "train.tsv", deep=True) == []
    assert manifest.names == ["x/train1.wav", "x/train2.wav", "y/train1.wav", "y/train2.wav"] + [
        f"audio/c/x/train{number}.wav" for number in (1, 2)
    ]
    assert identity_labels(manifest, "session") == ["x", "x", "y", "y", "audio/c/x", "audio/c/x"]
    assert domain_labels(manifest) == ["packed"] * 4 + ["c"] * 2
    original = read_manifest(packed[0] / "train.tsv")
    assert [manifest.file(i) for i in (0, 3)] == [original.file(i) for i in (0, 3)]
    error = refused(*packed)
    assert f"{packed[1]}/train.tsv:2: x/train1.wav is on {packed[0]}/train.tsv:2 too" in error
    assert "add `--equal-labels rename`" in error
    assert join(out, *packed, "--equal-labels", "rename") == 0
    manifest = read_manifest(out / "train.tsv")
    assert check_manifest(out / "train.tsv", deep=True) == []
    assert [manifest.names[i] for i in (0, 7)] == ["a/packed/x/train1.wav", "b/packed/y/train2.wav"]
    assert [read_labels(manifest, "spk")[i] for i in (0, 7)] == ["a/packed/a/x", "b/packed/b/y"]


def test_folders_that_cannot_be_joined(make: Make, tmp_path: Path, refused):
    a, b = make("a", {"train": "x"}), make("b", {"train": "y"})
    assert "expected at least two folders, each once" in refused(a)
    assert "expected at least two folders, each once" in refused(a, b, a)
    assert f"{tmp_path / 'audio'}: has none of train.tsv" in refused(a, tmp_path / "audio")
    assert f"{b}: is one of the folders to join" in refused(a, b, out=b)


@pytest.mark.parametrize("rate", ["0", "-16000"])
def test_a_rate_that_is_none(make: Make, out: Path, capsys: pytest.CaptureFixture[str], rate: str):
    with pytest.raises(SystemExit):
        join(out, make("a", {"train": "x"}), make("b", {"train": "y"}), f"--sample-rate={rate}")
    expected = f"argument --sample-rate: {rate}: expected a rate in Hz such as 16000\n"
    assert capsys.readouterr().err.endswith(expected) and not out.exists()


def test_fixed_mixtures_are_not_joined(make: Make, refused):
    mixed = make("mixed", {"train": "a b", "valid": "c"}, sources="s1/{name}\ts2/{name}") / "train.tsv"
    said = refused(make("one", {"train": "a b"}), mixed.parent)
    assert said.startswith(f"csc prepare: {mixed}: is of fixed mixtures, whose sources would be lost; move it away: ")


def test_folders_are_called_by_the_ends_of_their_paths():
    assert folder_names([Path("/m/libri"), Path("/n/vox2")]) == ["libri", "vox2"]
    assert folder_names([Path("/m/libri/packed"), Path("/m/vox2/packed")]) == ["libri/packed", "vox2/packed"]
    assert folder_names([Path("/m"), Path("/a/m")]) == ["/m", "a/m"]
