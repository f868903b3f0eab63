"""A training that sends itself a signal in the middle of an update: signalled.py SIGTERM UPDATE [VARIABLE=VALUE ...] -- WORDS.

UPDATE is counted from 1; 0: never.
"""

import os
import signal
import sys

from fairseq.trainer import Trainer
from fairseq_cli.hydra_train import cli_main


def main() -> None:
    """Trains with the words of the command line after `--`."""
    middle = sys.argv.index("--")
    name, update, *variables = sys.argv[1:middle]
    sys.argv[1:] = sys.argv[middle + 1 :]
    os.environ.update(variable.split("=", 1) for variable in variables)
    train_step = Trainer.train_step

    def signalled(self, *args, **kwargs):
        if self.get_num_updates() + 1 == int(update):
            os.kill(os.getpid(), signal.Signals[name])
        return train_step(self, *args, **kwargs)

    Trainer.train_step = signalled
    cli_main()


if __name__ == "__main__":
    main()
