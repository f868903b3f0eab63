"""`pip install csc-fairseq` without extras: everything but training works with the packages that it declares."""

import os
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from packaging.requirements import Requirement

from csc_fairseq.inference.loading import save_bundle
from csc_fairseq.inference.speaker_encoder import SpeakerEncoder
from csc_fairseq.modules.separative_encoder import SeparativeEncoder, SeparativeEncoderConfig
from tests.integration.installing import SITE, build_wheel, checked, copy_sources, make_environment, run, wheel_metadata

# The environment is made once; every command in it imports torch.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("without_fairseq")]
HINT = "needs fairseq, which is not installed: run pip install 'csc-fairseq[train]'\n"


def needed(requirements: Iterable[str], found: set[str]) -> set[str]:
    """`found`, and the distributions that the requirements name without extras, and all that these need."""
    for requirement in map(Requirement, requirements):
        if requirement.name not in found and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            found.add(requirement.name)
            needed(distribution(requirement.name).requires or [], found)
    return found


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """Python of an environment that holds the wheel and what it declares, and nothing else."""
    wheel = build_wheel(copy_sources(tmp_path_factory.mktemp("sources")), tmp_path_factory.mktemp("dist"))
    borrowed = tmp_path_factory.mktemp("borrowed")
    for name in needed(wheel_metadata(wheel).get_all("Requires-Dist"), set()):
        for top in {file.parts[0] for file in distribution(name).files} - {"..", "__pycache__"}:
            if not (borrowed / top).exists():  # a folder that several distributions share
                os.symlink(SITE / top, borrowed / top)
    return make_environment(tmp_path_factory.mktemp("place"), borrowed, wheel)[0]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    """A small model with random weights."""
    torch.manual_seed(0)
    config = SeparativeEncoderConfig(
        waveform_channels=16, window=64, channels=8, attention_heads=2, recurrent_channels=8, shared_blocks=1,
        embedding_channels=12, memory_size=4,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("model") / "model.pt"
    save_bundle(SpeakerEncoder(SeparativeEncoder(config), 16000, "speaker"), path)
    return path


@pytest.mark.parametrize("name", ["fairseq", "hydra", "omegaconf"])
def test_the_environment_lacks(python, tmp_path, name):
    assert f"No module named '{name}'" in run(python, "-c", f"import {name}", cwd=tmp_path).stderr


def test_doctor_passes_and_says_what_training_needs(python, tmp_path):
    lines = checked(python.parent / "csc", "doctor", cwd=tmp_path).splitlines()
    assert lines[-1] == "all is well" and not [line for line in lines if line.startswith("FAIL")]
    assert [line for line in lines if line.startswith("NOTE")] == [
        "NOTE  training: fairseq is not installed; only training, csc mix, csc demo and the networks of "
        "wav2vec 2.0 and HuBERT need it: pip install 'csc-fairseq[train]'"
    ]


def test_embedding_separating_and_scoring(python, bundle, voices, tmp_path):
    csc, audio = python.parent / "csc", voices / "audio"
    checked(csc, "embed", voices / "test.tsv", "--model", bundle, "--out", "e.npz", cwd=tmp_path)
    assert np.load(tmp_path / "e.npz")["embeddings"].shape == (12, 12)
    files = (audio / "s08" / "t00.flac", audio / "s08" / "t01.flac")
    assert -1 <= float(checked(csc, "score", *files, "--model", bundle, cwd=tmp_path).split()[0]) <= 1
    checked(csc, "separate", files[0], "--model", bundle, "--out", "separated", cwd=tmp_path)
    assert {soundfile.info(file).samplerate for file in (tmp_path / "separated").rglob("*.wav")} == {16000}
    checked(csc, "export", bundle, "--format", "bundle", "--out", "again.pt", cwd=tmp_path)


def test_corpora_and_evaluation(python, bundle, voices, tmp_path):
    csc = python.parent / "csc"
    checked(csc, "prepare", "folders", voices / "audio", "--out", "manifests", cwd=tmp_path)
    checked(csc, "check", "manifests/train.tsv", cwd=tmp_path)
    checked(csc, "trials", "--manifest", voices / "test.tsv", "--out", "trials.txt", cwd=tmp_path)
    (tmp_path / "c.yaml").write_text("- {name: clean}\n- {name: over, talkers: 1, sir_db: 0}\n")
    table = checked(
        csc, "evaluate", "--encoder", f"csc={bundle}", "--encoder", "mfcc", "--manifest", voices / "test.tsv",
        "--trials", "trials.txt", "--conditions", "c.yaml", "--replicates", "20", "--jobs", "1", "--out", "evaluation",
        cwd=tmp_path,
    )  # fmt: skip
    assert "mfcc" in table and (tmp_path / "evaluation" / "report.html").is_file()


def test_what_trains_says_what_to_install(python, tmp_path):
    csc = python.parent / "csc"
    mix = run(csc, "mix", "--config-name", "csc_debug", "task.data=absent", "--out", "mixes", cwd=tmp_path)
    assert (mix.returncode, mix.stdout, mix.stderr) == (2, "", f"csc mix: mixing {HINT}")
    demo = run(csc, "demo", "--out", "demo_run", cwd=tmp_path)
    message = "csc demo: the demo needs espeakng_loader, fairseq: run pip install 'csc-fairseq[demo]'\n"
    assert (demo.returncode, demo.stdout, demo.stderr) == (2, "", message)
    register = run(python, "-c", "import csc_fairseq; csc_fairseq.register()", cwd=tmp_path)
    assert register.returncode == 1 and register.stderr.endswith("pip install 'csc-fairseq[train]'\n")
    assert list(tmp_path.iterdir()) == []
