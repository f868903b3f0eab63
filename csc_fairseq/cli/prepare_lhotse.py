"""`csc prepare lhotse`: cut sets, and with them the hundred corpora that lhotse has recipes for."""

import argparse
from pathlib import Path

from csc_fairseq.cli.prepare_options import add_audio_argument, add_corpus_arguments, audio_folder
from csc_fairseq.cli.prepare_steps import prepare
from csc_fairseq.corpora.cut_sets import read
from csc_fairseq.corpora.lhotse_cuts import REMEDY
from csc_fairseq.corpora.selection import with_selected
from csc_fairseq.corpora.sense import shared_speakers
from csc_fairseq.corpora.split_table import SPLIT_NAME

EXAMPLE = "csc prepare lhotse train=cuts_train.jsonl.gz test=cuts_test.jsonl.gz --out manifests"


def add_kind(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The sub-verb and its arguments."""
    text = f"cut sets of lhotse; parts of recordings are written as FLAC ({REMEDY})"
    parser = kinds.add_parser("lhotse", help=text, description=text, epilog=f"example: {EXAMPLE}")
    parser.add_argument(
        "cuts", nargs="+", type=_split_and_path, metavar="[SPLIT=]CUTS",
        help="files of cut sets, each with the split that it is; without one it is train",
    )  # fmt: skip
    parser.add_argument(
        "--root", type=Path, default=Path(), metavar="DIR",
        help="folder of audio paths that are not absolute (default: where you are)",
    )  # fmt: skip
    parser.add_argument(
        "--local-speakers", action="store_true",
        help="speakers are named within each recording, such as spk00: name them RECORDING/SPEAKER",
    )  # fmt: skip
    add_audio_argument(parser)
    add_corpus_arguments(parser, "drawn")
    parser.set_defaults(run_kind=_run)


def _split_and_path(text: str) -> tuple[str, Path]:
    split, mark, path = text.partition("=")
    return (split, Path(path)) if mark and SPLIT_NAME.fullmatch(split) else ("train", Path(text))


def _run(args: argparse.Namespace) -> int:
    """Write the manifests and print a summary."""
    sample_rate = None if args.allow_rates else args.sample_rate
    args.root, corpus = read(args.cuts, args.root.absolute(), audio_folder(args), sample_rate, args.local_speakers)
    prepare(args, with_selected(corpus, args.include, args.exclude), shared_speakers)
    return 0
