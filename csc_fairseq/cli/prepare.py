"""`csc prepare`: from folders of recordings to manifests, and from texts to transcripts beside them."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from csc_fairseq.cli.faults import add_skip_argument, settle
from csc_fairseq.corpora.preparation import (
    EXTENSIONS,
    FEWEST_UTTERANCES,
    KEPT_FOR_TRAINING,
    UTTERANCE_SHARE,
    Recording,
    choose_held_out,
    choose_held_out_recordings,
    find_recordings,
    folder_label,
    other_audio,
    require_one_form,
    summary,
    survey,
    write_manifests,
    write_splits,
)
from csc_fairseq.corpora.split_table import assign_splits, read_recording_list, read_split_table, select_recordings
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
from csc_fairseq.errors import InputError

SUMMARY = "write manifests for a corpus of speech, or for noise and room impulse responses; transcripts"
EXAMPLE = "csc prepare folders /data/LibriSpeech --speaker-level 2 --session-level 3 --out manifests"
EXAMPLE_AUDIO = "csc prepare audio /data/musan/noise --out manifests/noise.tsv"
EXAMPLE_TRANSCRIPTS = "csc prepare transcripts manifests/train.tsv manifests/valid.tsv manifests/test.tsv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `csc prepare folders`, `csc prepare audio` and `csc prepare transcripts`."""
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    folders = kinds.add_parser(
        "folders", help="speech stored as speaker/…/file, with labels and splits", epilog=f"example: {EXAMPLE}"
    )
    _add_common(folders)
    add_skip_argument(folders, "DIR/skipped.txt")
    folders.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the manifests")
    folders.add_argument(
        "--speaker-level",
        type=int,
        default=1,
        metavar="N",
        help="which folder is the speaker: 1 is the first below ROOT, -1 the one that holds the file (default: 1)",
    )
    folders.add_argument(
        "--session-level", type=int, metavar="N", help="which folder is the session; writes .session files"
    )
    folders.add_argument(
        "--splits",
        type=Path,
        metavar="TABLE",
        help="speakers and their splits: tab-separated with the columns speaker, split and perhaps corpus (the folder "
        "above), or lines `speaker split`; without it all is train",
    )
    folders.add_argument(
        "--ignore-missing", action="store_true", help="leave out speakers that TABLE lacks, instead of stopping"
    )
    held_out = folders.add_mutually_exclusive_group()
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
    _add_valid_for(folders)
    folders.add_argument(
        "--min-seconds", type=float, default=0.0, metavar="S", help="leave out shorter recordings (default: keep all)"
    )

    audio = kinds.add_parser(
        "audio", help="recordings without labels: speech, noise, impulse responses", epilog=f"example: {EXAMPLE_AUDIO}"
    )
    _add_common(audio)
    add_skip_argument(audio, "FILE.skipped.txt")
    audio.add_argument("--out", type=Path, required=True, metavar="FILE.tsv", help="the manifest to write")
    audio.add_argument(
        "--list",
        type=Path,
        metavar="TABLE",
        help="take only what this tab-separated table names in its columns name and perhaps corpus (the folder above)",
    )
    audio.add_argument("--split", help="only rows whose column split has this value")
    audio.add_argument(
        "--valid-share",
        type=float,
        metavar="P",
        help="with --valid-for utterance: move this share of the recordings to valid.tsv beside FILE.tsv",
    )
    audio.add_argument(
        "--min-seconds", type=float, default=0.0, metavar="S", help="leave out shorter recordings (default: keep all)"
    )
    _add_valid_for(audio)

    transcripts = kinds.add_parser(
        "transcripts",
        help="what is said in the recordings of manifests, as letters for CTC training: X.ltr beside X.tsv",
        description=f"Writes X.ltr beside each X.tsv, and {DICTIONARY} beside train.tsv. Texts are put in upper case; letters "
        "and apostrophes are kept, anything else separates words, digits are refused.",
        epilog=f"example: {EXAMPLE_TRANSCRIPTS}",
    )
    transcripts.add_argument("manifests", nargs="+", type=Path, metavar="X.tsv", help="manifests, train.tsv among them")
    transcripts.add_argument(
        "--text",
        choices=SOURCES,
        help="parallel: X.txt beside X.tsv, line for line; librispeech: *.trans.txt in the recordings' folders (default: "
        "parallel where X.txt exists, else librispeech)",
    )


