"""Which recordings of a corpus are taken, and what is drawn from those of its training."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from csc_fairseq.corpora.corpus import Corpus
from csc_fairseq.corpora.hold_out import choose_held_out, choose_held_out_recordings, draw_speakers
from csc_fairseq.corpora.preparation import Recording
from csc_fairseq.errors import InputError
from csc_fairseq.text import normal


def selected(names: Sequence[str], include: Sequence[str], exclude: Sequence[str]) -> tuple[list[str], list[str]]:
    """Those names that have a pattern of `include`, if there are any, and none of `exclude`; and what to say about the others.

    Patterns are those of shells, for the whole path: `*` stands for anything, "/" too. InputError: a pattern that no name has, or
    no name is left.
    """
    forms = {name: normal(name) for name in names}

    def having(option: str, pattern: str) -> set[str]:
        found = {name for name, form in forms.items() if fnmatchcase(form, normal(pattern))}
        if not found:
            raise InputError(
                f"{option} {pattern!r}: fits none of {len(names)} recordings, such as {names[0]}; correct it"
            )
        return found

    kept = set(names)
    if include:
        kept = set().union(*(having("--include", pattern) for pattern in include))
    kept -= set().union(*(having("--exclude", pattern) for pattern in exclude))
    if not kept:
        raise InputError(f"--include and --exclude leave none of {len(names)} recordings; take others")
    left = len(names) - len(kept)
    notes = [f"left out by --include and --exclude: {left} of {len(names)} recordings"] if left else []
    return [name for name in names if name in kept], notes


def with_selected(corpus: Corpus, include: Sequence[str], exclude: Sequence[str]) -> Corpus:
    """The corpus with its `selected` recordings alone. A split without any is left out."""
    names = sorted({one.name for recordings in corpus.splits.values() for one in recordings})
    kept, told = selected(names, include, exclude)
    parts, chosen = [], set(kept)
    for part in corpus.parts:
        own = {split: [one for one in recordings if one.name in chosen] for split, recordings in part.splits.items()}
        parts.append(replace(part, splits={split: recordings for split, recordings in own.items() if recordings}))
    return replace(corpus, parts=[part for part in parts if part.splits], notes=[*corpus.notes, *told])


def with_drawn_speakers(corpus: Corpus, counts: Mapping[str, float], seed: int) -> Corpus:
    """The corpus with splits of speakers who are drawn from train (`draw_speakers`). InputError if it has other splits already."""
    if set(corpus.splits) != {"train"}:
        option = f"--{next(iter(counts))}-speakers"
        raise InputError(
            f"{option}: there are the splits {', '.join(corpus.splits)} already; leave them or {option} out"
        )
    split_of = draw_speakers((recording.speaker for recording in corpus.splits["train"]), counts, seed)
    drawn: dict[str, list[Recording]] = {split: [] for split in sorted({"train", *counts})}
    for recording in corpus.splits["train"]:
        drawn[split_of[recording.speaker]].append(recording)
    return replace(corpus, parts=[replace(part, splits=drawn) for part in corpus.parts])


def with_held_out(corpus: Corpus, per_speaker: int | None, share: float | None, whoever: bool, seed: int) -> Corpus:
    """The corpus with recordings of training speakers moved from split train to a split valid.

    per_speaker, share: as of `choose_held_out`. whoever: as of `choose_held_out_recordings` instead. InputError: no
    train, a valid, or nothing can be spared.
    """
    if "train" not in corpus.splits or "valid" in corpus.splits:
        raise InputError(
            f"{corpus.parts[0].root}: has the splits {', '.join(corpus.splits)}; holding out needs train and makes valid itself; "
            "rename them, or hold out nothing"
        )
    (part,) = [part for part in corpus.parts if "train" in part.splits]
    train = part.splits["train"]
    if whoever:
        held_out = choose_held_out_recordings([recording.name for recording in train], share, seed)
    else:
        held_out = choose_held_out(train, per_speaker, share, seed)
    if not any(held_out):
        raise InputError("no training speaker can spare recordings for split valid; hold out fewer, or none")
    sides: dict[bool, list[Recording]] = {False: [], True: []}
    for recording, held in zip(train, held_out, strict=True):
        sides[held].append(recording)
    splits = dict(sorted({**part.splits, "train": sides[False], "valid": sides[True]}.items()))
    return replace(corpus, parts=[replace(one, splits=splits) if one is part else one for one in corpus.parts])
