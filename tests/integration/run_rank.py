"""One rank of a training on the CPU: run_rank.py RESULT.pt [VARIABLE=VALUE ...] -- WORDS, those of `fairseq-hydra-train`.

Saves {"losses": the reduced sums of every update, "model": the state at the end, "opened": the path of every file that was opened}
to RESULT.pt.
"""

import os
import sys

import torch
from fairseq.trainer import Trainer
from fairseq_cli.hydra_train import cli_main

TIMES = ("wait_seconds", "step_seconds")


def main() -> None:
    """Trains with the words of the command line after `--`."""
    middle = sys.argv.index("--")
    result, variables, sys.argv[1:] = sys.argv[1], sys.argv[2:middle], sys.argv[middle + 1 :]
    os.environ.update(variable.split("=", 1) for variable in variables)
    losses, trainers = [], []
    reduce_and_log = Trainer._reduce_and_log_stats

    def recording(self, logging_outputs, sample_size, grad_norm=None):
        trainers.append(self)
        if grad_norm is not None:  # a training update, not validation
            names = [name for name in logging_outputs[0] if name not in TIMES]
            losses.append({name: float(sum(log[name] for log in logging_outputs)) for name in names})
        return reduce_and_log(self, logging_outputs, sample_size, grad_norm)

    opened: list[str] = []
    sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
    Trainer._reduce_and_log_stats = recording
    cli_main()
    torch.save({"losses": losses, "model": trainers[-1].get_model().state_dict(), "opened": opened}, result)


if __name__ == "__main__":
    main()
