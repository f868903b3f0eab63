"""`csc demo`: from nothing to a trained model and a page that shows what it can do."""

import argparse
from importlib.util import find_spec
from pathlib import Path

from csc_fairseq.errors import InputError

SUMMARY = "synthesise voices, train a small model on them, verify it, write one HTML page"
EXAMPLE = "csc demo --out demo_run"
NEEDED = ("espeakng_loader", "matplotlib", "sklearn")
UPDATES = 400


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
    if arguments.updates < 1:
        raise InputError(f"--updates {arguments.updates}: expected 1 or more")
    from csc_fairseq.demo.corpus import CorpusOptions
    from csc_fairseq.demo.run import run_demo

    run_demo(Path(arguments.out), CorpusOptions(), arguments.updates)
    return 0
