"""The real commands in processes of their own, and the log of a training."""

import atexit
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from tests.integration.forking import ForkServer

BIN = Path(sys.executable).parent
QUICK = (
    "task.view_seconds=0.5", "task.valid_recordings=4", "dataset.batch_size=4", "dataset.num_workers=0", "common.log_interval=1",
    "model.waveform_channels=16", "model.channels=16", "model.recurrent_channels=8", "model.stream_channels=16",
    "model.embedding_channels=16", "model.memory_size=24", "lr_scheduler.warmup_updates=2", "criterion.contrastive_warmup=2",
)  # fmt: skip
QUICK_TUNING = (
    "task.view_seconds=0.5", "task.valid_seconds=0.5", "task.valid_trials=40", "dataset.valid_subset=test", "dataset.batch_size=4",
    "dataset.num_workers=0", "common.log_interval=1", "model.embedding_channels=12", "criterion.margin_warmup=4",
    "lr_scheduler.warmup_updates=2", "optimization.max_update=8",
)  # fmt: skip


def environment() -> dict[str, str]:
    """One thread, no GPU, warnings off: the tests' runs must be alike everywhere."""
    return os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore"}


def command(data: Path, run: Path, *overrides: str, config: str = "csc_debug") -> list[str]:
    """The words after `fairseq-hydra-train` for a small and quick training."""
    quick = {"csc": QUICK, "sv": QUICK_TUNING}.get(config.partition("_")[0], ())
    if quick is QUICK_TUNING and config != "sv_fbank":  # which has no encoder to rest
        quick = (*quick, "model.freeze_updates=2")
    return ["--config-name", config, f"task.data={data}", f"hydra.run.dir={run}", *quick, *overrides]


@cache
def _fork_server() -> ForkServer:
    # The trainings' own imports of these find them done. The second is what PyTorch imports for the first optimizer.
    server = ForkServer(environment(), ["fairseq_cli.hydra_train", "torch._dynamo"])
    atexit.register(server.close)
    return server


def run_script(*words: str, cwd: Path) -> subprocess.CompletedProcess:
    """Runs one of our commands, or another Python script, in a process that has fairseq imported; see `ForkServer`."""
    return run_together(words, cwd=cwd)[0]


def run_together(*programs: Sequence[str], cwd: Path) -> list[subprocess.CompletedProcess]:
    """Runs several such scripts at the same time; returns when all have ended."""
    return _fork_server().run(*programs, cwd=cwd)


def train(
    data: Path, run: Path, *overrides: str, config: str = "csc_debug", fresh: bool = False
) -> subprocess.CompletedProcess:
    """Runs `fairseq-hydra-train` in the folder `run`; asserts nothing about how it ends.

    fresh: in a process that the system starts, as a user does. It takes 8 s longer; sets have another order than in the others.
    """
    run.mkdir(parents=True, exist_ok=True)
    words = [str(BIN / "fairseq-hydra-train"), *command(data, run, *overrides, config=config)]
    if fresh:
        return subprocess.run(words, cwd=run, env=environment(), capture_output=True, text=True, check=False)
    return run_script(*words, cwd=run)


def train_once(
    once: Callable[[str, Callable[[Path], object]], Path], name: str, data: Path, *overrides: str, **options: Any
) -> tuple[Path, subprocess.CompletedProcess]:
    """`train` for all parallel workers together, by the fixture `once`; run folder and process. Nobody may change the folder."""

    def fill(folder: Path) -> None:
        process = train(data, folder / "run", *overrides, **options)
        told = [process.args, process.returncode, process.stdout, process.stderr]
        (folder / "process.json").write_text(json.dumps(told))

    folder = once(name, fill)
    return folder / "run", subprocess.CompletedProcess(*json.loads((folder / "process.json").read_text()))


def logged(process: subprocess.CompletedProcess, kind: str = "train_inner") -> list[dict[str, str]]:
    """fairseq's JSON log lines of one kind: train_inner, train or valid."""
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-4000:]
    lines = (process.stdout + process.stderr).splitlines()
    return [json.loads(line[line.index("{") :]) for line in lines if f"[{kind}][INFO]" in line]


def processes_of(run: Path) -> list[str]:
    """Living processes, but for this one, that were started with a run's folder: data workers are forks of their training."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            started = f"hydra.run.dir={run}".encode() in path.read_bytes()
        except OSError:  # it has ended
            continue
        if started and path.parent.name != str(os.getpid()):
            found.append(path.parent.name)
    return found


def ranks_environment(world: int) -> list[list[str]]:
    """NAME=VALUE for each rank of a training of `world` processes, as torchrun sets them; none for a single process."""
    if world == 1:
        return [[]]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = ["MASTER_ADDR=127.0.0.1", f"MASTER_PORT={port}", f"WORLD_SIZE={world}"]
    return [[*group, f"RANK={rank}", f"LOCAL_RANK={rank}"] for rank in range(world)]


def run_ranks(data: Path, run: Path, world: int, *overrides: str, config: str = "csc_debug") -> tuple[list[dict], str]:
    """Trains in `world` processes on the CPU, started as torchrun starts them.

    Returns what each rank holds at the end, {"losses": of every update, "model"}, and what the first one printed.
    """
    run.mkdir()
    words = command(data, run, *overrides, "common.cpu=true", config=config)
    program = str(Path(__file__).with_name("run_rank.py"))
    ranks = [
        [program, str(run / f"rank{rank}.pt"), *variables, "--", *words]
        for rank, variables in enumerate(ranks_environment(world))
    ]
    done = run_together(*ranks, cwd=run)
    assert all(process.returncode == 0 for process in done), done[0].stdout[-2000:] + done[0].stderr[-4000:]
    states = [torch.load(run / f"rank{rank}.pt", weights_only=True) for rank in range(world)]
    return states, done[0].stdout + done[0].stderr
