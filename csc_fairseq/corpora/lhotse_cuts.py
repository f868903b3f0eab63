"""What the cuts of a lhotse cut set hold: which part of which file, and who speaks (lhotse.readthedocs.io)."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from csc_fairseq.corpora.corpus import UNKNOWN, gender_of
from csc_fairseq.corpora.preparation import EXTENSIONS
from csc_fairseq.data.manifest import fits_a_manifest
from csc_fairseq.errors import InputError
from csc_fairseq.text import escaped

if TYPE_CHECKING:
    from lhotse.cut import MonoCut

REMEDY = "pip install 'csc-fairseq[lhotse]'"
SIMPLE = "lhotse cut simple -r RECORDINGS -s SUPERVISIONS CUTS"
TURNS = "lhotse cut trim-to-supervisions"


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What a cut holds.

    place: the cut, for messages. path: absolute. channel: of the file, from 0. start, end: in seconds of the file. whole: it is all
    of a file with one channel, in a format that is read as it is. recording: lhotse's name of it.
    """

    place: str
    path: Path
    channel: int
    start: float
    end: float
    whole: bool
    recording: str
    speakers: frozenset[str]
    gender: str


def read_cuts(path: Path, root: Path) -> Iterator[Excerpt | str]:
    """What each cut of a file holds, or its fault, one line. root: of audio paths that are not absolute.

    InputError: lhotse is missing, or the file is no cut set.
    """
    folders: dict[Path, Path] = {}  # a folder, and which one it really is
    for cut in _cuts(path):
        place = f"{path}: cut {cut.id}"
        yield f"{place}: {fault}" if (fault := _fault(cut)) else _excerpt(cut, place, root, folders)


def _cuts(path: Path) -> Iterator[Any]:
    """Every cut of a file, of any kind."""
    try:
        import lhotse
        from lhotse.cut import Cut
    except ImportError as error:
        raise InputError(f"{path}: lhotse cannot be imported ({error}); {REMEDY}") from error
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a cut set of lhotse, such as cuts.jsonl.gz")
    number = 0
    try:
        for number, cut in enumerate(lhotse.CutSet.from_file(path.absolute()) or (), start=1):
            if not isinstance(cut, Cut):
                raise InputError(f"{path}: has a {type(cut).__name__} in place {number}, expected a cut: {SIMPLE}")
            yield cut
    except InputError:
        raise
    except Exception as error:  # of lhotse, gzip, json or yaml
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(
            f"{path}: cannot be read after {number} cuts ({reason}); expected a cut set of lhotse; write it again"
        ) from error


def _fault(cut: Any) -> str:
    """What keeps a cut from being a part of an audio file, or its labels from being written, and the remedy; "" if nothing does."""
    kind = type(cut).__name__
    if kind in ("MixedCut", "PaddingCut"):
        return "is mixed or padded; give the cuts before that, since training mixes and crops itself"
    if kind != "MonoCut":
        return f"is a {kind}, expected one channel; cut turns with their channels: {TURNS} --discard-overlapping CUTS TURNS"
    if not cut.has_recording:
        return f"has no recording; make cuts with {SIMPLE}"
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
        return f"has its audio from a {source.type}, expected a file; write files, and cuts of them, with CutSet.save_audios"
    if cut.num_samples < 1:
        return "lasts no sample; leave it out"
    for name in (cut.recording.id, *_speakers(cut)):
        if not fits_a_manifest(name):
            return f"{escaped(name)!r} has a tab or a line break, or is not UTF-8; rename this speaker or recording"
    return ""


def _source(cut: "MonoCut") -> Any:
    """Where the audio of the cut's channel is, as lhotse's AudioSource; None for nowhere."""
    return next((source for source in cut.recording.sources if cut.channel in source.channels), None)


def _speakers(cut: "MonoCut") -> frozenset[str]:
    """Some recipes have numbers for names, and blanks around them."""
    return frozenset(str(one.speaker).strip() for one in cut.supervisions if one.speaker not in (None, "")) - {""}


def _excerpt(cut: "MonoCut", place: str, root: Path, folders: dict[Path, Path]) -> Excerpt:
    """What a cut without a `_fault` holds."""
    source, recording = _source(cut), cut.recording
    given = root / source.source
    # A link to a folder may be anywhere in the path, ".." after it too. One to the file itself says nothing of its name.
    if given.parent not in folders:
        folders[given.parent] = Path(os.path.realpath(given.parent))
    all_of_it = cut.start == 0 and cut.num_samples >= recording.num_samples and len(source.channels) == 1
    genders = {gender_of(str(one.gender or "")) for one in cut.supervisions}
    return Excerpt(
        place,
        folders[given.parent] / given.name,
        source.channels.index(cut.channel),
        cut.start,
        cut.end,
        all_of_it and given.suffix[1:].lower() in EXTENSIONS,
        recording.id,
        _speakers(cut),
        genders.pop() if len(genders) == 1 else UNKNOWN,
    )
