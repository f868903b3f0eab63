"""`csc prepare`: from a corpus of speech, noise, conversations or mixtures to what this package reads. A sub-verb a kind."""

import argparse

from csc_fairseq.cli import (
    prepare_audio,
    prepare_conversations,
    prepare_corpora,
    prepare_folders,
    prepare_join,
    prepare_lhotse,
    prepare_mixtures,
    prepare_table,
    prepare_transcripts,
)

SUMMARY = "write manifests for a corpus of speech, noise, room responses or fixed mixtures; conversations; transcripts"
EXAMPLE = f"""\
csc prepare librispeech /data/LibriSpeech --valid-per-speaker 2 --out manifests
{prepare_folders.EXAMPLE}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of all sub-verbs; each sets `run_kind`, what runs it."""
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    prepare_folders.add_kind(kinds)
    prepare_table.add_kind(kinds)
    prepare_audio.add_kind(kinds)
    prepare_transcripts.add_kind(kinds)
    prepare_lhotse.add_kind(kinds)
    prepare_join.add_kind(kinds)
    prepare_corpora.add_kinds(kinds)
    prepare_conversations.add_kinds(kinds)
    prepare_mixtures.add_kinds(kinds)


def run(args: argparse.Namespace) -> int:
    """Write the files of the sub-verb and print what they hold."""
    return args.run_kind(args)
