"""What `csc prepare` does with any corpus: choose, convert, measure, split, write all files at once, and report."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from csc_fairseq.cli.faults import settle
from csc_fairseq.cli.prepare_options import check_hold_out
from csc_fairseq.corpora.conversion import convert
from csc_fairseq.corpora.corpus import Corpus, Part
from csc_fairseq.corpora.preparation import (
    ManifestContent,
    Recording,
    measure,
    refuse_stale_hold_out,
    repetitions,
    require_one_form,
    write_manifests,
)
from csc_fairseq.corpora.published_trials import trial_files
from csc_fairseq.corpora.report import REPORT, gender_table, summary
from csc_fairseq.corpora.selection import with_drawn_speakers, with_held_out
from csc_fairseq.corpora.transcripts import librispeech_texts
from csc_fairseq.errors import InputError

SKIPPED = "skipped.txt"


def prepare(args: argparse.Namespace, corpus: Corpus) -> Corpus:
    """Write manifests, labels, lists of trials and a report to args.out, and print the report. The corpus as it was written.

    args: kind, root and those of `prepare_options.add_corpus_arguments`. Patterns of names were applied before.
    """
    check_hold_out(args.valid_per_speaker, args.valid_share, args.valid_for)
    counts = {split: count for split, count in (("test", args.test_speakers), ("dev", args.dev_speakers)) if count}
    if counts:
        corpus = with_drawn_speakers(corpus, counts, args.seed)
    for what in ("speaker", "session"):
        every = {getattr(one, what) for recordings in corpus.splits.values() for one in recordings}
        require_one_form(sorted(every), f"{what}s")
    corpus, faults = _measured(args, corpus)
    if args.valid_per_speaker is not None or args.valid_share is not None or args.valid_for is not None:
        whoever = args.valid_for == "utterance"
        corpus = with_held_out(corpus, args.valid_per_speaker, args.valid_share, whoever, args.seed)
    for split, recordings in corpus.splits.items():
        if not recordings:
            raise InputError(
                f"{args.root}: no recording is left for split {split}; repair some, or lower --min-seconds"
            )
    _write(args, corpus, faults)
    return corpus


def _measured(args: argparse.Namespace, corpus: Corpus) -> tuple[Corpus, int]:
    """The corpus with lengths, without faulty (--skip-bad) and short recordings; and how many are faulty."""
    compared = set().union(*(published.recordings for published in corpus.trials.values()))
    lengths: dict[str, int] = {}
    faults: list[str] = []
    doubled = 0
    for part in corpus.parts:
        names = sorted({recording.name for recordings in part.splits.values() for recording in recordings})
        unmade = _converted(args, part, names)
        names = [name for name in names if name not in unmade]
        how = (args.sample_rate, args.allow_rates, args.jobs, "read files")
        frames, unsound = measure(part.root, names, *how)
        for i, message in repetitions(part.root, names, frames, *how).items():
            if names[i] in compared:  # published error rates are those of the whole list
                doubled += 1
            else:
                unsound[i] = message
        faults += [*unmade.values(), *(unsound[i] for i in sorted(unsound))]
        lengths |= {name: frames[i] for i, name in enumerate(names) if i not in unsound}
    settle(faults, len(lengths) + len(faults), args.out / SKIPPED if args.skip_bad else None)
    least = args.min_seconds * args.sample_rate
    kept = {name: frames for name, frames in lengths.items() if frames >= least}
    parts = [
        replace(part, splits={split: _with_lengths(recordings, kept) for split, recordings in part.splits.items()})
        for part in corpus.parts
    ]
    notes = list(corpus.notes)
    if doubled:
        notes.append(
            f"kept, because lists of trials name them: {doubled} recordings that are the same audio as another one"
        )
    if args.min_seconds > 0:
        notes.append(f"left out, shorter than {args.min_seconds:g} s: {len(lengths) - len(kept)} recordings")
    return replace(corpus, parts=parts, notes=notes), len(faults)


def _with_lengths(recordings: Sequence[Recording], lengths: Mapping[str, int]) -> list[Recording]:
    """Those recordings whose lengths are known, with these."""
    return [replace(one, frames=lengths[one.name]) for one in recordings if one.name in lengths]


def _converted(args: argparse.Namespace, part: Part, names: Sequence[str]) -> dict[str, str]:
    """Makes those recordings that have a source; the faults by name."""
    if part.write is None:
        return {}
    sources = {name: part.sources[name] for name in names if name in part.sources}
    return convert(part.root, sources, part.write, args.jobs, "convert files")


def _write(args: argparse.Namespace, corpus: Corpus, faults: int) -> None:
    """Write all files together, and print what the report says."""
    out, splits = args.out, corpus.splits
    refuse_stale_hold_out(out, splits)
    manifests = {
        out / f"{split}.tsv": ManifestContent(part.root, recordings, corpus.labels)
        for part in corpus.parts
        for split, recordings in part.splits.items()
    }
    lists, about = trial_files(corpus.trials, splits)
    files: dict[Path, Sequence[str]] = {out / name: lines for name, lines in lists.items()}
    if "gender" in corpus.labels:
        files[out / "speakers.txt"] = gender_table(splits)
    if corpus.transcripts:
        for path, content in manifests.items():
            names = (recording.name for recording in content.recordings)
            files[path.with_suffix(".txt")] = librispeech_texts(path, content.root, names)
    text = [*summary(splits, args.sample_rate), *about, *corpus.notes]
    if faults:  # which were told before
        text.append(f"left out, with faults: {faults} recordings, listed in {SKIPPED}")
    write_manifests(manifests, {**files, out / REPORT: [f"csc prepare {args.kind} {args.root}", *text]})
    print(*(text[:-1] if faults else text), sep="\n")
