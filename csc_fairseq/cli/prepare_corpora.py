"""`csc prepare CORPUS`: the field's corpora as they are published, a sub-verb each."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from csc_fairseq.cli.prepare_options import add_audio_argument, add_corpus_arguments, add_root, audio_folder
from csc_fairseq.cli.prepare_steps import prepare
from csc_fairseq.corpora.corpus import Corpus
from csc_fairseq.corpora.layouts import cnceleb, commonvoice, librispeech, musan, rirs, vctk, voxceleb1, voxceleb2
from csc_fairseq.corpora.selection import with_selected


@dataclass(frozen=True)
class Kind:
    """A corpus. help: one line. read: what it holds. add: options of its own. splits: as of `add_corpus_arguments`."""

    help: str
    read: Callable[[argparse.Namespace], Corpus]
    add: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    splits: Literal["drawn", "official", "fixed"] = "official"


def _add_subsets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--subsets", nargs="+", default=[], choices=librispeech.SUBSETS, metavar="SUBSET",
        help=f"of {', '.join(librispeech.SUBSETS)} (default: all that are there)",
    )  # fmt: skip


def _add_lists(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--lists", type=Path, metavar="DIR",
        help=f"where {voxceleb1.META} and the lists of trials are, if not in ROOT: {', '.join(voxceleb1.LISTS)}",
    )  # fmt: skip


def _add_commonvoice(parser: argparse.ArgumentParser) -> None:
    add_audio_argument(parser)
    parser.add_argument(
        "--validated", action="store_true",
        help="train from validated.tsv, without the speakers of dev.tsv and test.tsv, in place of train.tsv",
    )  # fmt: skip


def _add_microphone(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mic", choices=vctk.MICROPHONES, default="mic1", help="which microphone (default: %(default)s)"
    )


def _add_part(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--part", nargs="+", choices=musan.PARTS, default=["noise"], help="a manifest for each (default: noise)"
    )


KINDS = {
    "librispeech": Kind(
        "LibriSpeech: train-* is train, dev-* dev, test-* test; genders, transcripts",
        lambda args: librispeech.read(args.root, args.subsets),
        _add_subsets,
    ),
    "voxceleb1": Kind(
        "VoxCeleb1: dev is train, test is test; genders; the trials O, E and H as far as their lists are there",
        lambda args: voxceleb1.read(args.root, args.lists),
        _add_lists,
    ),
    "voxceleb2": Kind(
        "VoxCeleb2: dev is train, test is test; genders; m4a is decoded by ffmpeg",
        lambda args: voxceleb2.read(args.root, audio_folder(args)),
        add_audio_argument,
    ),
    "cnceleb": Kind(
        "CN-Celeb: train without the speakers of the evaluation, eval with its trials",
        lambda args: cnceleb.read(args.root),
    ),
    "vctk": Kind(
        "VCTK 0.92, one microphone; genders (48 kHz: --allow-rates)",
        lambda args: vctk.read(args.root, args.mic),
        _add_microphone,
        "drawn",
    ),
    "commonvoice": Kind(
        "one language of Common Voice: train, dev, test by its tables; genders; mp3 is decoded by ffmpeg",
        lambda args: commonvoice.read(args.root, audio_folder(args), args.validated),
        _add_commonvoice,
    ),
    "musan": Kind(
        "MUSAN: noise.tsv, or music.tsv and speech.tsv, without labels",
        lambda args: musan.read(args.root, args.part),
        _add_part,
        "fixed",
    ),
    "rirs": Kind(
        "RIRS_NOISES: simulated.tsv, real.tsv (first channels), isotropic.tsv, pointsource.tsv, without labels",
        lambda args: rirs.read(args.root, audio_folder(args)),
        add_audio_argument,
        "fixed",
    ),
}


def add_kinds(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """A sub-verb for each corpus, with its arguments."""
    for name, kind in KINDS.items():
        parser = kinds.add_parser(name, help=kind.help, description=kind.help)
        add_root(parser)
        kind.add(parser)
        add_corpus_arguments(parser, kind.splits)
        parser.set_defaults(run_kind=_run)


def _run(args: argparse.Namespace) -> int:
    """Write what the corpus holds and print a summary."""
    args.root = args.root.resolve()
    prepare(args, with_selected(KINDS[args.kind].read(args), args.include, args.exclude))
    return 0
