"""Cut sets of lhotse (lhotse.readthedocs.io; Żelasko et al., 2021), which has recipes for a hundred corpora, as a corpus.

A cut is a recording, or a part of one, with supervisions that say who speaks.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from csc_fairseq.corpora.conversion import Origin, excerpt, link
from csc_fairseq.corpora.corpus import UNKNOWN, Corpus, Part, by_split
from csc_fairseq.corpora.lhotse_cuts import TURNS, Excerpt, read_cuts
from csc_fairseq.corpora.preparation import Recording
from csc_fairseq.errors import InputError

Placed = tuple[str, Excerpt]  # with its split
_NUMBERED = re.compile(r"(spk|spkr|speaker|talker|s)[-_]?\d{1,3}|[A-Z]", re.IGNORECASE)  # in each recording, probably


def read(
    sets: Sequence[tuple[str, Path]], root: Path, audio: Path, sample_rate: int | None = None, local: bool = False
) -> tuple[Path, Corpus]:
    """The nearest folder above all files, and the cuts as recordings, named by what they hold, below it.

    If all cuts are whole files with one channel, these stay where they are. Otherwise links to such files, and the other cuts as
    FLAC, are written below `audio`, at the files' own absolute paths, so that several corpora may share it. Speakers and genders
    are those of the supervisions. Cuts of several speakers are left out, and those without one, unless no cut has one.

    Args:
        sets: (split, file of a cut set); a split may have several.
        root: of paths that are not absolute.
        sample_rate: expected of files that have to be written, in Hz; None: any.
        local: speakers are named within each recording, so they become RECORDING/SPEAKER.

    Raises:
        InputError: lhotse is missing, a file is no cut set, two cuts of one part have other splits or speakers, or none is left.
    """
    read_in = [(split, one) for split, path in sets for one in read_cuts(path, root)]
    faults = [one for _, one in read_in if isinstance(one, str)]
    found = [(split, one) for split, one in read_in if not isinstance(one, str)]
    kept, labels, notes = _labelled(found, faults, ", ".join(str(path) for _, path in sets))
    folder = Path(os.path.commonpath([one.path.parent for _, one in kept]))
    named, again = _named(kept, folder)
    if again:
        notes.append(f"left out, the same part of a recording as another cut: {again} of {len(read_in)} cuts")
    notes += [] if local or not labels else _speakers_of_several(one for _, one in kept)
    pairs = [
        (split, Recording(name, 0, _label(one, local), gender=one.gender if labels else ""))
        for name, (split, one) in named.items()
    ]
    if all(one.whole for _, one in kept):
        return folder, Corpus([Part(folder, by_split(pairs))], labels, notes=notes, faults=faults)
    below = audio / folder.relative_to(folder.anchor)
    origins = {name: _origin(one, sample_rate) for name, (_, one) in named.items()}
    notes.append(f"written below {below}: parts of recordings and of their channels, as FLAC, and links to the others")
    notes += _overlapping(one for _, one in kept)
    return folder, Corpus([Part(below, by_split(pairs), origins)], labels, notes=notes, faults=faults)


def _labelled(
    found: Sequence[Placed], faults: Sequence[str], files: str
) -> tuple[list[Placed], tuple[str, ...], list[str]]:
    """Those with one speaker, or all if no cut has any; suffixes of the label files; and notes on the others."""
    if not found:
        if faults:
            raise InputError(f"{faults[0]} (and so on: all {len(faults)} cuts have faults)")
        raise InputError(f"{files}: no cuts; expected one for each recording, or part of a recording")
    nobody = [one.place for _, one in found if not one.speakers]
    several = [one.place for _, one in found if len(one.speakers) > 1]
    if len(nobody) == len(found):
        return list(found), (), ["no supervision names a speaker: no label files"]
    kept = [(split, one) for split, one in found if len(one.speakers) == 1]
    if not kept:
        raise InputError(
            f"{several[0]}: has several speakers, and so has each cut with any; make a cut for each turn: {TURNS} CUTS TURNS"
        )
    notes = [
        f"left out, {what}: {len(places)} of {len(found)} cuts, such as {places[0]}"
        for what, places in (("without a speaker", nobody), ("with several speakers", several))
        if places
    ]
    genders = any(one.gender != UNKNOWN for _, one in kept)
    return kept, ("spk", "gender") if genders else ("spk",), notes


def _named(kept: Sequence[Placed], folder: Path) -> tuple[dict[str, Placed], int]:
    """Those that differ, by their names below the folder, and how many of the others there are."""
    named: dict[str, Placed] = {}
    for split, one in kept:
        earlier_split, earlier = named.setdefault(_name(one, folder), (split, one))
        if (earlier_split, earlier.speakers) != (split, one.speakers):
            raise InputError(
                f"{one.place}: is the same part of {one.path} as {earlier.place}, for another split or speaker; keep one of both"
            )
    return named, len(kept) - len(named)


def _name(one: Excerpt, folder: Path) -> str:
    """It says what is in the file, whatever its rate: a file of this name and path is never of another part."""
    name = one.path.relative_to(folder).as_posix()
    if one.whole:
        return name
    start, end = (round(1e6 * time) for time in (one.start, one.end))  # µs
    return f"{name}.parts/ch{one.channel}_{start:012}-{end:012}.flac"


def _label(one: Excerpt, local: bool) -> str:
    speaker = "".join(one.speakers)
    return f"{one.recording}/{speaker}" if local and speaker else speaker


def _origin(one: Excerpt, sample_rate: int | None) -> Origin:
    part = partial(excerpt, channel=one.channel, start=one.start, end=one.end, sample_rate=sample_rate)
    return Origin(one.path, link if one.whole else part)


def _speakers_of_several(excerpts: Iterable[Excerpt]) -> list[str]:
    """A note on speakers who look as if they were numbered in each recording, if there are any in several."""
    recordings = defaultdict(set)
    for one in excerpts:
        for speaker in one.speakers:
            if _NUMBERED.fullmatch(speaker):
                recordings[speaker].add(one.recording)
    speaker = max(recordings, key=lambda name: len(recordings[name]), default="")
    if len(recordings.get(speaker, ())) < 2:
        return []
    count = len(recordings[speaker])
    return [
        f"note: speaker {speaker} is in {count} recordings; if this is another person in each, add --local-speakers"
    ]


def _overlapping(excerpts: Iterable[Excerpt]) -> list[str]:
    """A note on parts that share some time of a recording, if there are any: what is held out of them is heard in training."""
    ordered = sorted(excerpts, key=lambda one: (one.path, one.channel, one.start))
    latest: dict[tuple[Path, int], float] = {}
    overlapping = []
    for one in ordered:
        key = one.path, one.channel
        if one.start < latest.get(key, 0):
            overlapping.append(one.place)
        latest[key] = max(one.end, latest.get(key, 0))
    if not overlapping:
        return []
    return [
        f"note: {len(overlapping)} cuts begin within another one, such as {overlapping[0]}; where one of two is held out, training "
        "hears the other"
    ]
