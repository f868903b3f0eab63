"""From a folder of recordings to manifests: which files, which speaker, which split, which recordings are held out.

All functions depend only on their arguments and on the files below a root. Only write_splits writes. Everything is sorted
by path, so one folder always gives the same manifests.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from csc_fairseq.data.audio import probe, require_format
from csc_fairseq.data.manifest import LABEL_SUFFIXES, write_labels, write_manifest
from csc_fairseq.data.parallel import parallel_map
from csc_fairseq.data.rng import generator, text_key
from csc_fairseq.errors import InputError

EXTENSIONS = ("wav", "flac", "opus", "ogg")
KEPT_FOR_TRAINING = 2  # recordings that a speaker keeps for training: two views need two recordings (our choice)
# Held out where speakers do not matter and nobody says how many (our choice).
UTTERANCE_SHARE, FEWEST_UTTERANCES = 0.03, 20


@dataclass(frozen=True)
class Recording:
    """name: path below the root, "/" between folders. frames: samples at the target rate. session: "" if unknown."""

    name: str
    frames: int
    speaker: str
    session: str = ""


def find_recordings(root: Path, extensions: Iterable[str] = EXTENSIONS) -> list[str]:
    """Sorted paths below `root` of files with one of the extensions, in upper or lower case. InputError for no such file.

    Symbolic links are followed, but each folder is visited once. Hidden files and folders (".name") are skipped.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; expected the folder that holds the corpus")
    endings = tuple(f".{extension.strip('.').lower()}" for extension in extensions)
    names, visited = [], set()
    for folder, subfolders, files in os.walk(root, followlinks=True, onerror=_refuse_folder):
        status = os.stat(folder)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        if (status.st_dev, status.st_ino) in visited:  # a link to a folder above would never end
            subfolders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        below = Path(folder).relative_to(root)
        found = (file for file in files if not file.startswith(".") and file.lower().endswith(endings))
        names += [(below / file).as_posix() for file in found]
    if not names:
        raise InputError(f"{root}: no recordings found; expected files ending in {', '.join(endings)} (option --ext)")
    return sorted(names)


def _refuse_folder(error: OSError) -> None:
    """Raise for an unreadable folder, which os.walk would skip silently."""
    raise InputError(f"{error.filename}: cannot be listed ({error.strerror}); make it readable or move it away")


def folder_label(name: str, level: int) -> str:
    """Folders of a recording's path down to `level`, joined with "/": a unique name for a speaker or session.

    level 1 is the first folder below the root; level -1 is the folder of the file. For "libri/103/1240/a.flac", levels 2 and
    -2 both give "libri/103". InputError if the path has too few folders.
    """
    folders = name.split("/")[:-1]
    if level == 0 or abs(level) > len(folders):
        raise InputError(
            f"{name}: lies {len(folders)} folders deep, expected a folder of level {level} above it; "
            "choose another level (1: the first folder below the root, -1: the folder of the file)"
        )
    return "/".join(folders[: level if level > 0 else len(folders) + 1 + level])


def _measure(name: str, root: Path, sample_rate: int, resample: bool) -> int | InputError:
    try:
        info = probe(root / name)
        require_format(root / name, info, sample_rate, resample)
        return info.frames_at(sample_rate)
    except InputError as error:
        return error


def measure(
    root: Path, names: Sequence[str], sample_rate: int, resample: bool, jobs: int, progress: str | None = None
) -> list[int]:
    """Length of every recording in samples at `sample_rate` (Hz), from the headers. `jobs` threads read them.

    InputError if files are unreadable, not mono or, without `resample`, at another rate. It names the first of these files
    and counts the others.
    """
    read = partial(_measure, root=root, sample_rate=sample_rate, resample=resample)
    lengths = list(parallel_map(read, names, jobs, progress))
    faults = [length for length in lengths if isinstance(length, InputError)]
    if faults:
        others = f" (and {len(faults) - 1} more files with faults)" if len(faults) > 1 else ""
        raise InputError(f"{faults[0]}{others}")
    return lengths


