"""Trainings killed anywhere: the same command ends with the weights, optimizer, bank and batches of a training that nobody killed.

CSC_KILLS says how many (6); docs/RELIABILITY.md has the figures of a long run.
"""

import os
import signal
import time
from pathlib import Path

import pytest
import torch

from csc_fairseq.data.rng import generator
from tests.integration.running import command, logged, processes_of, run_script, train

pytestmark = pytest.mark.slow

KILLED = str(Path(__file__).with_name("killed.py"))
KILLS = int(os.environ.get("CSC_KILLS", "6"))
LIMITS = (
    "optimization.max_update=8",
    "checkpoint.save_interval_updates=2",
    "checkpoint.keep_interval_updates=2",
    "common.cpu=true",
)
PLACES = ("write", "linked", "moment", "SIGTERM", "written", "SIGINT", "update", "replaced", "moment")
STATUSES = {"SIGTERM": 143, "SIGINT": 130}
POLLS = 600  # of 0.1 s, which is waiting, not work


def last(run: Path) -> dict:
    return torch.load(run / "checkpoints" / "checkpoint_last.pt", weights_only=True)


def differences(ours: object, theirs: object, place: str = "") -> list[str]:
    """Where two nested structures differ by a bit."""
    if isinstance(theirs, dict):
        if not isinstance(ours, dict) or ours.keys() != theirs.keys():
            return [place]
        return [found for key in theirs for found in differences(ours[key], theirs[key], f"{place}/{key}")]
    if isinstance(theirs, torch.Tensor):
        return [] if isinstance(ours, torch.Tensor) and torch.equal(ours, theirs) else [place]
    if isinstance(theirs, list | tuple):
        if not isinstance(ours, list | tuple) or len(ours) != len(theirs):
            return [place]
        return [
            found
            for i, pair in enumerate(zip(ours, theirs, strict=True))
            for found in differences(*pair, f"{place}/{i}")
        ]
    return [] if ours == theirs else [place]


def compared(state: dict) -> dict:
    """What a training goes on from."""
    return {
        "model": state["model"], "optimizer": state["last_optimizer_state"], "best": state["extra_state"]["best"],
        "updates": state["optimizer_history"][-1]["num_updates"], "iterator": state["extra_state"]["train_iterator"],
    }  # fmt: skip


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds processes in /proc")
def test_kills(voices, tmp_path):
    began = time.monotonic()
    assert len(logged(train(voices, tmp_path / "whole", *LIMITS))) == 8
    duration = time.monotonic() - began  # only says when to kill
    expected = compared(last(tmp_path / "whole"))
    assert expected["updates"] == 8
    draws = generator(0, "kills")
    for kill in range(KILLS):
        place, run = PLACES[kill % len(PLACES)], tmp_path / f"run{kill}"
        run.mkdir()
        options = (*LIMITS, f"dataset.num_workers={kill % 2}")
        words = (KILLED, place, str(draws.integers(1, 5)), f"{draws.uniform(0, 0.7) * duration:.3f}", "--")
        killed = run_script(*words, *command(voices, run, *options), cwd=run)
        assert killed.returncode in (0, -signal.SIGKILL, STATUSES.get(place)), (place, killed.stderr[-3000:])
        assert "Traceback" not in killed.stderr + killed.stdout, (place, killed.stderr[-3000:])
        for _ in range(POLLS):
            if not processes_of(run):
                break
            time.sleep(0.1)
        assert not processes_of(run), f"kill {kill}, {place}: processes are left"
        for path in (run / "checkpoints").glob("*.pt"):
            torch.load(path, weights_only=True)  # each that is there is whole
        resumed = train(voices, run, *options)
        assert resumed.returncode == 0, (place, resumed.stderr[-3000:])
        assert differences(compared(last(run)), expected) == [], (kill, place)
        assert not list((run / "checkpoints").glob("*.tmp")), (kill, place)
