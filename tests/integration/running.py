"""The real training command in a subprocess, and its log."""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

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


def train(data: Path, run: Path, *overrides: str, config: str = "csc_debug") -> subprocess.CompletedProcess:
    """Runs `fairseq-hydra-train` in the folder `run`; asserts nothing about how it ends."""
    run.mkdir(parents=True, exist_ok=True)
    words = [str(BIN / "fairseq-hydra-train"), *command(data, run, *overrides, config=config)]
    return subprocess.run(words, cwd=run, env=environment(), capture_output=True, text=True, timeout=600, check=False)


def logged(process: subprocess.CompletedProcess, kind: str = "train_inner") -> list[dict[str, str]]:
    """fairseq's JSON log lines of one kind: train_inner, train or valid."""
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-4000:]
    lines = (process.stdout + process.stderr).splitlines()
    return [json.loads(line[line.index("{") :]) for line in lines if f"[{kind}][INFO]" in line]


def run_ranks(data: Path, run: Path, world: int, *overrides: str, config: str = "csc_debug") -> tuple[list[dict], str]:
    """Trains in `world` processes over gloo.

    Returns what each rank holds at the end, {"losses": of every update, "model"}, and what the first one printed.
    """
    run.mkdir()
    port = 20000 + (abs(hash(str(run))) % 20000)
    ranks = []
    for rank in range(world):
        group = [
            f"distributed_training.distributed_world_size={world}",
            f"distributed_training.distributed_rank={rank}",
            f"distributed_training.distributed_init_method=tcp://127.0.0.1:{port}",
            "distributed_training.distributed_no_spawn=true",
            "distributed_training.distributed_backend=gloo",
        ]
        words = command(data, run, *overrides, "common.cpu=true", *(group if world > 1 else []), config=config)
        script = Path(__file__).with_name("run_rank.py")
        ranks.append(
            subprocess.Popen(
                [sys.executable, str(script), str(run / f"rank{rank}.pt"), *words],
                cwd=run,
                env=environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    outputs = [process.communicate(timeout=600)[0] for process in ranks]
    assert all(process.returncode == 0 for process in ranks), outputs[0][-4000:]
    return [torch.load(run / f"rank{rank}.pt", weights_only=True) for rank in range(world)], outputs[0]
