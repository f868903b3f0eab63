"""What `csc prepare` does with any corpus: choose, convert, measure, split, write all files at once, and report."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from csc_fairseq.cli.faults import settle
from csc_fairseq.cli.prepare_options import check_hold_out
from csc_fairseq.corpora.conversion import convert
from csc_fairseq.corpora.corpus import Corpus, Part
from csc_fairseq.corpora.preparation import Recording, measure, repetitions, require_one_form
from csc_fairseq.corpora.published_trials import trial_files
from csc_fairseq.corpora.report import SPEAKERS, gender_table, summary
from csc_fairseq.corpora.selection import with_drawn_speakers, with_held_out
from csc_fairseq.corpora.transcripts import librispeech_texts
from csc_fairseq.corpora.writing import Account, ManifestContent, write_preparation
from csc_fairseq.data.parallel import parallel_map
from csc_fairseq.errors import InputError

SKIPPED = "skipped.txt"
Item = TypeVar("Item")
Found = TypeVar("Found")


@dataclass(frozen=True)
class _Fault:
    message: str


def prepare(
    args: argparse.Namespace,
    corpus: Corpus,
    doubts: Callable[[Mapping[str, Sequence[Recording]]], Sequence[str]] = lambda splits: (),
) -> None:
    """Write manifests, labels, lists of trials and a report to args.out, and print the report.

    args: kind, root and those of `prepare_options.add_corpus_arguments`. Patterns of names were applied before. doubts: what
    seems wrong with the splits, a line each, for the report.
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
    _write(args, corpus, doubts(corpus.splits), faults)


def _measured(args: argparse.Namespace, corpus: Corpus) -> tuple[Corpus, int]:
    """The corpus with lengths, without faulty (--skip-bad) and short recordings; and how many are faulty."""
    compared = set().union(*(published.recordings for published in corpus.trials.values()))
    lengths: dict[str, int] = {}
    faults = list(corpus.faults)
    if not args.skip_bad:  # before hours of work
        settle(faults, len(faults) + sum(map(len, corpus.splits.values())), None)
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
    """Makes those recordings that have an origin; the faults by name."""
    origins = {name: part.origins[name] for name in names if name in part.origins}
    return convert(part.root, origins, args.jobs, "convert files")


def sound(args: argparse.Namespace, items: Sequence[Item], read: Callable[[Item], Found]) -> tuple[list[Found], int]:
    """What `read` makes of the items, without those that it refuses, and how many these are (--skip-bad).

    args: out, jobs, skip_bad. InputError as of `settle`.
    """

    def attempt(item: Item) -> Found | _Fault:
        try:
            return read(item)
        except InputError as error:
            return _Fault(str(error))

    results = list(parallel_map(attempt, items, args.jobs, "read files"))
    faults = [one.message for one in results if isinstance(one, _Fault)]
    settle(faults, len(results), args.out / SKIPPED if args.skip_bad else None)
    return [one for one in results if not isinstance(one, _Fault)], len(faults)


def account_of(args: argparse.Namespace, text: Sequence[str], faults: int, what: str = "recordings") -> Account:
    """What the report says: the text, and how many were left out, which was printed before. args: kind, root."""
    left = [f"left out, with faults: {faults} {what}, listed in {SKIPPED}"] if faults else []
    return Account(args.kind, args.root, [*text, *left])


def _write(args: argparse.Namespace, corpus: Corpus, doubts: Sequence[str], faults: int) -> None:
    """Write all files together, and print what the report says."""
    splits = corpus.splits
    manifests = {
        split: ManifestContent(part.root, recordings, corpus.labels)
        for part in corpus.parts
        for split, recordings in part.splits.items()
    }
    lists, about = trial_files(corpus.trials, splits)
    files: dict[str, Sequence[str]] = {**lists}
    if "gender" in corpus.labels:
        files[SPEAKERS] = gender_table(splits)
    if corpus.transcripts:
        for split, content in manifests.items():
            names = (recording.name for recording in content.recordings)
            files[f"{split}.txt"] = librispeech_texts(args.out / f"{split}.tsv", content.root, names)
    notes = (f"note: {doubt}" for doubt in doubts)
    text = [*summary(splits, args.sample_rate), *about, *corpus.notes, *notes]
    write_preparation(args.out, manifests, files, account_of(args, text, faults))
    print(*text, sep="\n")
