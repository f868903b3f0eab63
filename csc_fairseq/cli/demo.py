"""`csc demo`: from nothing to a trained model and a page that shows what it can do."""

import argparse
import os
from importlib.util import find_spec
from pathlib import Path

from csc_fairseq.errors import InputError

SUMMARY = "synthesise voices, train a small model on them, verify it, write one HTML page"
EXAMPLE = "csc demo --out demo_run"
NEEDED = ("espeakng_loader", "fairseq")
UPDATES = 800
FEWEST_UPDATES = 20  # the log has a line every 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this verb."""
    parser.add_argument("--out", default="demo_run", metavar="DIR", help="where everything goes (default: %(default)s)")
    parser.add_argument(
        "--updates", type=int, default=UPDATES, help="of training; fewer end sooner and worse (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the demo; a second run uses again what the first one made."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise InputError(f"the demo needs {', '.join(missing)}: run pip install 'csc-fairseq[demo]'")
    if arguments.updates < FEWEST_UPDATES:
        raise InputError(f"--updates {arguments.updates}: expected {FEWEST_UPDATES} or more")
    # Before torch is loaded, here and in the training process. OpenMP's threads otherwise wait for each other by
    # spinning: on a machine that does something else besides, a training step then took ten times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from csc_fairseq.demo.corpus import CorpusOptions
    from csc_fairseq.demo.run import run_demo

    run_demo(Path(arguments.out), CorpusOptions(), arguments.updates)
    return 0
