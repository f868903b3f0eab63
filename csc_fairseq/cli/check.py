"""`csc check`: are these manifests, their labels and their audio what training expects?"""

import argparse
from pathlib import Path

from csc_fairseq.cli.numbers import sample_rate
from csc_fairseq.corpora.check import check_manifest
from csc_fairseq.corpora.check_mixtures import check_mixtures
from csc_fairseq.corpora.overlaps import compare_manifests
from csc_fairseq.data.fixed_mixtures import are_fixed_mixtures, read_fixed_mixtures
from csc_fairseq.data.manifest import LABEL_SUFFIXES, Manifest, label_path, read_labels, read_manifest
from csc_fairseq.errors import InputError

SUMMARY = "validate manifests: every problem with file and line"
EXAMPLE = "csc check manifests/train.tsv manifests/valid.tsv --deep"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `csc check`."""
    parser.add_argument("manifests", nargs="+", type=Path, metavar="MANIFEST.tsv", help="wav2vec manifests to check")
    parser.add_argument("--deep", action="store_true", help="decode all audio: finds corrupt, NaN and silent files")
    parser.add_argument(
        "--no-audio", action="store_true", help="look at lines, names and labels alone: ten million take half a minute"
    )
    parser.add_argument(
        "--sample-rate", type=sample_rate, default=16000, help="expected rate in Hz (default: %(default)s)"
    )
    parser.add_argument(
        "--allow-rates", action="store_true", help="accept other rates; lengths then count samples at --sample-rate"
    )
    parser.add_argument("--jobs", type=int, default=4, help="threads that read files (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Print `file:line: message` for every problem, one OK line for every good manifest; 1 if there was a problem."""
    if args.deep and args.no_audio:
        raise InputError("--deep and --no-audio were given; one decodes all audio, the other reads none: leave one out")
    good = []
    for path in args.manifests:
        of_sources = [(check_mixtures, f"check sources of {path}")] if are_fixed_mixtures(path) else []
        problems = []
        for check, title in [(check_manifest, f"check {path}"), *of_sources]:
            problems += check(
                path,
                args.sample_rate,
                resample=args.allow_rates,
                deep=args.deep,
                jobs=args.jobs,
                progress=title,
                audio=not args.no_audio,
            )
        for problem in problems:
            print(problem)
        if not problems:
            good.append(read_manifest(path))
            print(f"OK {path}: {_contents(good[-1], args.sample_rate)}")
    for note in compare_manifests(good, args.sample_rate, args.allow_rates, args.jobs, audio=not args.no_audio):
        print(f"note: {note}")
    return 0 if len(good) == len(args.manifests) else 1


def _contents(manifest: Manifest, sample_rate: int) -> str:
    hours = manifest.frames.sum() / sample_rate / 3600
    parts = [f"{len(manifest)} recordings", f"{hours:.2f} h"]
    for level, suffix in LABEL_SUFFIXES.items():
        if label_path(manifest, suffix).is_file():
            parts.append(f"{len(read_labels(manifest, suffix).values)} {level}s")
    if are_fixed_mixtures(manifest.path):
        mixtures = read_fixed_mixtures(manifest.path)
        parts.append(f"mixtures of {mixtures.count} sources")
        if mixtures.speakers is not None:
            parts.append(f"{len(mixtures.speakers.values)} speakers")
    return ", ".join(parts)