def _add_valid_for(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--valid-for",
        choices=("speaker", "utterance"),
        help="for which task.identity validation is: speaker holds out recordings of training speakers (default), utterance holds "
        f"out recordings whoever speaks (by default {100 * UTTERANCE_SHARE:g} %% of them, at least {FEWEST_UTTERANCES})",
    )
    parser.add_argument("--seed", type=int, default=1, help="for the choice of these (default: %(default)s)")


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder that holds the recordings")
    parser.add_argument(
        "--ext",
        default=",".join(EXTENSIONS),
        metavar="LIST",
        help="file name extensions, with commas between (default: %(default)s)",
    )
    parser.add_argument("--sample-rate", type=int, default=16000, help="expected rate in Hz (default: %(default)s)")
    parser.add_argument(
        "--allow-rates",
        action="store_true",
        help="accept files of other rates; the manifest then counts samples at --sample-rate, for training that "
        "resamples (stock wav2vec 2.0 does not)",
    )
    parser.add_argument("--jobs", type=int, default=4, help="threads that read headers (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Write the manifests and print a summary."""
    if args.kind == "transcripts":
        return _run_transcripts(args)
    # Manifests hold the resolved folder, whatever links or ".." the user came by; tables are matched against it too.
    args.root = args.root.resolve()
    return {"folders": _run_folders, "audio": _run_audio}[args.kind](args)


def _sound(args: argparse.Namespace, recordings: Sequence[Recording], report: Path) -> list[Recording]:
    """The recordings with their lengths, without those that --skip-bad leaves out. InputError for faults without it."""
    names = [recording.name for recording in recordings]
    lengths, faults = survey(args.root, names, args.sample_rate, args.allow_rates, args.jobs, progress="read files")
    settle(list(faults.values()), len(names), report if args.skip_bad else None)
    measured = zip(recordings, lengths, strict=True)
    return [replace(recording, frames=frames) for i, (recording, frames) in enumerate(measured) if i not in faults]


def _tell_other_audio(args: argparse.Namespace) -> None:
    if other := other_audio(args.root, args.ext.split(",")):
        print(other.removeprefix("; "))


def _run_audio(args: argparse.Namespace) -> int:
    if args.split is not None and args.list is None:
        raise InputError("--split names rows of a table; give the table with --list")
    if args.valid_for != "utterance" and (args.valid_share is not None or args.valid_for is not None):
        raise InputError(
            "`csc prepare audio` knows no speakers; hold out with --valid-for utterance, or hold out nothing"
        )
    if args.valid_for == "utterance" and args.out.name == "valid.tsv":
        raise InputError(f"{args.out}: is where the held-out recordings go; name the manifest train.tsv")
    _check_hold_out(args)
    valid = args.out.with_name("valid.tsv")
    if valid.exists() and (args.out.name == "train.tsv") != (args.valid_for == "utterance") and args.out != valid:
        raise InputError(f"{valid}: belongs to another train.tsv; move it away, or choose another folder")
    names = find_recordings(args.root, args.ext.split(","))
    found = len(names)
    if args.list is not None:
        names = select_recordings(args.root, names, read_recording_list(args.list, args.split), args.list)
    recordings = _sound(args, [Recording(name, 0) for name in names], args.out.with_suffix(".skipped.txt"))
    _tell_other_audio(args)
    kept = [recording for recording in recordings if recording.frames >= args.min_seconds * args.sample_rate]
    if not kept:
        raise InputError(f"{args.root}: no recording is left; lower --min-seconds")
    parts = {args.out: kept}
    if args.valid_for == "utterance":
        held_out = choose_held_out_recordings([recording.name for recording in kept], args.valid_share, args.seed)
        parts = {
            path: [recording for recording, held in zip(kept, held_out, strict=True) if held == is_valid]
            for path, is_valid in ((args.out, False), (valid, True))
        }
    write_manifests(args.root, parts)
    for path, part in parts.items():
        minutes = sum(recording.frames for recording in part) / args.sample_rate / 60
        print(f"{path}: {len(part)} recordings, {minutes:.1f} min")
    if len(kept) < len(recordings):
        print(f"left out, shorter than {args.min_seconds:g} s: {len(recordings) - len(kept)} recordings")
    if args.list is not None:
        print(f"left out, not in {args.list}: {found - len(names)} recordings")
    return 0


def _run_transcripts(args: argparse.Namespace) -> int:
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


def _run_folders(args: argparse.Namespace) -> int:
    _check_hold_out(args)
    names = find_recordings(args.root, args.ext.split(","))
    speakers = [folder_label(name, args.speaker_level) for name in names]
    sessions = ["" if args.session_level is None else folder_label(name, args.session_level) for name in names]
    if args.splits is None:
        split_of = dict.fromkeys(speakers, "train")
    else:
        table = read_split_table(args.splits)
        split_of = assign_splits(args.root, speakers, table, args.splits, args.ignore_missing)
    rows = [
        Recording(name, 0, speaker, session)
        for name, speaker, session in zip(names, speakers, sessions, strict=True)
        if speaker in split_of
    ]
    require_one_form((row.speaker for row in rows), "speakers")
    require_one_form((row.session for row in rows), "sessions")
    recordings = _sound(args, rows, args.out / "skipped.txt")
    _tell_other_audio(args)
    kept = [recording for recording in recordings if recording.frames >= args.min_seconds * args.sample_rate]
    splits = _group(kept, split_of)
    if args.valid_per_speaker is not None or args.valid_share is not None or args.valid_for is not None:
        splits = _hold_out(splits, args)
    for split in sorted(set(split_of.values())):
        if not splits.get(split):
            raise InputError(
                f"{args.root}: no recording is left for split {split}; repair some, or lower --min-seconds"
            )
    write_splits(args.out, args.root, splits, sessions=args.session_level is not None)
    print(summary(splits, args.sample_rate))
    if args.min_seconds > 0:
        print(f"left out, shorter than {args.min_seconds:g} s: {len(recordings) - len(kept)} recordings")
    if len(rows) < len(names):
        unknown = len(set(speakers) - set(split_of))
        print(f"left out, not in {args.splits}: {unknown} speakers with {len(names) - len(rows)} recordings")
    return 0


def _check_hold_out(args: argparse.Namespace) -> None:
    per_speaker = getattr(args, "valid_per_speaker", None)  # `audio` has no speakers
    if per_speaker is not None and per_speaker < 1:
        raise InputError(f"--valid-per-speaker {per_speaker}: expected at least 1")
    if per_speaker is not None and args.valid_for == "utterance":
        raise InputError(
            "--valid-per-speaker asks for speakers, --valid-for utterance does not; give --valid-share instead"
        )
    if args.valid_for == "speaker" and per_speaker is None and args.valid_share is None:
        raise InputError("--valid-for speaker: how many? add --valid-per-speaker N or --valid-share P")
    if args.valid_share is not None and not 0 < args.valid_share < 1:
        raise InputError(f"--valid-share {args.valid_share}: expected a share between 0 and 1, such as 0.05")


def _group(recordings: Sequence[Recording], split_of: dict[str, str]) -> dict[str, list[Recording]]:
    splits: dict[str, list[Recording]] = {}
    for recording in recordings:
        splits.setdefault(split_of[recording.speaker], []).append(recording)
    return dict(sorted(splits.items()))


def _hold_out(splits: dict[str, list[Recording]], args: argparse.Namespace) -> dict[str, list[Recording]]:
    """Move recordings of training speakers from split train to a split valid."""
    if "train" not in splits or "valid" in splits:
        raise InputError(
            f"{args.splits}: has the splits {', '.join(splits)}; holding out needs train and makes valid itself; "
            "rename them, or hold out nothing"
        )
    train = splits["train"]
    if args.valid_for == "utterance":
        names = [recording.name for recording in train]
        held_out = choose_held_out_recordings(names, args.valid_share, args.seed)
    else:
        held_out = choose_held_out(train, args.valid_per_speaker, args.valid_share, args.seed)
    if not any(held_out):
        raise InputError("no training speaker can spare recordings for split valid; hold out fewer, or none")
    parts: dict[bool, list[Recording]] = {False: [], True: []}
    for recording, held in zip(train, held_out, strict=True):
        parts[held].append(recording)
    return dict(sorted((splits | {"train": parts[False], "valid": parts[True]}).items()))
