"""Runs fairseq-hydra-train as a separate process, shows its progress and reads its log."""

import json
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from csc_fairseq.errors import InputError

# "[2026-01-31 12:00:00,000][train_inner][INFO] - {"epoch": 1, …}": fairseq's JSON log behind Hydra's prefix.
STATISTICS = re.compile(r"\[(train_inner|train|valid)\]\[INFO\] - (\{.*\})\s*$")
HINT = "Set the environment variable HYDRA_FULL_ERROR"  # Hydra's last line, after the error itself
UPDATE, VALID_UPDATE = "num_updates", "valid_num_updates"
# What the progress bar shows: the name of a figure in the validation log, and its name in the bar.
SHOWN = {"valid_si_snri": "SI-SNRi dB", "valid_view_eer": "view EER %", "valid_bound": "bound nats"}


class History:
    """The figures of a training log. training, validation: one dictionary of figures per log line, oldest first."""

    def __init__(self) -> None:
        self.training: list[dict[str, float]] = []
        self.validation: list[dict[str, float]] = []

    def read(self, line: str) -> dict[str, float]:
        """Read one line of the log. Returns its figures, {} if it has none."""
        match = STATISTICS.search(line)
        if match is None or match[1] == "train":  # `train` only summarises the train_inner lines of an epoch
            return {}
        figures = {name: float(value) for name, value in json.loads(match[2]).items()}
        lines, update = (self.validation, VALID_UPDATE) if match[1] == "valid" else (self.training, UPDATE)
        while lines and lines[-1][update] >= figures[update]:
            lines.pop()  # after an interruption, these updates were made again
        lines.append(figures)
        return figures

    def curve(self, name: str) -> list[tuple[float, float]]:
        """(update, value) points of one figure, e.g. "loss" or "valid_loss"."""
        lines, update = (self.validation, VALID_UPDATE) if name.startswith("valid_") else (self.training, UPDATE)
        return [(figures[update], figures[name]) for figures in lines if name in figures]

    def last(self, name: str) -> float:
        """The latest value of a figure. InputError if the log never has it."""
        points = self.curve(name)
        if not points:
            raise InputError(f"the training log has no {name}; remove the run's folder and start again")
        return points[-1][1]


def read_history(log: Path) -> History:
    """The history of a log on disk."""
    history = History()
    with open(log, encoding="utf-8") as lines:
        for line in lines:
            history.read(line)
    return history


def training_command(overrides: Sequence[str]) -> list[str]:
    """The command: fairseq-hydra-train of the running Python, with the configuration csc_debug and these overrides."""
    return [str(Path(sysconfig.get_path("scripts")) / "fairseq-hydra-train"), "--config-name", "csc_debug", *overrides]


def train(folder: Path, overrides: Sequence[str], updates: int, key: str) -> bool:
    """Train in `folder` (its log is train.log), unless a run of this key is complete there. Returns whether it trained.

    An interrupted run of this key continues from its last checkpoint. A run of another key is removed. InputError with the
    last line of the log if training fails.
    """
    started, complete, log = folder / "started", folder / "complete", folder / "train.log"
    if complete.is_file() and complete.read_text() == key:
        return False
    if not started.is_file() or started.read_text() != key:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        started.write_text(key)
    status, last = _run(training_command(overrides), log, updates)
    if status != 0:
        raise InputError(f"training ended with status {status}: {last}; the whole log is {log}")
    complete.write_text(key)
    return True


def _run(command: Sequence[str], log: Path, updates: int) -> tuple[int, str]:
    """Run to the end with a progress bar. Returns the exit status and the last output, which is the message of a failure."""
    history, last = History(), "no output"
    with (
        open(log, "a", encoding="utf-8") as file,
        tqdm(total=updates, desc="training", unit=" updates") as bar,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8") as process,
    ):
        shown: dict[str, str] = {}
        try:
            for line in process.stdout:
                file.write(line)
                if line.strip() and not line.startswith(HINT):
                    last = line.strip()
                figures = history.read(line)
                if UPDATE in figures:
                    bar.update(int(figures[UPDATE]) - bar.n)
                    shown["loss"] = f"{figures['loss']:.1f}"
                shown |= {SHOWN[name]: f"{figures[name]:.2f}" for name in SHOWN if name in figures}
                if figures:
                    bar.set_postfix(shown)
        except BaseException:
            process.terminate()  # an interrupted demo must not leave a training process running
            raise
    return process.returncode, last.rpartition("InputError: ")[2]
