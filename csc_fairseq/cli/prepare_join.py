"""`csc prepare join`: one folder of manifests out of several."""

import argparse
from pathlib import Path

from csc_fairseq.cli import numbers
from csc_fairseq.corpora.joining import SPLITS, contents, join
from csc_fairseq.corpora.joining_checks import RENAME, SAME
from csc_fairseq.corpora.report import SPEAKERS, gender_table, summary
from csc_fairseq.corpora.writing import Account, write_preparation
from csc_fairseq.errors import InputError

EXAMPLE = "csc prepare join manifests/librispeech manifests/voxceleb2 --out manifests/both"


def add_kind(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The sub-verb and its arguments."""
    listed = ", ".join(f"{split}.tsv" for split in SPLITS)
    parser = kinds.add_parser(
        "join",
        help="several prepared folders as one, for one training on all",
        description=f"Joins {listed} and their label files, each with its like. The name of its folder becomes the domain of a "
        "recording that has none.",
        epilog=f"example: {EXAMPLE}",
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="a folder of manifests, packed or not")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the joined manifests")
    parser.add_argument(
        "--equal-labels", choices=(RENAME, SAME),
        help=f"where two folders have one label: {RENAME} puts the name of the folder in front of all labels, {SAME} takes it for "
        "one speaker, session or cluster (default: it is an error)",
    )  # fmt: skip
    parser.add_argument(
        "--sample-rate",
        type=numbers.sample_rate,
        default=16000,
        help="in which lengths are counted, in Hz (default: %(default)s)",
    )
    parser.set_defaults(run_kind=_run)


def _run(args: argparse.Namespace) -> int:
    """Write the joined folder and print a summary."""
    if args.out.resolve() in [folder.resolve() for folder in args.folders]:
        raise InputError(f"{args.out}: is one of the folders to join, which stay as they are; choose another --out")
    joined = join(args.folders, args.equal_labels)
    manifests, others = contents(joined, args.out)
    shown, of_people = {}, {}
    for split, content in manifests.items():
        shown[split], first = content.recordings, 0
        for part in joined.splits[split]:
            shown[f"{split}, {part.folder}"] = content.recordings[first : first + len(part.paths)]
            first += len(part.paths)
        if {"spk", "gender"} <= set(content.suffixes):
            of_people[split] = content.recordings
    if of_people:
        others[SPEAKERS] = gender_table(of_people)
    text = [*summary(shown, args.sample_rate), *joined.notes]
    write_preparation(args.out, manifests, others, Account("join", " ".join(map(str, args.folders)), text))
    print(*text, sep="\n")
    return 0
