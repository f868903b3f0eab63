"""`csc prepare audio`: recordings without labels."""

import argparse
from pathlib import Path

from csc_fairseq.cli.faults import add_skip_argument, settle
from csc_fairseq.cli.prepare_options import (
    add_ending_argument,
    add_reading_arguments,
    add_root,
    add_valid_for,
    check_hold_out,
)
from csc_fairseq.corpora.hold_out import choose_held_out_recordings
from csc_fairseq.corpora.preparation import Recording, find_recordings, other_audio, survey
from csc_fairseq.corpora.selection import selected
from csc_fairseq.corpora.split_table import read_recording_list, select_recordings
from csc_fairseq.corpora.writing import ManifestContent, write_manifests
from csc_fairseq.errors import InputError

EXAMPLE = "csc prepare audio /data/musan/noise --out manifests/noise.tsv"


def add_kind(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The sub-verb and its arguments."""
    parser = kinds.add_parser(
        "audio", help="recordings without labels: speech, noise, impulse responses", epilog=f"example: {EXAMPLE}"
    )
    add_root(parser)
    add_ending_argument(parser)
    add_reading_arguments(parser)
    add_skip_argument(parser, "FILE.skipped.txt")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.tsv", help="the manifest to write")
    parser.add_argument(
        "--list",
        type=Path,
        metavar="TABLE",
        help="take only what this tab-separated table names in its columns name and perhaps corpus (the folder above)",
    )
    parser.add_argument("--split", help="only rows whose column split has this value")
    parser.add_argument(
        "--valid-share", type=float, metavar="P", help="move this share of the recordings to valid.tsv beside FILE.tsv"
    )
    add_valid_for(parser)
    parser.set_defaults(run_kind=_run)


def _run(args: argparse.Namespace) -> int:
    """Write the manifest, and valid.tsv if recordings are held out."""
    args.root = args.root.resolve()
    if args.out.suffix != ".tsv":
        raise InputError(f"--out {args.out}: expected the name of a manifest, such as {args.out / 'train.tsv'}")
    if args.split is not None and args.list is None:
        raise InputError("--split names rows of a table; give the table with --list")
    if args.valid_for == "speaker":
        raise InputError(
            "`csc prepare audio` knows no speakers; hold out recordings with --valid-share P, or hold out nothing"
        )
    holds_out = args.valid_for is not None or args.valid_share is not None
    if holds_out and args.out.name == "valid.tsv":
        raise InputError(f"{args.out}: is where the held-out recordings go; name the manifest train.tsv")
    check_hold_out(None, args.valid_share, args.valid_for)
    valid = args.out.with_name("valid.tsv")
    if valid.exists() and (args.out.name == "train.tsv") != holds_out and args.out != valid:
        raise InputError(f"{valid}: belongs to another train.tsv; move it away, or choose another folder")
    names = find_recordings(args.root, args.ext.split(","))
    found = len(names)
    if args.list is not None:
        names = select_recordings(args.root, names, read_recording_list(args.list, args.split), args.list)
    listed = len(names)
    names, told = selected(names, args.include, args.exclude)
    recordings = _sound(args, names)
    if other := other_audio(args.root, args.ext.split(",")):
        print(other.removeprefix("; "))
    kept = [recording for recording in recordings if recording.frames >= args.min_seconds * args.sample_rate]
    if not kept:
        raise InputError(f"{args.root}: no recording is left; lower --min-seconds")
    parts = {args.out: kept}
    if holds_out:
        held_out = choose_held_out_recordings([recording.name for recording in kept], args.valid_share, args.seed)
        parts = {
            path: [recording for recording, held in zip(kept, held_out, strict=True) if held == is_valid]
            for path, is_valid in ((args.out, False), (valid, True))
        }
    write_manifests({path: ManifestContent(args.root, part) for path, part in parts.items()})
    for path, part in parts.items():
        minutes = sum(recording.frames for recording in part) / args.sample_rate / 60
        print(f"{path}: {len(part)} recordings, {minutes:.1f} min")
    if len(kept) < len(recordings):
        print(f"left out, shorter than {args.min_seconds:g} s: {len(recordings) - len(kept)} recordings")
    if args.list is not None:
        print(f"left out, not in {args.list}: {found - listed} recordings")
    for note in told:
        print(note)
    return 0


def _sound(args: argparse.Namespace, names: list[str]) -> list[Recording]:
    """The recordings with their lengths, without those that --skip-bad leaves out. InputError for faults without it."""
    lengths, faults = survey(args.root, names, args.sample_rate, args.allow_rates, args.jobs, progress="read files")
    report = args.out.with_suffix(".skipped.txt")
    settle(list(faults.values()), len(names), report if args.skip_bad else None)
    measured = enumerate(zip(names, lengths, strict=True))
    return [Recording(name, frames) for i, (name, frames) in measured if i not in faults]
