"""Signals to a training, and what it goes on from: to the bit, from whole files, by the same command."""

import subprocess
from pathlib import Path

import pytest
import torch

from tests.integration.running import command, logged, processes_of, ranks_environment, run_script, run_together, train

SIGNALLED = str(Path(__file__).with_name("signalled.py"))
LIMITS = ("optimization.max_update=7", "checkpoint.save_interval_updates=4", "common.cpu=true")


def signalled(name: str, update: int, data: Path, run: Path, *overrides: str) -> subprocess.CompletedProcess:
    """Trains in `run`, and sends the training a signal in the middle of an update."""
    run.mkdir(exist_ok=True)
    return run_script(SIGNALLED, name, str(update), "--", *command(data, run, *LIMITS, *overrides), cwd=run)


def last(run: Path) -> dict:
    """The checkpoint that the next start goes on from."""
    return torch.load(run / "checkpoints" / "checkpoint_last.pt", weights_only=True)


@pytest.mark.slow
def test_stops_after_the_update_and_goes_on_to_the_bit(voices, tmp_path):
    """SIGTERM, SIGINT and SIGUSR1, one after the other, and then to the end; against a training that nobody stopped."""
    whole = logged(train(voices, tmp_path / "whole", *LIMITS))
    run, steps = tmp_path / "parts", []
    for name, update, status in (("SIGTERM", 2, 143), ("SIGINT", 4, 130), ("SIGUSR1", 5, 138)):
        process = signalled(name, update, voices, run, "dataset.num_workers=1")
        assert process.returncode == status, process.stderr[-3000:]
        assert "Traceback" not in process.stderr + process.stdout
        assert f"stopped after {update} updates, saved in {run}/checkpoints" in process.stderr
        assert last(run)["optimizer_history"][-1]["num_updates"] == update
        assert not processes_of(run)
        process.returncode = 0
        steps += logged(process)
    steps += logged(train(voices, run, *LIMITS))
    assert [step["num_updates"] for step in steps] == [step["num_updates"] for step in whole] == list("1234567")
    for ours, theirs in zip(steps, whole, strict=True):
        for name in ("loss", "gnorm", "lr"):
            assert ours[name] == theirs[name], (name, ours["num_updates"])
    ours, theirs = last(run), last(tmp_path / "whole")
    assert all(torch.equal(weight, ours["model"][name]) for name, weight in theirs["model"].items())
    for key, entry in theirs["last_optimizer_state"]["state"].items():
        mine = ours["last_optimizer_state"]["state"][key]
        assert all(torch.equal(torch.as_tensor(entry[name]), torch.as_tensor(mine[name])) for name in entry)
    assert ours["extra_state"]["best"] == theirs["extra_state"]["best"]

    # It is finished: typed again, it changes nothing.
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in run.rglob("*.pt")}
    events = sorted(path.name for path in run.rglob("events.*"))
    again = train(voices, run, *LIMITS)
    assert logged(again) == []
    said = [line for line in again.stdout.splitlines() if "finished, nothing is changed" in line]
    assert len(said) == 1 and "7 updates of optimization.max_update=7" in said[0]
    assert before == {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in run.rglob("*.pt")}
    assert events == sorted(path.name for path in run.rglob("events.*"))
    # With other options, it is not what was asked for.
    for option, said in (
        (
            "task.sir_low=-3",
            "is of a finished training, which was made with other options than task.sir_low=-3.0 (was -5.0)",
        ),
        ("task.identity=utterance", "identities differ from the checkpoint's"),
    ):
        other = train(voices, run, *LIMITS, option)
        assert other.returncode == 1 and said in other.stderr
    assert before == {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in run.rglob("*.pt")}
    further = train(voices, run, *LIMITS, "task.sir_low=-3", "optimization.max_update=8")
    assert len(logged(further)) == 1 and "from here on the training has task.sir_low=-3.0 (was -5.0);" in further.stdout


@pytest.mark.slow
def test_a_signal_to_one_rank_stops_both_after_the_same_update(voices, tmp_path):
    words = command(voices, tmp_path, *LIMITS)
    ranks = [
        [SIGNALLED, "SIGTERM", str(update), *variables, "--", *words]
        for update, variables in zip((0, 2), ranks_environment(2), strict=True)
    ]
    first, second = run_together(*ranks, cwd=tmp_path)
    assert (first.returncode, second.returncode) == (143, 143), first.stderr[-2000:] + second.stderr[-2000:]
    assert "Traceback" not in first.stderr + second.stderr
    assert last(tmp_path)["optimizer_history"][-1]["num_updates"] == 2


@pytest.mark.slow
def test_jobs_of_a_sweep_do_not_meet(voices, tmp_path):
    """The second is stopped; typed again, the first is finished and the second goes on, each with its own best checkpoint."""
    options = ("optimization.max_update=1,3", "checkpoint.best_checkpoint_metric=num_updates", "common.cpu=true")
    words = ["-m", *command(voices, tmp_path, *options)]
    assert run_script(SIGNALLED, "SIGTERM", "2", "--", *words, cwd=tmp_path).returncode == 143
    again = run_script(SIGNALLED, "SIGTERM", "0", "--", *words, cwd=tmp_path)
    assert [step["num_updates"] for step in logged(again)] == ["3"]
    assert again.stdout.count("finished, nothing is changed") == 1
    jobs = [tmp_path / f"optimization.max_update={updates}" for updates in (1, 3)]
    assert sorted(path for path in tmp_path.iterdir() if path.is_dir()) == jobs
    for updates, job in zip((1, 3), jobs, strict=True):
        for name in ("last", "best"):
            state = torch.load(job / "checkpoints" / f"checkpoint_{name}.pt", weights_only=True)
            assert state["optimizer_history"][-1]["num_updates"] == updates
        assert any((job / "tensorboard" / "valid").iterdir())
