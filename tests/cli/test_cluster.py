"""`csc cluster` with a network of random weights: it writes labels that training reads, and touches nothing else."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import lfilter

from csc_fairseq.cli.main import main
from csc_fairseq.data.manifest import identity_labels, read_manifest
from tests.making import bundled, speaker_encoder


@pytest.fixture
def place(voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Manifests train and valid, and a model, in the working directory."""
    for split in ("train", "valid"):
        for suffix in ("tsv", "spk"):
            shutil.copy(voices / f"{split}.{suffix}", tmp_path)
    bundled(speaker_encoder(), tmp_path / "model.pt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_labels_for_training(place, capsys):
    assert main(["cluster", "train.tsv", "valid.tsv", "--model", "model.pt"]) == 0
    printed = capsys.readouterr().out
    labels = [identity_labels(read_manifest(f"{split}.tsv"), "cluster") for split in ("train", "valid")]
    assert [len(part) for part in labels] == [32, 16]
    count = len({*labels[0], *labels[1]})
    assert f"{count} clusters of 48 recordings: largest " in printed
    assert "against 8 speakers of .spk: purity " in printed and "two halves agree by" in printed
    assert printed.splitlines()[-2:] == [f"{place}/train.cluster", f"{place}/valid.cluster"]


def test_speakers_are_never_needed(place, capsys):
    assert main(["cluster", "train.tsv", "--model", "model.pt"]) == 0
    with_labels = Path("train.cluster").read_text()
    for path in (Path("train.spk"), Path("train.cluster")):
        path.unlink()
    assert main(["cluster", "train.tsv", "--model", "model.pt"]) == 0
    assert Path("train.cluster").read_text() == with_labels
    assert capsys.readouterr().out.count("purity") == 1


def test_a_number_of_clusters(place, capsys):
    assert main(["cluster", "train.tsv", "--model", "model.pt", "--clusters", "5"]) == 0
    assert "5 clusters of 32 recordings" in capsys.readouterr().out
    assert len(set(Path("train.cluster").read_text().split())) == 5
    assert main(["cluster", "train.tsv", "--model", "model.pt", "--per-cluster", "4.2", "--force"]) == 0
    assert "8 clusters of 32 recordings" in capsys.readouterr().out


def test_bad_input_is_one_line(place, capsys):
    Path("train.cluster").write_text("precious\n")
    Path("few.tsv").write_text("\n".join(Path("train.tsv").read_text().splitlines()[:5]) + "\n")
    for words, found in (
        (["train.tsv"], "train.cluster: is there already; move it away, or replace it with --force"),
        (["valid.tsv", "--clusters", "9"], "--clusters 9: expected 2 to 8"),
        (["valid.tsv", "--per-cluster", "1.5"], "--per-cluster 1.5: expected 2 to 8 for 16 recordings"),
        (["few.tsv"], "few.tsv: 4 recordings in all, expected at least 8"),
        (["missing.tsv"], "missing.tsv"),
    ):
        assert main(["cluster", *words, "--model", "model.pt"]) == 2
        error = capsys.readouterr().err
        assert found in error and error.count("\n") == 1
    assert Path("train.cluster").read_text() == "precious\n"
    assert main(["cluster", "train.tsv", "--model", "model.pt", "--force"]) == 0
    assert len(Path("train.cluster").read_text().splitlines()) == 32


@pytest.mark.parametrize("seed", ["-1", str(2**32)])
def test_a_seed_that_is_none(place, capsys, seed):
    with pytest.raises(SystemExit):
        main(["cluster", "train.tsv", "--model", "model.pt", f"--seed={seed}"])
    assert f"--seed: {seed}: expected a whole number from 0, below 2^32" in capsys.readouterr().err
    assert not Path("train.cluster").exists()


def test_cepstra_need_no_model(tmp_path, capsys, monkeypatch):
    """Three voices, told apart by the resonance of their noise."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    voices = [i % 3 for i in range(60)]
    for i, voice in enumerate(voices):
        centre = 2 * np.pi * (800 + 1500 * voice) / 16000
        resonance = [1, -1.8 * np.cos(centre), 0.81]
        soundfile.write(f"{i}.wav", 0.01 * lfilter([1], resonance, rng.normal(size=12000)), 16000)
    Path("train.tsv").write_text(f"{tmp_path}\n" + "".join(f"{i}.wav\t12000\n" for i in range(60)))
    Path("train.spk").write_text("".join(f"{voice}\n" for voice in voices))
    assert main(["cluster", "train.tsv", "--model", "mfcc", "--clusters", "3"]) == 0
    assert "against 3 speakers of .spk: purity 1.000, NMI 1.000" in capsys.readouterr().out


def test_silence_has_no_cepstra(place, capsys):
    manifest = read_manifest("train.tsv")
    shutil.copytree(manifest.root, place / "audio")
    Path("train.tsv").write_text(Path("train.tsv").read_text().replace(str(manifest.root), f"{place}/audio", 1))
    silent = place / "audio" / manifest.names[3]
    soundfile.write(silent, np.zeros(16000), 16000)
    assert main(["cluster", "train.tsv", "--model", "mfcc"]) == 2
    error = capsys.readouterr().err
    assert f"{silent}: is digitally silent" in error and error.count("\n") == 1
    assert not Path("train.cluster").exists()
