"""A training that is killed on the way: killed.py PLACE NUMBER SECONDS -- WORDS, those of `fairseq-hydra-train`.

PLACE says where SIGKILL comes, NUMBER at which time of being there, counted from 1: `write`, when half of a checkpoint is
written; `written`, before it takes the place of an older file; `replaced`, after that; `linked`, before the second name of a
file replaces checkpoint_last.pt or checkpoint_best.pt; `update`, after the gradients of an update. `moment` is SECONDS after the
first update began, and SIGTERM or SIGINT in place of PLACE the same moment with that signal.
"""

import os
import signal
import sys
import threading

import torch
from fairseq.trainer import Trainer
from fairseq_cli.hydra_train import cli_main

TIMED = {"moment": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}


def kill(number: int = signal.SIGKILL) -> None:
    """Sends this process a signal."""
    os.kill(os.getpid(), number)


class Countdown:
    """Called for the NUMBER-th time, it answers True."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self) -> bool:
        self.left -= 1
        return self.left == 0


def main() -> None:
    """Trains with the words of the command line after `--`."""
    middle = sys.argv.index("--")
    place, number, seconds = sys.argv[1:middle]
    sys.argv[1:] = sys.argv[middle + 1 :]
    reached, started = Countdown(int(number)), Countdown(1)
    save, replace, train_step = torch.save, os.replace, Trainer.train_step

    def saving(content, file):
        save(content, file)
        if place == "write" and reached():
            file.truncate(file.tell() // 2)
            kill()

    def replacing(source, path):
        checkpoint, second = str(path).endswith(".pt"), os.stat(source).st_nlink > 1
        if checkpoint and place == ("linked" if second else "written") and reached():
            kill()
        replace(source, path)
        if checkpoint and not second and place == "replaced" and reached():
            kill()

    def stepping(self, *arguments, **options):
        if place in TIMED and started():
            timer = threading.Timer(float(seconds), kill, [TIMED[place]])
            timer.daemon = True
            timer.start()
        done = train_step(self, *arguments, **options)
        if place == "update" and reached():
            kill()
        return done

    torch.save, os.replace, Trainer.train_step = saving, replacing, stepping
    cli_main()


if __name__ == "__main__":
    main()
