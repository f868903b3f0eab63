"""`csc prepare transcripts`: what is said in the recordings of manifests, as letters."""

import argparse
from pathlib import Path

from csc_fairseq.corpora.transcripts import (
    DICTIONARY,
    SOURCES,
    SUFFIX,
    dictionary_lines,
    find_texts,
    missing_letters,
    read_letters,
    to_letters,
)
from csc_fairseq.data.manifest import label_path, read_manifest, write_labels, write_lines

EXAMPLE = "csc prepare transcripts manifests/train.tsv manifests/valid.tsv manifests/test.tsv"


def add_kind(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The sub-verb and its arguments."""
    parser = kinds.add_parser(
        "transcripts",
        help="what is said in the recordings of manifests, as letters for CTC training: X.ltr beside X.tsv",
        description=f"Writes X.ltr beside each X.tsv, and {DICTIONARY} beside train.tsv. Texts are put in upper case; letters "
        "and apostrophes are kept, anything else separates words, digits are refused.",
        epilog=f"example: {EXAMPLE}",
    )
    parser.add_argument("manifests", nargs="+", type=Path, metavar="X.tsv", help="manifests, train.tsv among them")
    parser.add_argument(
        "--text",
        choices=SOURCES,
        help="parallel: X.txt beside X.tsv, line for line; librispeech: *.trans.txt in the recordings' folders (default: "
        "parallel where X.txt exists, else librispeech)",
    )
    parser.set_defaults(run_kind=_run)


def _run(args: argparse.Namespace) -> int:
    manifests = [read_manifest(path) for path in args.manifests]
    texts, sources = zip(*(find_texts(manifest, args.text) for manifest in manifests), strict=True)
    labels = [[to_letters(text) for text in of_manifest] for of_manifest in texts]
    # All are read before any is written, and dictionaries come first: letters are counted against the new one.
    for manifest, lines in zip(manifests, labels, strict=True):
        if manifest.path.name == "train.tsv":
            write_lines(manifest.path.with_name(DICTIONARY), dictionary_lines(lines))
    for manifest, lines, source in zip(manifests, labels, sources, strict=True):
        path = label_path(manifest, SUFFIX)
        write_labels(path, lines)
        letters = sum(len(line.split()) for line in lines)
        print(f"{path}: {len(lines)} transcripts, {letters} letters and ends of words ({source})")
        dictionary = path.with_name(DICTIONARY)
        if not dictionary.is_file():
            print(f"{dictionary} is not there yet; training needs it: give train.tsv too")
            continue
        missing = missing_letters(lines, read_letters(dictionary))
        if missing:
            listed = ", ".join(f"{letter} ({count})" for letter, count in sorted(missing.items()))
            print(f"{path}: has letters that {dictionary} lacks, which will count as errors: {listed}")
    return 0
