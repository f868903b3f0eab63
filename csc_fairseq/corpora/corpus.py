"""What a corpus holds: recordings by split, with the corpus' own labels, and its lists of trials.

Speakers are named corpus/speaker, so that those of two corpora never have the same name (our choice).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from csc_fairseq.corpora.conversion import Origin, decode, link, require_ffmpeg
from csc_fairseq.corpora.preparation import EXTENSIONS, Recording, find_recordings
from csc_fairseq.corpora.published_trials import Trials
from csc_fairseq.errors import InputError

UNKNOWN = "unknown"  # a line of a label file cannot be empty
_GENDERS = {
    "f": ("f", "female", "female_feminine"),
    "m": ("m", "male", "male_masculine"),
}


@dataclass(frozen=True)
class Part:
    """Manifests that share an audio folder.

    root: the folder. splits: recordings by the name of their manifest. A recording may be in several; its length is 0 until
    the file was read. origins: by the name of a recording that is not there as it is needed, what it is made from.
    """

    root: Path
    splits: Mapping[str, Sequence[Recording]]
    origins: Mapping[str, Origin] = field(default_factory=dict)


@dataclass(frozen=True)
class Corpus:
    """parts: no two have a split, or a recording, of the same name. labels: suffixes of the label files, keys of
    `preparation.LABELS`. transcripts: whether `*.trans.txt` files in the folders of the recordings say what is said. trials:
    published lists, by the name of the file to write. notes: lines for the report. faults: lines on what is no recording.
    """

    parts: Sequence[Part]
    labels: tuple[str, ...] = ()
    transcripts: bool = False
    trials: Mapping[str, Trials] = field(default_factory=dict)
    notes: Sequence[str] = ()
    faults: Sequence[str] = ()

    @property
    def splits(self) -> dict[str, Sequence[Recording]]:
        """Recordings of all parts by split."""
        return {split: recordings for part in self.parts for split, recordings in part.splits.items()}


def gender_of(text: str) -> str:
    """ "f", "m" or "unknown", however a corpus writes it."""
    return next((gender for gender, forms in _GENDERS.items() if text.strip().lower() in forms), UNKNOWN)


def require_folder(folder: Path, holds: str) -> None:
    """InputError unless the folder is there. holds: what is in it, for the message."""
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such folder; expected {holds}; unpack the corpus there, or give its own folder as ROOT"
        )


def recordings_at(
    root: Path, folder: str, form: str, extensions: Sequence[str] = EXTENSIONS, apart: Sequence[Path] = ()
) -> list[tuple[str, list[str]]]:
    """Recordings in root/folder: (name below root, its path below `folder` in parts), by name.

    form: the path that is expected below `folder`, such as "SPEAKER/CHAPTER/FILE". apart: as of `find_recordings`. InputError for
    no recordings, and for one that lies elsewhere.
    """
    depth = form.count("/") + 1
    found = []
    for below in find_recordings(root / folder, extensions, apart):
        parts = below.split("/")
        if len(parts) != depth:
            raise InputError(f"{root / folder / below}: expected {form} below {root / folder}; move this file away")
        found.append((f"{folder}/{below}" if folder else below, parts))
    return found


def by_split(pairs: Sequence[tuple[str, Recording]]) -> dict[str, list[Recording]]:
    """Recordings of every split, splits in the order of the alphabet, from pairs (split, recording)."""
    splits: dict[str, list[Recording]] = {split: [] for split in sorted({split for split, _ in pairs})}
    for split, recording in pairs:
        splits[split].append(recording)
    return {split: sorted(recordings, key=lambda one: one.name) for split, recordings in splits.items()}


def decoded_part(root: Path, audio: Path, split: str, recordings: Sequence[Recording], encoded: str) -> Part:
    """One split, by recordings below root: as it is, unless some have the ending `encoded`, such as "m4a".

    A manifest has one folder. So all are below `audio` then: these as FLAC, the others as links to what is there.
    """
    if not any(_ends(one.name, encoded) for one in recordings):
        return Part(root, {split: recordings})
    ours, origins = [], {}
    for one in recordings:
        path, decoded = PurePosixPath(one.name), _ends(one.name, encoded)
        name = str(path.with_suffix(".flac") if decoded else path)
        ours.append(replace(one, name=name))
        origins[name] = Origin(root / one.name, decode if decoded else link)
    return Part(audio, {split: sorted(ours, key=lambda one: one.name)}, origins)


def require_decoder(root: Path, parts: Sequence[Part], encoded: str) -> None:
    """InputError, as of `require_ffmpeg`, if a part needs ffmpeg for files of this ending that are not decoded yet."""
    count = sum(
        _ends(origin.path.name, encoded) and not (part.root / name).is_file()
        for part in parts
        for name, origin in part.origins.items()
    )
    if count:
        require_ffmpeg(root, encoded, count)


def _ends(name: str, ending: str) -> bool:
    return name.lower().endswith(f".{ending}")


def choose_subsets(
    folder: Path, subsets: Sequence[str], known: Sequence[str], remedy: str
) -> tuple[list[str], list[str]]:
    """The given subsets of those that lie in a folder, or all; and notes on the others. remedy: for the message.

    InputError: a given one is not there, or none is.
    """
    there = [subset for subset in known if (folder / subset).is_dir()]
    missing = [subset for subset in subsets if subset not in there]
    if missing or not there:
        raise InputError(
            f"{folder / (missing or known)[0]}: no such folder; expected some of {', '.join(known)}, found "
            f"{', '.join(there) or 'none'}; {remedy}"
        )
    chosen = [subset for subset in there if not subsets or subset in subsets]
    left = [subset for subset in there if subset not in chosen]
    return chosen, [f"left out, not in --subsets: {', '.join(left)}"] if left else []
