"""Packed fixed mixtures: sources are packed with them, and all that reads them reads the same."""

import json
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from csc_fairseq.cli.main import main
from csc_fairseq.data.fixed_mixture_dataset import FixedMixtureDataset
from csc_fairseq.data.fixed_mixtures import FixedMixtures, read_fixed_mixtures
from csc_fairseq.data.fixed_views import FixedViews, source_labels
from csc_fairseq.data.mixing_plans import MixingOptions
from tests.corpora.test_packing import contents, killed_at
from tests.making import bundled, speaker_encoder, voice, write_recording, write_recordings

RATE, FRAMES, KILLS = 16000, 8000, 12
# The second mixture has a source of the first, by another spelling of its path.
SOURCES = ("s/ann.wav\ts/ben 1.wav", "s/cy.wav\t./s/ann.wav", "s/ben 2.wav\ts/dan.wav")
SPEAKERS = ("ann\tben", "cy\tann", "ben\tdan")


@pytest.fixture
def loose(tmp_path: Path) -> FixedMixtures:
    folder, signals = tmp_path / "loose", {}
    for number, line in enumerate(SOURCES):
        signals[f"mix/{number}.flac"] = np.zeros(FRAMES)
        for name in line.split("\t"):
            samples = 0.3 * voice(ord(name.strip("./s")[0]), len(name), FRAMES / RATE)
            write_recording(folder / "audio" / name, samples)
            signals[f"mix/{number}.flac"] = signals[f"mix/{number}.flac"] + samples
    (folder / "audio" / "mix").mkdir()
    path = write_recordings(folder / "test.tsv", signals, root=folder / "audio").path
    for suffix, lines in (("sources", SOURCES), ("speakers", SPEAKERS)):
        path.with_suffix(f".{suffix}").write_text("".join(f"{line}\n" for line in lines))
    return read_fixed_mixtures(path)


def pack(mixtures: FixedMixtures, out: Path, *options: str) -> int:
    return main(["pack", str(mixtures.manifest.path), "--out", str(out), *options])


@pytest.fixture
def packed(loose: FixedMixtures, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> FixedMixtures:
    """The same in archives of at most 60 kB."""
    assert pack(loose, tmp_path / "packed", "--shard-size", "60K") == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path}/packed/test.tsv: 3 mixtures and 5 sources in 5 archives, ")
    return read_fixed_mixtures(tmp_path / "packed" / "test.tsv")


def test_all_of_it_reads_the_same(loose: FixedMixtures, packed: FixedMixtures):
    held = []
    for path in sorted(packed.manifest.root.glob("*.zip")):
        with ZipFile(path) as archive:
            assert archive.testzip() is None
            held += archive.namelist()
    assert held == [*loose.manifest.names, "s/ann.wav", "s/ben 1.wav", "s/cy.wav", "s/ben 2.wav", "s/dan.wav"]
    assert packed.manifest.names == loose.manifest.names and packed.speakers == loose.speakers
    assert packed.slices[0] == packed.slices[3] and packed.sources == loose.sources
    for index in range(3):
        for one, other in zip(loose.load(index, RATE), packed.load(index, RATE), strict=True):
            np.testing.assert_array_equal(one, other)
        packed.require_fitting(index, RATE)
    assert main(["check", str(packed.manifest.path), "--deep"]) == 0


def test_views_are_the_same_to_the_sample(loose: FixedMixtures, packed: FixedMixtures):
    batches = []
    for mixtures in (loose, packed):
        table = {"ann": 0, "ben": 1}
        views = FixedViews(
            mixtures, source_labels(mixtures, "speaker"), table, MixingOptions(view_frames=2000), cache_megabytes=0
        )
        dataset = FixedMixtureDataset(mixtures, views, 1, "train")
        batches.append(dataset.collater([dataset[i] for i in range(3)]))
    one, other = batches
    for name in ("sources", "identities", "present"):
        assert one[name].equal(other[name])
    for name in ("source", "recordings"):
        assert one["net_input"][name].equal(other["net_input"][name])


def test_evaluations_are_the_same(loose: FixedMixtures, packed: FixedMixtures, tmp_path: Path):
    bundled(speaker_encoder(0), tmp_path / "model.pt")
    found = []
    for number, mixtures in enumerate((loose, packed)):
        out = tmp_path / str(number)
        words = [
            "--mixtures",
            str(mixtures.manifest.path),
            "--encoder",
            f"csc={tmp_path}/model.pt",
            "--replicates",
            "20",
        ]
        assert main(["evaluate", *words, "--out", str(out)]) == 0
        (result,) = json.loads((out / "results.json").read_text())["results"]
        found.append({name: value for name, value in result.items() if name != "manifest"})
    assert found[0] == found[1] and found[0]["mixtures"] == 3


def test_packing_what_is_packed_and_a_change_of_a_source(loose: FixedMixtures, packed: FixedMixtures, tmp_path: Path):
    before = contents(packed.manifest.root)
    assert pack(packed, tmp_path / "again", "--shard-size", "60K") == 0
    again = contents(tmp_path / "again")
    assert again.keys() == before.keys()
    assert all(again[name] == before[name] for name in before if name != "test.tsv")
    write_recording(loose.files(2)[1], voice(1, 1, FRAMES / RATE))
    assert pack(loose, packed.manifest.root, "--shard-size", "60K") == 0
    np.testing.assert_array_equal(packed.load(2, RATE)[1], loose.load(2, RATE)[1])


def test_killed_and_typed_again(loose: FixedMixtures, packed: FixedMixtures, tmp_path: Path):
    expected, kills = contents(packed.manifest.root), 0
    for number in range(1, KILLS + 1):
        out = tmp_path / f"killed{number}"
        kills += killed_at(number, lambda out=out: pack(loose, out, "--shard-size", "60K"))
        assert not (out / "test.tsv").exists() or (out / "test.sources").exists()
        assert pack(loose, out, "--shard-size", "60K") == 0
        there = {name: text.replace(bytes(out), bytes(packed.manifest.root)) for name, text in contents(out).items()}
        assert there == expected
    assert kills == KILLS


def test_what_is_wrong_is_named(loose: FixedMixtures, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    def said(out: Path) -> str:
        assert pack(loose, out) == 2
        assert not list(out.glob("*.zip"))
        return capsys.readouterr().err.removeprefix("csc pack: ")

    sources = loose.manifest.path.with_suffix(".sources")
    out = tmp_path / "packed"
    out.mkdir()
    (out / "test.sources").write_text("of somebody\n")
    assert said(out).startswith(f"{out}/test.sources: is there, and `csc pack` did not write it")
    loose.files(1)[0].unlink()
    assert said(tmp_path / "no").startswith(f"{sources}:2: {loose.files(1)[0]}: cannot be read (No such file")
    sources.write_text("\n".join(("s/ann.wav\t../x.wav", *SOURCES[1:])) + "\n")
    assert said(tmp_path / "no").startswith(f"{sources}:1: ../x.wav lies outside the audio folder")
    sources.write_text("s/ann.wav\n")
    assert said(tmp_path / "no").startswith(f"{sources}: has 1 lines, but {loose.manifest.path} has 3 mixtures")


def test_names_that_do_not_fit(packed: FixedMixtures, capsys: pytest.CaptureFixture[str]):
    names = packed.manifest.path.with_suffix(".source_names")
    names.write_text("a\na\na\n")
    assert main(["check", str(packed.manifest.path)]) == 1
    assert f"{names}:1: names 1 sources, expected 2" in capsys.readouterr().out
