"""`csc prepare librimix` and `wsj0-2mix`: manifests of fixed mixtures, with their sources and speakers."""

import argparse
from pathlib import Path

from csc_fairseq.cli.faults import add_skip_argument
from csc_fairseq.cli.prepare_options import add_root
from csc_fairseq.cli.prepare_steps import SKIPPED, account_of, sound
from csc_fairseq.corpora.layouts import librimix, wsj0_2mix
from csc_fairseq.corpora.mixtures import MODES, RATES, measured, summary, write

HELP = {
    "librimix": "Libri2Mix or Libri3Mix: fixed mixtures with their sources, train-* is train, dev and test",
    "wsj0-2mix": "WSJ0-2mix: fixed mixtures with their sources, tr is train, cv valid, tt test",
}


def add_kinds(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The sub-verbs and their arguments."""
    for name, text in HELP.items():
        parser = kinds.add_parser(name, help=text, description=text)
        add_root(parser)
        parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the manifests")
        parser.add_argument(
            "--sample-rate",
            type=int,
            choices=RATES,
            default=16000,
            help="Hz, of wav8k or wav16k (default: %(default)s)",
        )
        parser.add_argument(
            "--mode", choices=MODES, default="min", help="mixtures cut to the shortest source, or as long as the longest one "
            "(default: %(default)s)",
        )  # fmt: skip
        if name == "librimix":
            parser.add_argument(
                "--kind", choices=librimix.KINDS, default="mix_clean", dest="mixed",
                help="which mixtures: of talkers, of talkers and noise, of one talker and noise (default: %(default)s)",
            )  # fmt: skip
            parser.add_argument(
                "--subsets", nargs="+", default=[], choices=librimix.SUBSETS, metavar="SUBSET",
                help=f"of {', '.join(librimix.SUBSETS)} (default: all that are there)",
            )  # fmt: skip
        add_skip_argument(parser, f"DIR/{SKIPPED}")
        parser.add_argument("--jobs", type=int, default=4, help="threads that read files (default: %(default)s)")
        parser.set_defaults(run_kind=_run)


def _run(args: argparse.Namespace) -> int:
    """Write the manifests and print a summary."""
    args.root = args.root.resolve()
    if args.kind == "librimix":
        found, notes = librimix.read(args.root, args.sample_rate, args.mode, args.mixed, args.subsets)
    else:
        found, notes = wsj0_2mix.read(args.root, args.sample_rate, args.mode)
    mixtures, faults = sound(args, found, lambda mixture: measured(args.root, mixture, args.sample_rate))
    text = [*summary(mixtures, args.sample_rate), *notes]
    write(args.out, args.root, mixtures, account_of(args, text, faults, "mixtures"))
    print(*text, sep="\n")
    return 0
