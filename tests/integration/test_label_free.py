"""The label-free pipeline on a folder of recordings: every step, then nothing again."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from csc_fairseq.checkpoints.checkpoint import read_checkpoint
from csc_fairseq.data.manifest import read_manifest
from tests.integration.running import BIN, QUICK, environment

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "csc" / "label_free.sh"
OPTIONS = (
    "model.global_vectors=views", "model.memory=none", "checkpoint.best_checkpoint_metric=view_eer",
    "optimization.max_update=8",
)  # fmt: skip


@pytest.fixture
def pipeline(voices, tmp_path):
    """pipeline("mfcc encoder") runs the script on a flat folder; (status, what it printed)."""
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, recording in enumerate(sorted((voices / "audio").rglob("*.flac"))):
        shutil.copy(recording, flat / f"{number:03}.flac")

    def run(rounds: str, **variables: str) -> tuple[int, str]:
        options = [option for option in QUICK if not option.startswith("model.memory")]
        around = environment() | {
            "PATH": f"{BIN}:{os.environ['PATH']}", "ROUNDS": rounds, "CONFIG": "csc_debug",
            "OPTIONS": " ".join([*options, *OPTIONS]), "NEXT": "optimization.lr=[0.001]", "TEST": f"{voices}/test.tsv",
            "EVALUATE": "--replicates 20 --seconds 1 --jobs 1",
        }  # fmt: skip
        answer = subprocess.run(
            [SCRIPT, flat, tmp_path / "out"], env=around | variables, capture_output=True, text=True, check=False
        )
        return answer.returncode, answer.stdout + answer.stderr

    return run


def noise_folder(path: Path) -> str:
    path.mkdir()
    soundfile.write(path / "fan.wav", np.random.default_rng(0).normal(0, 0.1, 16000), 16000)
    return str(path)


def test_rounds(pipeline, tmp_path):
    out = tmp_path / "out"
    noise = noise_folder(tmp_path / "noise")
    status, printed = pipeline("mfcc encoder", NOISE=noise)
    assert status == 0, printed[-3000:]
    split = [read_manifest(out / "manifests" / f"{name}.tsv") for name in ("train", "valid")]
    for folder in ("clusters_mfcc", "clusters2"):
        labels = [(out / folder / f"{name}.cluster").read_text().split() for name in ("train", "valid")]
        assert [len(part) for part in labels] == [len(manifest) for manifest in split]
        assert len({*labels[0], *labels[1]}) == round(sum(map(len, split)) / 8)
    assert not list(out.rglob("*.spk")) and "purity" not in printed
    last = [read_checkpoint(out / f"round{number}" / "checkpoints" / "checkpoint_last.pt") for number in (1, 2)]
    assert all(checkpoint.identity_level == "cluster" and checkpoint.speakers is None for checkpoint in last)
    assert all(checkpoint.entries["cfg"]["task"]["noise"] == f"{out}/manifests/noise.tsv" for checkpoint in last)
    results = json.loads((out / "evaluation" / "results.json").read_text())["results"]
    assert {result["encoder"] for result in results} == {"round1", "round2"}
    assert printed.splitlines()[-1] == f"the encoder: {out}/round2/checkpoints/checkpoint_last.pt"

    written = {path: path.stat().st_mtime_ns for path in out.rglob("*.pt")}
    status, printed = pipeline("mfcc encoder", NOISE=noise)
    assert status == 0 and "training" not in printed and "clustering" not in printed
    assert written == {path: path.stat().st_mtime_ns for path in out.rglob("*.pt")}
    status, printed = pipeline("mfcc encoder", NOISE=noise, CLUSTER="--clusters 3")
    assert status == 2 and "was made with other options" in printed


def test_recordings_as_identities(pipeline, tmp_path):
    status, printed = pipeline("none", TEST="")
    assert status == 0, printed[-3000:]
    last = tmp_path / "out" / "round1" / "checkpoints" / "checkpoint_last.pt"
    assert printed.splitlines()[-1] == f"the encoder: {last}"
    assert read_checkpoint(last).identity_level == "utterance"


def test_bad_input_is_one_line(pipeline, tmp_path):
    for variables, found in (
        ({"ROUNDS": "mfcc 2"}, "ROUNDS has '2'; expected mfcc, encoder or none"),
        ({"ROUNDS": "encoder"}, "ROUNDS begins with encoder, but no round comes before"),
        ({"ROUNDS": " "}, "ROUNDS is empty"),
        ({"NEXT": "a=1\nb=2"}, "NEXT: has a line break"),
        ({"NOISE": "gone"}, "NOISE=gone: no such folder"),
        ({"TEST": "gone.tsv"}, "TEST=gone.tsv: has no speaker labels"),
    ):
        status, printed = pipeline("mfcc", **variables)
        assert status == 2 and printed.startswith(f"label_free.sh: {found}") and printed.count("\n") == 1
    (tmp_path / "flat" / "train.tsv").write_text("x\n")
    status, printed = pipeline("mfcc")
    assert status == 2 and "valid.tsv: not found; hold recordings out" in printed
