"""Corpora as they are published: prepared, checked, trained on with noise and rooms, and evaluated on their trials or mixtures."""

from pathlib import Path

import pytest

from csc_fairseq.cli.main import main
from tests.corpora.trees import (
    cnceleb,
    commonvoice,
    cut_set,
    ffmpeg,
    librimix,
    librispeech,
    musan,
    rirs,
    vctk,
    voxceleb1,
    voxceleb2,
    voxconverse,
    wsj0_2mix,
)
from tests.integration.running import logged, train

pytestmark = pytest.mark.slow


def csc(*words: object) -> None:
    assert main([str(word) for word in words]) == 0


def test_from_a_corpus_to_a_training(tmp_path: Path):
    librispeech(tmp_path / "libri", seconds=1.2)
    voxceleb1(tmp_path / "vox", seconds=1.2)
    csc("prepare", "librispeech", tmp_path / "libri", "--valid-per-speaker", 1, "--out", tmp_path / "a")
    csc("prepare", "voxceleb1", tmp_path / "vox", "--valid-per-speaker", 1, "--out", tmp_path / "b")
    csc("prepare", "musan", musan(tmp_path / "musan"), "--out", tmp_path / "noise")
    csc("prepare", "rirs", rirs(tmp_path / "RIRS_NOISES"), "--out", tmp_path / "rirs")
    noises = (f"task.noise={tmp_path}/noise/noise.tsv", f"task.rir={tmp_path}/rirs/simulated.tsv")
    for data, more in (("a", noises), ("b", (f"task.rir={tmp_path}/rirs/real.tsv", "dataset.batch_size=3"))):
        csc("check", *(tmp_path / data / f"{split}.tsv" for split in ("train", "valid", "test")))
        run = train(tmp_path / data, tmp_path / f"run_{data}", "optimization.max_update=3", *more)
        assert len(logged(run)) == 3, run.stderr[-3000:]
    csc("prepare", "join", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "both")
    weights = "task.domain_weights={a: 0.5, b: 2}"
    run = train(tmp_path / "both", tmp_path / "run_both", "optimization.max_update=3", weights)
    assert len(logged(run)) == 3, run.stderr[-3000:]
    out = tmp_path / "evaluation"
    (tmp_path / "clean.yaml").write_text("- {name: clean}\n")
    csc("evaluate", "--encoder", "mfcc", "--manifest", tmp_path / "b" / "all.tsv", "--trials", tmp_path / "b" / "vox1_H.trials",
        "--conditions", tmp_path / "clean.yaml", "--replicates", 10, "--jobs", 1, "--out", out)  # fmt: skip
    assert (out / "results.json").is_file()


def test_from_fixed_mixtures_to_figures_on_them(tmp_path: Path):
    """Trained on a corpus and on mixtures of its speakers, validated and evaluated on mixtures of others."""
    data, mixed = tmp_path / "data", tmp_path / "mixed"
    librispeech(tmp_path / "libri", seconds=1.2)
    librimix(tmp_path / "Libri2Mix", seconds=1.2)
    csc("prepare", "librispeech", tmp_path / "libri", "--out", data)
    csc("prepare", "librimix", tmp_path / "Libri2Mix", "--out", mixed)
    for suffix in ("tsv", "sources", "speakers"):
        (data / f"valid.{suffix}").write_text((mixed / f"dev.{suffix}").read_text())
    run = train(data, tmp_path / "run", "optimization.max_update=3", f"task.fixed_mixtures={mixed}/train.tsv")
    assert len(logged(run)) == 3, run.stderr[-3000:]
    assert -60 < float(logged(run, "valid")[-1]["valid_si_snri"]) < 60
    csc("mix", "--config-name", "csc_debug", f"task.data={mixed}", "task.view_seconds=0.5", "--out", tmp_path / "mixes")
    assert len(list((tmp_path / "mixes").glob("*_source?.wav"))) == 4
    model = tmp_path / "run" / "checkpoints" / "checkpoint_last.pt"
    words = ("--mixtures", mixed / "test.tsv", mixed / "dev.tsv", "--encoder", model, "--replicates", 20)
    csc("evaluate", *words, "--out", tmp_path / "evaluation")
    assert (tmp_path / "evaluation" / "results.json").is_file()


OTHERS = {
    "cnceleb": (cnceleb, (), ()),
    "commonvoice": (commonvoice, (), ()),
    "lhotse": (cut_set, (), ("task.view_seconds=0.15",)),
    "vctk": (vctk, ("--allow-rates",), ("task.resample=true",)),
    "voxceleb2": (voxceleb2, (), ()),
    "wsj0-2mix": (wsj0_2mix, ("--sample-rate", "8000"), ("task.sample_rate=8000", "dataset.batch_size=1")),
}


@pytest.mark.parametrize("corpus", OTHERS)
def test_other_corpora_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, corpus: str):
    """With views as short as their recordings, without validation."""
    plant, words, options = OTHERS[corpus]
    root, out = plant(tmp_path / "corpus"), tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setenv("PATH", ffmpeg(tmp_path / "bin"))
        csc("prepare", corpus, root, *words, "--out", out)
    short = ("task.view_seconds=0.25", "dataset.batch_size=2", "dataset.disable_validation=true")
    run = train(out, tmp_path / "run", "optimization.max_update=3", *short, *options)
    assert len(logged(run)) == 3, run.stderr[-3000:]
    if corpus == "cnceleb":
        model = tmp_path / "run" / "checkpoints" / "checkpoint_last.pt"
        (tmp_path / "clean.yaml").write_text("- {name: clean}\n")
        csc("evaluate", "--encoder", model, "--manifest", out / "eval.tsv", "--trials", out / "eval.trials",
            "--conditions", tmp_path / "clean.yaml", "--replicates", 10, "--jobs", 1, "--out", tmp_path / "e")  # fmt: skip
        assert (tmp_path / "e" / "results.json").is_file()


def test_from_published_turns_to_an_evaluation(tmp_path: Path):
    csc("prepare", "voxconverse", voxconverse(tmp_path / "vox"), "--out", tmp_path / "out")
    csc("evaluate", "--conversations", tmp_path / "out" / "test", "--dev", tmp_path / "out" / "dev", "--encoder", "mfcc",
        "--replicates", 10, "--out", tmp_path / "e")  # fmt: skip
    assert (tmp_path / "e" / "results.json").is_file()
