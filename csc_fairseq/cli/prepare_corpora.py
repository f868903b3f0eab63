"""`csc prepare CORPUS`: the field's corpora as they are published, a sub-verb each."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from csc_fairseq.cli.prepare_options import add_corpus_arguments, add_root
from csc_fairseq.cli.prepare_steps import prepare
from csc_fairseq.corpora.corpus import Corpus
from csc_fairseq.corpora.layouts import librispeech


@dataclass(frozen=True)
class Kind:
    """A corpus. help: one line. read: what it holds. add: options of its own. official_splits: whether it has splits of its own."""

    help: str
    read: Callable[[argparse.Namespace], Corpus]
    add: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    official_splits: bool = True


def _add_subsets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--subsets", nargs="+", default=[], choices=librispeech.SUBSETS, metavar="SUBSET",
        help=f"of {', '.join(librispeech.SUBSETS)} (default: all that are there)",
    )  # fmt: skip


KINDS = {
    "librispeech": Kind(
        "LibriSpeech: train-* is train, dev-* dev, test-* test; gender, transcripts",
        lambda args: librispeech.read(args.root, args.subsets),
        _add_subsets,
    ),
}


def add_kinds(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """A sub-verb for each corpus, with its arguments."""
    for name, kind in KINDS.items():
        parser = kinds.add_parser(name, help=kind.help, description=kind.help)
        add_root(parser)
        kind.add(parser)
        add_corpus_arguments(parser, kind.official_splits)
        parser.set_defaults(run_kind=_run)


def _run(args: argparse.Namespace) -> int:
    """Write what the corpus holds and print a summary."""
    args.root = args.root.resolve()
    prepare(args, KINDS[args.kind].read(args))
    return 0
