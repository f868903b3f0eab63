"""A training that goes on from something else than it left: through the real command."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.integration.running import logged, train, train_once

LIMITS = (
    "checkpoint.save_interval_updates=1", "checkpoint.keep_interval_updates=-1", "lr_scheduler.warmup_updates=0", "common.cpu=true",
)  # fmt: skip


@pytest.fixture
def stopped(voices: Path, once: Callable[..., Path], tmp_path: Path) -> Path:
    """A private copy of the run folder of a training of 2 updates, in the middle of an epoch."""
    run, process = train_once(once, "two_updates", voices, *LIMITS, "optimization.max_update=2")
    assert len(logged(process)) == 2
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run"


def error_of(process) -> str:
    """The one line that it ended with."""
    assert process.returncode == 1, process.stdout[-2000:] + process.stderr[-2000:]
    assert "Traceback" not in process.stderr + process.stdout, process.stderr[-3000:]
    others = ("Error executing job", "Set the environment variable", "DEBUG:")  # Hydra's own
    lines = [line for line in process.stderr.splitlines() if line and not line.startswith(others)]
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.xdist_group("resuming")
def test_a_torn_last_checkpoint_is_replaced_by_the_one_before(voices, stopped):
    folder = stopped / "checkpoints"
    for name in ("checkpoint_last.pt", "checkpoint_best.pt", "checkpoint_1_2.pt"):
        path = folder / name
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content[: len(content) // 2])
    process = train(voices, stopped, *LIMITS, "optimization.max_update=2")
    assert [step["num_updates"] for step in logged(process)] == ["2"]
    told = [line for line in process.stdout.splitlines() if "going on from checkpoint_1_1.pt" in line]
    assert len(told) == 1 and "checkpoint_last.pt: cannot be read" in told[0]
    for name in ("checkpoint_last.pt", "checkpoint_1_2.pt"):
        assert torch.load(folder / name, weights_only=True)["optimizer_history"][-1]["num_updates"] == 2
    assert (folder / "checkpoint_1_2.pt").samefile(folder / "checkpoint_last.pt")  # no copy that could be cut off


@pytest.mark.slow
@pytest.mark.xdist_group("resuming")
@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("dataset.batch_size=5",), "dataset.batch_size=4, and now it is 5"),
        (("model.channels=24", "optimization.max_update=3"), "model.channels=16, now 24"),
    ],
)
def test_what_does_not_fit_is_one_line(voices, stopped, overrides, expected):
    before = {path.name: path.read_bytes() for path in (stopped / "checkpoints").glob("*.pt")}
    assert expected in error_of(train(voices, stopped, *LIMITS, *overrides))
    assert before == {path.name: path.read_bytes() for path in (stopped / "checkpoints").glob("*.pt")}


@pytest.mark.slow
@pytest.mark.xdist_group("resuming")
def test_the_option_that_is_named_works(voices, stopped):
    more = ("dataset.batch_size=5", "checkpoint.reset_dataloader=true", "optimization.max_update=3")
    assert [step["num_updates"] for step in logged(train(voices, stopped, *LIMITS, *more))] == ["3"]


@pytest.mark.xdist_group("resuming")
def test_a_folder_that_cannot_be_written_to_is_one_line(voices, tmp_path):
    (tmp_path / "file").write_text("")
    process = train(voices, tmp_path / "run", f"checkpoint.save_dir={tmp_path}/file/below")
    assert f"{tmp_path}/file/below: cannot be written to (Not a directory)" in error_of(process)


@pytest.mark.xdist_group("resuming")
def test_a_read_only_folder_is_one_line(voices, stopped):
    if os.geteuid() == 0:
        pytest.skip("the administrator may write anywhere")
    folder = stopped / "checkpoints"
    folder.chmod(0o500)
    try:
        assert "cannot be written to (Permission denied)" in error_of(train(voices, stopped, *LIMITS))
    finally:
        folder.chmod(0o700)
