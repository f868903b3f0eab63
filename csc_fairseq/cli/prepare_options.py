"""Options that several sub-verbs of `csc prepare` have, and what is wrong with their values."""

import argparse
from pathlib import Path
from typing import Literal

from csc_fairseq.cli import numbers
from csc_fairseq.cli.faults import add_skip_argument
from csc_fairseq.corpora.hold_out import FEWEST_UTTERANCES, KEPT_FOR_TRAINING, UTTERANCE_SHARE
from csc_fairseq.corpora.preparation import EXTENSIONS
from csc_fairseq.errors import InputError


def add_root(parser: argparse.ArgumentParser) -> None:
    """ROOT."""
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder that holds the recordings")


def add_ending_argument(parser: argparse.ArgumentParser) -> None:
    """--ext, where any folder is taken."""
    parser.add_argument(
        "--ext",
        default=",".join(EXTENSIONS),
        metavar="LIST",
        help="file name extensions, with commas between (default: %(default)s)",
    )


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """Which recordings are taken, and how files are read."""
    parser.add_argument(
        "--include", action="append", default=[], metavar="PATTERN",
        help="take only recordings whose path below ROOT has this pattern, such as 'de/*'; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="PATTERN",
        help="leave out those, such as '*_mic2.*'; several times",
    )
    parser.add_argument(
        "--min-seconds",
        type=numbers.seconds,
        default=0.0,
        metavar="S",
        help="leave out shorter recordings (default: keep all)",
    )
    add_rate_arguments(parser)


def add_rate_arguments(parser: argparse.ArgumentParser) -> None:
    """How files are read."""
    parser.add_argument(
        "--sample-rate", type=numbers.sample_rate, default=16000, help="expected rate in Hz (default: %(default)s)"
    )
    parser.add_argument(
        "--allow-rates",
        action="store_true",
        help="accept files of other rates; the manifest then counts samples at --sample-rate, for training that "
        "resamples (stock wav2vec 2.0 does not)",
    )
    parser.add_argument("--jobs", type=int, default=4, help="threads that read files (default: %(default)s)")


def add_audio_argument(parser: argparse.ArgumentParser) -> None:
    """--audio, which `audio_folder` reads."""
    parser.add_argument(
        "--audio",
        type=Path,
        metavar="DIR",
        help="folder for recordings that are converted (default: audio below --out)",
    )


def audio_folder(args: argparse.Namespace) -> Path:
    """Where recordings that are converted go. args: audio, out."""
    return (args.audio or args.out / "audio").resolve()


def add_corpus_arguments(parser: argparse.ArgumentParser, splits: Literal["drawn", "official", "fixed"]) -> None:
    """What `prepare_steps.prepare` needs.

    splits: drawn, if speakers may be drawn for test and dev; official, if the corpus has such splits; fixed, if nothing is held out
    for validation either.
    """
    add_skip_argument(parser, "DIR/skipped.txt")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the manifests")
    add_reading_arguments(parser)
    parser.set_defaults(test_speakers=None, dev_speakers=None, valid_per_speaker=None, valid_share=None, valid_for=None)
    if splits == "drawn":
        add_speaker_split_arguments(parser)
    if splits != "fixed":
        add_hold_out_arguments(parser)


def add_hold_out_arguments(parser: argparse.ArgumentParser) -> None:
    """Recordings for validation."""
    held_out = parser.add_mutually_exclusive_group()
    held_out.add_argument(
        "--valid-per-speaker",
        type=int,
        metavar="N",
        help=f"move N recordings of each training speaker with at least N+{KEPT_FOR_TRAINING} to split valid",
    )
    held_out.add_argument(
        "--valid-share",
        type=float,
        metavar="P",
        help="move this share of each training speaker's recordings to valid, or with "
        "--valid-for utterance, of all recordings",
    )
    add_valid_for(parser)


def add_valid_for(parser: argparse.ArgumentParser) -> None:
    """--valid-for and --seed."""
    parser.add_argument(
        "--valid-for",
        choices=("speaker", "utterance"),
        help="for which task.identity validation is: speaker holds out recordings of training speakers (default), utterance holds "
        f"out recordings whoever speaks (by default {100 * UTTERANCE_SHARE:g} %% of them, at least {FEWEST_UTTERANCES})",
    )
    parser.add_argument("--seed", type=int, default=1, help="for what is drawn (default: %(default)s)")


def add_speaker_split_arguments(parser: argparse.ArgumentParser) -> None:
    """Speakers for test and development, where the corpus has no splits of its own."""
    for split in ("test", "dev"):
        parser.add_argument(
            f"--{split}-speakers", type=numbers.count_or_share, metavar="N|SHARE",
            help=f"draw N speakers, or a share of them such as 0.1, for split {split}",
        )  # fmt: skip


def check_hold_out(valid_per_speaker: int | None, valid_share: float | None, valid_for: str | None) -> None:
    """InputError for values of the hold-out options that make no sense, or not together."""
    if valid_per_speaker is not None and valid_per_speaker < 1:
        raise InputError(f"--valid-per-speaker {valid_per_speaker}: expected at least 1")
    if valid_per_speaker is not None and valid_for == "utterance":
        raise InputError(
            "--valid-per-speaker asks for speakers, --valid-for utterance does not; give --valid-share instead"
        )
    if valid_for == "speaker" and valid_per_speaker is None and valid_share is None:
        raise InputError("--valid-for speaker: how many? add --valid-per-speaker N or --valid-share P")
    if valid_share is not None and not 0 < valid_share < 1:
        raise InputError(f"--valid-share {valid_share}: expected a share between 0 and 1, such as 0.05")
