"""`csc prepare table`: any corpus whose labels are in a table, or in the names of its files."""

import argparse
from dataclasses import replace
from pathlib import Path

from csc_fairseq.cli.prepare_options import add_corpus_arguments, add_ending_argument
from csc_fairseq.cli.prepare_steps import prepare
from csc_fairseq.corpora.labelled_files import Columns, from_names, from_table
from csc_fairseq.corpora.preparation import find_recordings
from csc_fairseq.corpora.selection import selected, with_selected
from csc_fairseq.corpora.sense import shared_speakers
from csc_fairseq.errors import InputError

EXAMPLE = "csc prepare table clips.csv --root /data/clips --path-column file --speaker-column client --out manifests"


def add_kind(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The sub-verb and its arguments."""
    text = "speech with a table of its recordings, or with speakers in the names of its files"
    parser = kinds.add_parser("table", help=text, description=text, epilog=f"example: {EXAMPLE}")
    parser.add_argument(
        "table", nargs="?", type=Path, metavar="TABLE", help="a header and a row a recording, separated by tabs, commas, ; or |"
    )  # fmt: skip
    parser.add_argument("--root", type=Path, required=True, metavar="ROOT", help="folder that holds the recordings")
    for column, text in (
        ("path", "below ROOT, with or without an ending"),
        ("speaker", "any name"),
        ("split", "such as train or test; without it all is train"),
        ("session", "any name; writes .session files"),
    ):
        parser.add_argument(f"--{column}-column", metavar="NAME", help=f"the column of TABLE with the {column}: {text}")
    parser.add_argument(
        "--speaker-regex", metavar="REGEX",
        help="in place of TABLE: finds the speaker in each path, as its group `speaker`, its first group or the whole; a group "
        "`session` is the session, as in '(?P<speaker>p[0-9]+)_(?P<session>[0-9]+)'",
    )  # fmt: skip
    add_ending_argument(parser)
    add_corpus_arguments(parser, "drawn")
    parser.set_defaults(run_kind=_run)


def _run(args: argparse.Namespace) -> int:
    """Write the manifests and print a summary."""
    args.root = args.root.resolve()
    columns = (args.path_column, args.speaker_column, args.split_column, args.session_column)
    if (args.table is None) == (args.speaker_regex is None):
        raise InputError(
            "expected either a TABLE with --path-column and --speaker-column, or --speaker-regex; give one of both"
        )
    if args.table is None and any(columns):
        raise InputError("columns are those of a TABLE; give it, or leave them out with --speaker-regex")
    if args.table is not None and None in columns[:2]:
        raise InputError(
            f"{args.table}: which columns are the path and the speaker? add --path-column and --speaker-column"
        )
    names = find_recordings(args.root, args.ext.split(","))
    if args.table is not None:
        corpus = with_selected(from_table(args.root, names, args.table, Columns(*columns)), args.include, args.exclude)
    else:  # patterns come first, since every path must have a speaker
        names, notes = selected(names, args.include, args.exclude)
        corpus = replace(from_names(args.root, names, args.speaker_regex), notes=notes)
    prepare(args, corpus, shared_speakers)
    return 0
