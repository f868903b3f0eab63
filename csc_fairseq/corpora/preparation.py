"""From a folder of recordings to manifests: which files, which speaker, which split, which recordings are held out.

All functions depend only on their arguments and on the files below a root. Only write_manifests writes. Everything is sorted
by path, so one folder always gives the same manifests.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from csc_fairseq.corpora.repetitions import twins_by_audio, twins_by_name
from csc_fairseq.data.audio import probe, require_format
from csc_fairseq.data.containers import ffmpeg
from csc_fairseq.data.manifest import (
    LABEL_SUFFIXES,
    fits_a_manifest,
    label_lines,
    manifest_lines,
    write_lines_together,
)
from csc_fairseq.data.parallel import parallel_map
from csc_fairseq.data.rng import generator, text_key
from csc_fairseq.errors import InputError
from csc_fairseq.text import alike, escaped, is_utf8, read_lines

EXTENSIONS = ("wav", "flac", "opus", "ogg")
# Other audio, by its names: what is left out is told.
OTHER_EXTENSIONS = (
    "mp3",
    "m4a",
    "mp4",
    "aac",
    "wma",
    "amr",
    "3gp",
    "webm",
    "mka",
    "aif",
    "aiff",
    "au",
    "caf",
    "w64",
    "sph",
)
KEPT_FOR_TRAINING = 2  # recordings that a speaker keeps for training: two views need two recordings (our choice)
LINE_BY_LINE = ("domain", "txt", "ltr")  # files beside a manifest that others write, one line a recording
# Held out where speakers do not matter and nobody says how many (our choice).
UTTERANCE_SHARE, FEWEST_UTTERANCES = 0.03, 20


@dataclass(frozen=True)
class Recording:
    """name: path below the root, "/" between folders. frames: samples at the target rate. speaker, session: "" if unknown."""

    name: str
    frames: int
    speaker: str = ""
    session: str = ""


def find_recordings(root: Path, extensions: Iterable[str] = EXTENSIONS) -> list[str]:
    """Sorted paths below `root` of files with one of the extensions, in upper or lower case. InputError for no such file.

    Symbolic links are followed, but each folder is visited once. Hidden files and folders (".name") are skipped.
    """
    extensions = [extension.strip(".").lower() for extension in extensions]
    names = _files_below(root, extensions)
    if not names:
        endings = ", ".join(f".{extension}" for extension in extensions)
        raise InputError(
            f"{root}: no recordings found; expected files ending in {endings} (option --ext){other_audio(root, extensions)}"
        )
    return names


def other_audio(root: Path, extensions: Iterable[str]) -> str:
    """ "; left out, of other formats: …" with their number and the command that converts one; "" if there are none."""
    taken = {extension.strip(".").lower() for extension in extensions}
    names = _files_below(root, [extension for extension in OTHER_EXTENSIONS if extension not in taken])
    command = ffmpeg(root / names[0], "-ac 1 -ar 16000") if names else ""
    return (
        f"; left out, of other formats: {len(names)} files, convert them, such as {escaped(command)}" if names else ""
    )


def _files_below(root: Path, extensions: Sequence[str]) -> list[str]:
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; expected the folder that holds the corpus")
    endings = tuple(f".{extension}" for extension in extensions)
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


def _measure(name: str, root: Path, sample_rate: int, resample: bool) -> int | str:
    """Length of a recording, or its fault."""
    if not is_utf8(name):
        return f"{escaped(root / name)}: its name is not UTF-8; rename it"
    if not fits_a_manifest(name):
        return f"{str(root / name)!r}: its name has a tab, a line break or spaces at its ends; rename it"
    try:
        info = probe(root / name)
        require_format(root / name, info, sample_rate, resample)
        return info.frames_at(sample_rate)
    except InputError as error:
        return str(error)


def survey(
    root: Path, names: Sequence[str], sample_rate: int, resample: bool, jobs: int, progress: str | None = None
) -> tuple[list[int], dict[int, str]]:
    """Length of every recording in samples at `sample_rate` (Hz), and the faults by position, one line each.

    Faults: a name that a manifest cannot hold; a file that is unreadable, not mono or, without `resample`, at another rate; a
    recording that is there already, in another format or under another name. Its length is then 0. `jobs` threads read files.
    """
    read = partial(_measure, root=root, sample_rate=sample_rate, resample=resample)
    lengths, faults = [], {}
    for position, found in enumerate(parallel_map(read, names, jobs, progress)):
        lengths.append(found if isinstance(found, int) else 0)
        if isinstance(found, str):
            faults[position] = found
    sound = [position for position in range(len(names)) if position not in faults]
    same_name = twins_by_name([names[position] for position in sound])
    alone = [i for i in range(len(sound)) if i not in same_name]
    files, frames = [root / names[sound[i]] for i in alone], [lengths[sound[i]] for i in alone]
    same_audio = twins_by_audio(files, frames, sample_rate, resample, jobs, progress)
    twins = [(i, earlier, "has the name of {}, but for the ending") for i, earlier in same_name.items()]
    twins += [(alone[i], alone[earlier], "is the same audio as {}") for i, earlier in same_audio.items()]
    for i, earlier, what in twins:
        other = what.format(
            ascii(names[sound[earlier]]) if not names[sound[earlier]].isascii() else names[sound[earlier]]
        )
        faults[sound[i]] = f"{root / names[sound[i]]}: {other}; keep one"
        lengths[sound[i]] = 0
    return lengths, dict(sorted(faults.items()))


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


def require_one_form(labels: Iterable[str], what: str) -> None:
    """InputError for two labels that differ in their Unicode form alone. what: "speakers" or "sessions", for the message."""
    if pairs := alike(labels):
        one, other = pairs[0]
        raise InputError(
            f"{what} {ascii(one)} and {ascii(other)} differ in their Unicode form alone; rename one, or join them"
        )


def write_manifests(root: Path, manifests: Mapping[Path, Sequence[Recording]], suffixes: Sequence[str] = ()) -> None:
    """Write manifests and label files beside them, all or none. No manifest is ever beside labels of another one.

    Args:
        root: folder of the recordings.
        manifests: recordings by the path of their .tsv.
        suffixes: label files to write: "spk", "session".

    Raises:
        InputError, before anything is written: a label file of an earlier manifest would remain beside a new one and no
            longer fit its lines; names or labels that a line cannot hold.
    """
    leaders, followers = {}, {}
    for path, recordings in manifests.items():
        leaders[path] = manifest_lines(path, root, [(recording.name, recording.frames) for recording in recordings])
        _refuse_stale_files(path, leaders[path], suffixes)
        for suffix in suffixes:
            beside = path.with_suffix(f".{suffix}")
            own = [recording.speaker if suffix == "spk" else recording.session for recording in recordings]
            followers[beside] = label_lines(beside, own)
    write_lines_together(followers, leaders)


def _refuse_stale_files(manifest: Path, lines: Sequence[str], written: Sequence[str]) -> None:
    """InputError if a label file of an earlier manifest is beside it, which would be read with the new one.

    lines: of the new manifest. written: suffixes of the label files that are written with it.
    """
    for suffix in (*LABEL_SUFFIXES.values(), *LINE_BY_LINE):
        stale = manifest.with_suffix(f".{suffix}")
        if suffix in written or not stale.exists():
            continue
        if suffix in LINE_BY_LINE and manifest.is_file() and read_lines(manifest) == lines:
            continue  # it was made for these very lines
        raise InputError(f"{stale}: belongs to an earlier {manifest.name}; move it away, or choose another folder")


def write_splits(folder: Path, root: Path, splits: Mapping[str, Sequence[Recording]], sessions: bool) -> None:
    """Write split.tsv, split.spk and, if `sessions`, split.session for every split, as `write_manifests` does.

    InputError as there, and if an earlier valid.tsv would remain, because the new train.tsv may contain its recordings.
    """
    held_out = folder / "valid.tsv"
    if "train" in splits and "valid" not in splits and held_out.exists():
        raise InputError(
            f"{held_out}: belongs to an earlier train.tsv; move it away, hold recordings out again "
            "(--valid-per-speaker, --valid-share), or choose another folder"
        )
    manifests = {folder / f"{split}.tsv": recordings for split, recordings in splits.items()}
    write_manifests(root, manifests, ("spk", "session") if sessions else ("spk",))


def summary(splits: Mapping[str, Sequence[Recording]], sample_rate: int) -> str:
    """A table to read on a terminal: speakers, recordings and hours of every split."""
    rows = [f"{'split':<12} {'speakers':>9} {'recordings':>11} {'hours':>8}"]
    for split, recordings in splits.items():
        hours = sum(recording.frames for recording in recordings) / sample_rate / 3600
        speakers = len(Counter(recording.speaker for recording in recordings))
        rows.append(f"{split:<12} {speakers:>9} {len(recordings):>11} {hours:>8.2f}")
    return "\n".join(rows)
