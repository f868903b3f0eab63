"""`csc prepare folders`: speech stored as speaker/…/file."""

import argparse
from pathlib import Path

from csc_fairseq.cli.prepare_options import add_corpus_arguments, add_ending_argument, add_root
from csc_fairseq.cli.prepare_steps import prepare
from csc_fairseq.corpora.corpus import Corpus, Part, by_split
from csc_fairseq.corpora.preparation import Recording, find_recordings, folder_label, other_audio
from csc_fairseq.corpora.selection import selected
from csc_fairseq.corpora.sense import suspicions
from csc_fairseq.corpora.split_table import assign_splits, read_split_table
from csc_fairseq.errors import InputError

EXAMPLE = "csc prepare folders /data/speech --speaker-level 2 --session-level 3 --out manifests"


def add_kind(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The sub-verb and its arguments."""
    parser = kinds.add_parser(
        "folders", help="speech stored as speaker/…/file, with labels and splits", epilog=f"example: {EXAMPLE}"
    )
    add_root(parser)
    add_ending_argument(parser)
    parser.add_argument(
        "--speaker-level",
        type=int,
        default=1,
        metavar="N",
        help="which folder is the speaker: 1 is the first below ROOT, -1 the one that holds the file (default: 1)",
    )
    parser.add_argument(
        "--session-level", type=int, metavar="N", help="which folder is the session; writes .session files"
    )
    parser.add_argument(
        "--splits",
        type=Path,
        metavar="TABLE",
        help="speakers and their splits: tab-separated with the columns speaker, split and perhaps corpus (the folder "
        "above), or lines `speaker split`; without it all is train",
    )
    parser.add_argument(
        "--ignore-missing", action="store_true", help="leave out speakers that TABLE lacks, instead of stopping"
    )
    add_corpus_arguments(parser, "drawn")
    parser.set_defaults(run_kind=_run)


def _run(args: argparse.Namespace) -> int:
    """Write the manifests and print a summary."""
    # Manifests hold the resolved folder, whatever links or ".." the user came by; tables are matched against it too.
    args.root = args.root.resolve()
    if args.splits is not None and (args.test_speakers or args.dev_speakers):
        raise InputError(
            "--splits gives the splits, and --test-speakers and --dev-speakers draw them; give one of both"
        )
    prepare(args, _corpus(args), lambda splits: suspicions(args.root, splits))
    return 0


def _corpus(args: argparse.Namespace) -> Corpus:
    names, notes = selected(find_recordings(args.root, args.ext.split(",")), args.include, args.exclude)
    speakers = [folder_label(name, args.speaker_level) for name in names]
    sessions = ["" if args.session_level is None else folder_label(name, args.session_level) for name in names]
    split_of = dict.fromkeys(speakers, "train")
    if args.splits is not None:
        table = read_split_table(args.splits)
        split_of = assign_splits(args.root, speakers, table, args.splits, args.ignore_missing)
    rows = [
        (split_of[speaker], Recording(name, 0, speaker, session))
        for name, speaker, session in zip(names, speakers, sessions, strict=True)
        if speaker in split_of
    ]
    if len(rows) < len(names):
        unknown = len(set(speakers) - set(split_of))
        notes.append(f"left out, not in {args.splits}: {unknown} speakers with {len(names) - len(rows)} recordings")
    if other := other_audio(args.root, args.ext.split(",")):
        notes.append(other.removeprefix("; "))
    labels = ("spk",) if args.session_level is None else ("spk", "session")
    return Corpus([Part(args.root, by_split(rows))], labels, notes=notes)
