"""The rows of the ablation: each a training of its own, then one table; nothing twice."""

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
            "EVALUATE": "--replicates 20 --seconds 1",
        }  # fmt: skip
        answer = subprocess.run(
            [SCRIPT, data, tmp_path / "out"], env=around | variables, capture_output=True, text=True, check=False
        )
        return answer.returncode, answer.stdout + answer.stderr

    return run


def test_rows(ablations, tmp_path):
    out = tmp_path / "out" / "seed1"
    rows = ["attention_to_views"]
    status, printed = ablations(ROWS=" ".join(rows))
    assert status == 0, printed[-3000:]
    assert {
        result["encoder"] for result in json.loads((out / "evaluation" / "results.json").read_text())["results"]
    } == set(rows)
    settings = {row: read_checkpoint(out / row / "checkpoints" / "checkpoint_last.pt").entries["cfg"] for row in rows}
    assert [settings[row]["task"]["identity"] for row in rows] == ["cluster"]
    assert [settings[row]["model"]["view_aggregate"] for row in rows] == ["attention"]
    times = {row: (out / f"{row}.time").read_text().splitlines() for row in rows}
    assert all(len(lines) == 1 and float(lines[0].split()[0]) > 0 for lines in times.values())

    status, printed = ablations(ROWS="attention_to_views")
    assert status == 0 and "training" not in printed
    status, printed = ablations(ROWS="attention_to_views", UPDATES="4")
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
