"""Cut sets of lhotse (lhotse.readthedocs.io; Żelasko et al., 2021), which has recipes for a hundred corpora.

A cut is a recording, or a part of one, with supervisions that say who speaks.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from csc_fairseq.corpora.conversion import Origin, excerpt, link
from csc_fairseq.corpora.corpus import UNKNOWN, Corpus, Part, by_split, gender_of
from csc_fairseq.corpora.preparation import EXTENSIONS, Recording
from csc_fairseq.errors import InputError

if TYPE_CHECKING:
    from lhotse.cut import MonoCut

REMEDY = "pip install 'csc-fairseq[lhotse]'"


@dataclass(frozen=True, slots=True)
class _Excerpt:
    """What a cut holds. place: the cut, for messages. path: absolute. channel: of the file, from 0. start, seconds: of the file.

    samples: start and end at the cut's own rate. whole: it is all of a file with one channel, in a format that is read as it is.
    """

    place: str
    path: Path
    channel: int
    start: float
    seconds: float
    samples: tuple[int, int]
    whole: bool
    speakers: frozenset[str]
    gender: str

    def name(self, folder: Path) -> str:
        """Below a folder above the file. It says what is in it: other cuts never take files for theirs that were made before."""
        path = self.path.relative_to(folder)
        if self.whole:
            return path.as_posix()
        start, end = self.samples
        return f"{path.with_suffix('').as_posix()}/ch{self.channel}_{start:09}-{end:09}.flac"

    @property
    def origin(self) -> Origin:
        """How the file of this name is made."""
        part = partial(excerpt, channel=self.channel, start=self.start, seconds=self.seconds)
        return Origin(self.path, link if self.whole else part)


def read(sets: Sequence[tuple[str, Path]], root: Path, audio: Path) -> tuple[Path, Corpus]:
    """The nearest folder above all files, and the cuts as recordings, which have the names of files below it.

    If all cuts are whole files with one channel, these stay where they are. Otherwise links to such files, and the other cuts as
    FLAC, are written below `audio`. Speakers and genders are those of the supervisions. Cuts of several speakers are left out, and
    those without one, unless no cut has one.

    Args:
        sets: (split, file of a cut set); a split may have several.
        root: of paths that are not absolute.

    Raises:
        InputError: lhotse is missing; a file is no cut set; a cut is no part of one channel of an audio file as it was recorded (it
            may be resampled, which is done when it is read); two are the same part; none is left.
    """
    found = [(split, one) for split, path in sets for one in _excerpts(path, root)]
    kept, labels, notes = _labelled(found, ", ".join(str(path) for _, path in sets))
    folder = Path(os.path.commonpath([one.path.parent for _, one in kept]))
    named: dict[str, _Excerpt] = {}
    pairs = []
    for split, one in kept:
        name = one.name(folder)
        if name in named:
            raise InputError(
                f"{one.place}: is the same part of {one.path} as {named[name].place}; keep one of both cuts"
            )
        named[name] = one
        pairs.append((split, Recording(name, 0, "".join(one.speakers), gender=one.gender)))
    parts = sum(not one.whole for one in named.values())
    if not parts:
        return folder, Corpus([Part(folder, by_split(pairs))], labels, notes=notes)
    origins = {name: one.origin for name, one in named.items() if audio / name != one.path}  # audio may be the folder
    notes.append(f"parts of recordings, or of their channels: {parts} of {len(named)} cuts, written below {audio}")
    return folder, Corpus([Part(audio, by_split(pairs), origins)], labels, notes=notes)


def _labelled(
    found: Sequence[tuple[str, _Excerpt]], files: str
) -> tuple[list[tuple[str, _Excerpt]], tuple[str, ...], list[str]]:
    """Pairs with one speaker, or all if no cut has any; suffixes of the label files; and notes on the others."""
    nobody = [one.place for _, one in found if not one.speakers]
    several = [one.place for _, one in found if len(one.speakers) > 1]
    if len(nobody) == len(found):
        if not found:
            raise InputError(f"{files}: no cuts; expected one for each recording, or part of a recording")
        return list(found), (), ["no supervision names a speaker: no label files"]
    notes = [
        f"left out, {what}: {len(places)} of {len(found)} cuts, such as {places[0]}"
        for what, places in (("without a speaker", nobody), ("with several speakers", several))
        if places
    ]
    kept = [(split, one) for split, one in found if len(one.speakers) == 1]
    if not kept:
        raise InputError(
            f"{several[0]}: has several speakers, and so has each cut with any; make a cut for each turn: "
            "lhotse cut trim-to-supervisions CUTS TURNS"
        )
    genders = any(one.gender != UNKNOWN for _, one in kept)
    return kept, ("spk", "gender") if genders else ("spk",), notes


def _excerpts(path: Path, root: Path) -> Iterator[_Excerpt]:
    for cut in _cuts(path):
        place = f"{path}: cut {cut.id}"
        if fault := _fault(cut):
            raise InputError(f"{place}: {fault}")
        yield _excerpt(cut, place, root)


def _cuts(path: Path) -> "Iterator[Any]":
    """Every cut of a file, of any kind. InputError unless it is a file of cuts."""
    try:
        import lhotse
    except ImportError as error:
        raise InputError(f"{path}: lhotse cannot be imported ({error}); {REMEDY}") from error
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a cut set of lhotse, such as cuts.jsonl.gz")
    number = 0
    try:
        cuts = lhotse.CutSet.from_file(path.resolve())
        if cuts is None:  # an empty file
            return
        if isinstance(cuts, lhotse.CutSet):
            for cut in cuts:
                yield cut
                number += 1
            return
    except Exception as error:  # of lhotse, gzip, json or yaml
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(
            f"{path}: cannot be read after {number} cuts ({reason}); expected a cut set of lhotse; write it again"
        ) from error
    raise InputError(
        f"{path}: is a {type(cuts).__name__}, expected a CutSet: lhotse cut simple -r RECORDINGS -s SUPERVISIONS CUTS"
    )


def _fault(cut: Any) -> str:
    """What keeps a cut from being an excerpt of an audio file, and the remedy; "" if nothing does."""
    kind = type(cut).__name__
    if kind in ("MixedCut", "PaddingCut"):
        return "is mixed or padded; give the cuts before that, since training mixes and crops itself"
    if kind != "MonoCut":
        return f"is a {kind}, expected one channel; make a cut for each: MultiCut.to_mono()"
    if not cut.has_recording:
        return "has no recording; make cuts with lhotse cut simple -r RECORDINGS -s SUPERVISIONS CUTS"
    changes = {
        change["name"] if isinstance(change, Mapping) else type(change).__name__
        for change in cut.recording.transforms or ()
    }
    if others := sorted(changes - {"Resample"}):
        return f"is changed by {', '.join(others)}; give the cuts as they were recorded"
    source = _source(cut)
    if source is None:
        return f"has channel {cut.channel}, which its recording lacks; make the cuts again"
    if source.type != "file":
        return f"has its audio from a {source.type}, expected a file; write files with CutSet.save_audios"
    return ""


def _source(cut: "MonoCut") -> Any:
    """Where the audio of the cut's channel is, as lhotse's AudioSource; None for nowhere."""
    return next((source for source in cut.recording.sources if cut.channel in source.channels), None)


def _excerpt(cut: "MonoCut", place: str, root: Path) -> _Excerpt:
    """What a cut without a `_fault` holds."""
    source, recording = _source(cut), cut.recording
    path = Path(os.path.normpath(root / source.source))
    start = round(cut.start * recording.sampling_rate)
    all_of_it = start == 0 and cut.num_samples >= recording.num_samples
    readable = path.suffix[1:].lower() in EXTENSIONS
    genders = {gender_of(one.gender or "") for one in cut.supervisions}
    return _Excerpt(
        place,
        path,
        source.channels.index(cut.channel),
        cut.start,
        cut.duration,
        (start, start + cut.num_samples),
        all_of_it and readable and len(source.channels) == 1,
        frozenset(one.speaker for one in cut.supervisions if one.speaker),
        genders.pop() if len(genders) == 1 else UNKNOWN,
    )