def choose_held_out(
    recordings: Sequence[Recording], per_speaker: int | None, share: float | None, seed: int
) -> list[bool]:
    """Which recordings go to validation: `per_speaker` of each speaker, or a `share` in (0, 1) of them, rounded.

    Every speaker keeps KEPT_FOR_TRAINING recordings. A speaker with fewer than `per_speaker` further recordings gives none.
    The recordings of a speaker are drawn by a generator keyed by (seed, speaker), so other speakers in the corpus do not
    change the choice.
    """
    of_speaker = defaultdict(list)
    for index, recording in enumerate(recordings):
        of_speaker[recording.speaker].append(index)
    held_out = [False] * len(recordings)
    for speaker, indices in of_speaker.items():
        spare = len(indices) - KEPT_FOR_TRAINING
        if per_speaker is not None:
            count = per_speaker if spare >= per_speaker else 0
        else:
            count = min(round(share * len(indices)), max(spare, 0))
        order = np.argsort(generator(seed, "hold-out", speaker).random(len(indices)), kind="stable")
        for position in order[:count]:
            held_out[indices[position]] = True
    return held_out


def choose_held_out_recordings(names: Sequence[str], share: float | None, seed: int) -> list[bool]:
    """Which recordings go to validation, whoever speaks in them, for identity=utterance.

    share: of the recordings, in (0, 1); None: UTTERANCE_SHARE, but at least FEWEST_UTTERANCES of them, or a fifth if they are
    few. They are the first in an order of names that the seed alone decides. InputError if fewer than two recordings would be
    on either side, too few for anything to be told apart.
    """
    count = round((UTTERANCE_SHARE if share is None else share) * len(names))
    if share is None:
        count = max(count, min(FEWEST_UTTERANCES, len(names) // 5))
    if not 2 <= count <= len(names) - 2:
        raise InputError(
            f"{len(names)} recordings, {count} of them held out: at least two must be held out, and two be left; choose another "
            "--valid-share, or add recordings"
        )
    keys = np.array([text_key(f"{seed} hold-out {name}") for name in names])
    held_out = np.zeros(len(names), dtype=bool)
    held_out[np.argsort(keys, kind="stable")[:count]] = True
    return held_out.tolist()


def refuse_stale_files(manifest: Path, written: Sequence[str]) -> None:
    """InputError if a label file of an earlier manifest is beside it, which would be read with the new one.

    written: suffixes of the label files that are written with the manifest.
    """
    for suffix in LABEL_SUFFIXES.values():
        stale = manifest.with_suffix(f".{suffix}")
        if suffix not in written and stale.exists():
            raise InputError(f"{stale}: belongs to an earlier {manifest.name}; move it away, or choose another folder")


def write_splits(folder: Path, root: Path, splits: Mapping[str, Sequence[Recording]], sessions: bool) -> None:
    """Write split.tsv, split.spk and, if `sessions`, split.session for every split, each file atomically.

    InputError, before anything is written, if files of an earlier preparation would remain: a label file beside one of the
    splits, which would be read with the new manifest and no longer fits its lines; or an earlier valid.tsv, because the new
    train.tsv may contain its recordings.
    """
    held_out = folder / "valid.tsv"
    if "train" in splits and "valid" not in splits and held_out.exists():
        raise InputError(
            f"{held_out}: belongs to an earlier train.tsv; move it away, hold recordings out again "
            "(--valid-per-speaker, --valid-share), or choose another folder"
        )
    for split in splits:
        refuse_stale_files(folder / f"{split}.tsv", ("spk", "session") if sessions else ("spk",))
    for split, recordings in splits.items():
        write_manifest(folder / f"{split}.tsv", root, [(recording.name, recording.frames) for recording in recordings])
        write_labels(folder / f"{split}.spk", [recording.speaker for recording in recordings])
        if sessions:
            write_labels(folder / f"{split}.session", [recording.session for recording in recordings])


def summary(splits: Mapping[str, Sequence[Recording]], sample_rate: int) -> str:
    """A table to read on a terminal: speakers, recordings and hours of every split."""
    rows = [f"{'split':<12} {'speakers':>9} {'recordings':>11} {'hours':>8}"]
    for split, recordings in splits.items():
        hours = sum(recording.frames for recording in recordings) / sample_rate / 3600
        speakers = len(Counter(recording.speaker for recording in recordings))
        rows.append(f"{split:<12} {speakers:>9} {len(recordings):>11} {hours:>8.2f}")
    return "\n".join(rows)
