"""`csc prepare librimix` and `wsj0-2mix`: manifests of fixed mixtures, their splits, sources and speakers."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from csc_fairseq.cli.main import main
from csc_fairseq.data.fixed_mixtures import read_fixed_mixtures
from tests.corpora.preparing import complaint, contents, prepare
from tests.corpora.trees import FRAMES, librimix, speak, write_text, wsj0_2mix
from tests.making import killed_after_renames


@pytest.fixture(scope="session")
def trees(once) -> Path:
    """Libri2Mix/ and wsj0/; tests must leave them as they are."""
    return once("trees_of_mixtures", lambda folder: (librimix(folder / "Libri2Mix"), wsj0_2mix(folder / "wsj0")))


def test_librimix(trees: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root, out = trees / "Libri2Mix", tmp_path / "out"
    printed = prepare(capsys, "librimix", root, out)
    beside = {f"{split}.{suffix}" for split in ("train", "dev", "test") for suffix in ("tsv", "sources", "speakers")}
    assert set(contents(out)) == {*beside, "report.txt"}
    assert [line.split() for line in printed[:4]] == [
        ["split", "mixtures", "talkers", "speakers", "hours"],
        ["dev", "1", "2", "2", "0.00"],
        ["test", "3", "2", "4", "0.00"],
        ["train", "4", "2", "5", "0.00"],
    ]
    assert printed[4:] == [
        "mixtures: mix_clean, min, 16000 Hz",
        "dev: 1 mixtures; 3000 are published",
        "test: 3 mixtures; 3000 are published",
        "train-100: 3 mixtures; 13900 are published",
        "train-360: 1 mixtures; 50800 are published",
    ]
    assert (out / "report.txt").read_text().splitlines()[:-1] == [f"csc prepare librimix {root}", *printed]
    test = read_fixed_mixtures(out / "test.tsv")
    assert list(test.manifest.names) == [
        f"wav16k/min/test/mix_clean/{name}.wav"
        for name in (
            "121-127105-0000_260-123286-0001",
            "61-70968-0000_121-123852-0001",
            "61-70970-0000_237-126133-0001",
        )
    ]
    assert test.sources[2:4] == [f"wav16k/min/test/{s}/61-70968-0000_121-123852-0001.wav" for s in ("s1", "s2")]
    assert list(test.speakers) == [f"librispeech/{number}" for number in (121, 260, 61, 121, 61, 237)]
    mixture, sources = test.load(1, 16000)
    assert sources.shape == (2, FRAMES) and np.array_equal(mixture, sources.sum(0))
    assert main(["check", *(str(out / f"{split}.tsv") for split in ("train", "dev", "test")), "--deep"]) == 0
    assert "test.tsv: 3 recordings, 0.00 h, mixtures of 2 sources, 4 speakers" in capsys.readouterr().out
    first = contents(out)
    prepare(capsys, "librimix", root, out)
    assert contents(out) == first


def test_other_kinds_and_subsets(trees: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root = trees / "Libri2Mix"
    for kind, talkers in (("mix_both", 2), ("mix_single", 1)):
        words = ["--kind", kind, "--subsets", "test", "train-360"]
        printed = prepare(capsys, "librimix", root, tmp_path / kind, *words)
        assert printed[-1] == "left out, not in --subsets: train-100, dev"
        assert "test: 3 mixtures; 3000 are published" in printed
        assert not (tmp_path / kind / "dev.tsv").exists()
        train = read_fixed_mixtures(tmp_path / kind / "train.tsv")
        assert (len(train), train.count) == (1, talkers)
        assert list(train.speakers) == ["librispeech/14", "librispeech/16"][:talkers]
        mixture, sources = train.load(0, 16000)
        assert 0.005 < np.abs(mixture - sources.sum(0)).mean() < 0.02  # what is left is noise


def test_wsj0_2mix(trees: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root, out = trees / "wsj0", tmp_path / "out"
    said = complaint(capsys, "wsj0-2mix", root, out)
    assert said.startswith(
        f"{root}/2speakers/wav16k/min: no such folder; found 2speakers/wav8k/min (--sample-rate 8000 --mode min)"
    )
    printed = prepare(capsys, "wsj0-2mix", root, out, "--sample-rate", "8000")
    assert [line.split()[:4] for line in printed[1:4]] == [
        ["test", "2", "2", "3"],
        ["train", "2", "2", "3"],
        ["valid", "1", "2", "2"],
    ]
    assert printed[4:6] == ["mixtures: min, 8000 Hz", "cv: 1 mixtures; 5000 are published"]
    train = read_fixed_mixtures(out / "train.tsv")
    assert list(train.speakers) == ["wsj0/01a", "wsj0/209", "wsj0/20a", "wsj0/01a"]
    assert main(["check", str(out / "train.tsv"), "--sample-rate", "8000"]) == 0
    mixture, sources = train.load(1, 8000)
    assert len(mixture) == FRAMES and np.array_equal(mixture, sources.sum(0))


def test_killed_between_files(
    trees: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    words = ["prepare", "wsj0-2mix", str(trees / "wsj0"), "--sample-rate", "8000", "--out"]
    assert main([*words, str(tmp_path / "whole")]) == 0
    expected = contents(tmp_path / "whole")
    for kill in range(len(expected)):
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", killed_after_renames(kill))
            assert main([*words, str(tmp_path / f"out{kill}")]) == 130
        assert main([*words, str(tmp_path / f"out{kill}")]) == 0
        assert contents(tmp_path / f"out{kill}") == expected


def test_faulty_mixtures(trees: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root = tmp_path / "Libri2Mix"
    shutil.copytree(trees / "Libri2Mix" / "wav16k/min/test", root / "wav16k/min/test")
    place = root / "wav16k/min/test"
    speak(place / "s2/61-70968-0000_121-123852-0001.wav", 1, 1, seconds=0.2)
    said = complaint(capsys, "librimix", root, tmp_path / "out")
    assert said.startswith(
        f"{place}/s2/61-70968-0000_121-123852-0001.wav: has 3200 samples, but its mixture {place}/mix_clean/61"
    )
    assert "(1 of 3 recordings; --skip-bad leaves such out)" in said
    (place / "s1/61-70970-0000_237-126133-0001.wav").unlink()
    printed = prepare_with_faults(capsys, root, tmp_path / "out")
    assert printed[0] == f"left out, with faults: 2 of 3 recordings, listed in {tmp_path}/out/skipped.txt"
    assert len(read_fixed_mixtures(tmp_path / "out/test.tsv")) == 1
    assert "237-126133-0001.wav: no such file" in (tmp_path / "out/skipped.txt").read_text()
    assert (
        f"no {root}/wav16k/min/metadata/mixture_test_mix_clean.csv: nothing says whether all mixtures are there"
        in printed
    )


def prepare_with_faults(capsys: pytest.CaptureFixture[str], root: Path, out: Path) -> list[str]:
    return prepare(capsys, "librimix", root, out, "--skip-bad")


def test_wrong_trees(trees: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out, root = tmp_path / "out", tmp_path / "Libri2Mix"
    said = complaint(capsys, "librimix", trees, out)
    assert (
        said.startswith(f"{trees}/wav16k/min: no such folder; found no other rate or mode")
        and "holds wav16k as ROOT" in said
    )
    shutil.copytree(trees / "Libri2Mix" / "wav16k/min/metadata", root / "wav16k/min/metadata")
    place = root / "wav16k/min/dev"
    assert "found none; generate it, or choose others with --subsets" in complaint(capsys, "librimix", root, out)
    shutil.copytree(trees / "Libri2Mix" / "wav16k/min/dev/mix_both", place / "mix_both")
    assert "choose another --kind of mix_clean, mix_both" in complaint(capsys, "librimix", root, out)
    words = ["--kind", "mix_both"]
    assert f"{root}/wav16k/min/test: no such folder" in complaint(capsys, "librimix", root, out, "--subsets", "test")
    (mixture,) = (place / "mix_both").iterdir()
    mixture.rename(place / "mix_both" / "84-121123-0002_174-50561-0000.wav")
    said = complaint(capsys, "librimix", root, out, *words)
    assert said.startswith(f"{root}/wav16k/min/metadata/mixture_dev_mix_both.csv:2: no file {mixture}; expected all")
    for name in ("noise-free.wav", "84-121123-0001.wav"):
        write_text(place / "mix_both" / name, ["not read"])
        shutil.rmtree(root / "wav16k/min/metadata", ignore_errors=True)
        assert "expected names of utterances such as 103-1240-0003_1235" in complaint(
            capsys, "librimix", root, out, *words
        )
        (place / "mix_both" / name).unlink()
    write_text(place / "mix_both" / "1-1-1_2-2-2_3-3-3.wav", ["not read"])
    assert "keep Libri2Mix and Libri3Mix apart" in complaint(capsys, "librimix", root, out, *words)
    (tmp_path / "w/2speakers/wav16k/min").mkdir(parents=True)
    assert "has none of the folders tr, cv, tt" in complaint(capsys, "wsj0-2mix", tmp_path / "w", out)
    write_text(tmp_path / "w/2speakers/wav16k/min/tt/mix/a_b.wav", [])
    assert "tt/mix/a_b.wav: expected two utterances with levels" in complaint(capsys, "wsj0-2mix", tmp_path / "w", out)
    assert not out.exists()


def test_labels_of_other_manifests_are_not_left_beside(trees: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    write_text(out / "test.spk", ["a"])
    said = complaint(capsys, "librimix", trees / "Libri2Mix", out)
    assert said.startswith(f"{out}/test.spk: belongs to an earlier test.tsv")
    (out / "test.spk").unlink()
    prepare(capsys, "librimix", trees / "Libri2Mix", out)
    speak(tmp_path / "speech/a/x.wav", 1, 1)
    assert main(["prepare", "audio", str(tmp_path / "speech"), "--out", str(out / "test.tsv")]) == 2
    assert f"{out}/test.sources: belongs to an earlier test.tsv" in capsys.readouterr().err
