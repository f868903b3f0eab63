"""The rows of the ablation: each a training of its own, then one table."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from csc_fairseq.checkpoints.checkpoint import read_checkpoint
from tests.integration.running import BIN, QUICK, environment

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "csc" / "ablations.sh"


@pytest.fixture
def ablations(voices, tmp_path):
    """ablations(ROWS="base") runs the script on the voices, whose clusters are their speakers; (status, what it printed)."""
    data = tmp_path / "data"
    shutil.copytree(voices, data)
    for split in ("train", "valid"):
        shutil.copy(data / f"{split}.spk", data / f"{split}.cluster")

    def run(**variables: str) -> tuple[int, str]:
        options = [option for option in QUICK if not option.startswith("model.memory")]
        around = environment() | {
            "PATH": f"{BIN}:{os.environ['PATH']}", "UPDATES": "3", "OPTIONS": " ".join(options), "TEST": f"{data}/test.tsv",
            "EVALUATE": "--replicates 20 --seconds 1 --jobs 1",
        }  # fmt: skip
        answer = subprocess.run(
            [SCRIPT, data, tmp_path / "out"], env=around | variables, capture_output=True, text=True, check=False
        )
        return answer.returncode, answer.stdout + answer.stderr

    return run


def test_a_row(ablations, tmp_path):
    out, row = tmp_path / "out" / "seed1", "attention_to_views"
    status, printed = ablations(ROWS=row)
    assert status == 0, printed[-3000:]
    results = json.loads((out / "evaluation" / "results.json").read_text())["results"]
    assert {result["encoder"] for result in results} == {row}
    settings = read_checkpoint(out / row / "checkpoints" / "checkpoint_last.pt").entries["cfg"]
    assert settings["task"]["identity"] == "cluster" and settings["model"]["view_aggregate"] == "attention"
    (seconds,) = (out / f"{row}.time").read_text().splitlines()
    assert float(seconds.split()[0]) > 0

    written = (out / row / "checkpoints" / "checkpoint_last.pt").stat().st_mtime_ns
    status, printed = ablations(ROWS=row, TEST="")
    assert status == 0 and "training" not in printed
    assert (out / row / "checkpoints" / "checkpoint_last.pt").stat().st_mtime_ns == written
    status, printed = ablations(ROWS=row, UPDATES="4")
    assert status == 2 and "was made with other options" in printed


def test_bad_input_is_one_line(ablations, tmp_path):
    for variables, found in (
        ({"ROWS": "base bnak"}, "ROWS has 'bnak'; known: base"),
        ({"TEST": "gone.tsv"}, "TEST=gone.tsv: has no speaker labels"),
    ):
        status, printed = ablations(**variables)
        assert status == 2 and printed.startswith(f"ablations.sh: {found}") and printed.count("\n") == 1
    (tmp_path / "data" / "valid.cluster").unlink()
    status, printed = ablations()
    assert status == 2 and "valid.cluster: not found; make it with" in printed
