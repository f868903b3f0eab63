"""From a folder of recordings to what manifests hold: which files, how long, which speaker.

All functions depend only on their arguments and on the files below a root. None writes. Everything is sorted by path, so one folder
always gives the same manifests.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from csc_fairseq.corpora.repetitions import twins_by_audio, twins_by_name
from csc_fairseq.data.audio import probe, require_format
from csc_fairseq.data.containers import ffmpeg
from csc_fairseq.data.manifest import fits_a_manifest
from csc_fairseq.data.parallel import parallel_map
from csc_fairseq.errors import InputError
from csc_fairseq.text import alike, escaped, is_utf8

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
LABELS = {
    "spk": "speaker",
    "session": "session",
    "gender": "gender",
}  # fields of a recording by the ending of their file
# Files beside a manifest that others write, one line a recording.
LINE_BY_LINE = ("domain", "gender", "txt", "ltr", "sources", "speakers", "source_names")


@dataclass(frozen=True)
class Recording:
    """name: path below the root, "/" between folders. frames: samples at the target rate. The labels are "" if unknown."""

    name: str
    frames: int
    speaker: str = ""
    session: str = ""
    gender: str = ""


def find_recordings(root: Path, extensions: Iterable[str] = EXTENSIONS, apart: Iterable[Path] = ()) -> list[str]:
    """Sorted paths below `root` of files with one of the extensions, in upper or lower case. InputError for no such file.

    Symbolic links are followed, but each folder is visited once. Hidden files and folders (".name") are skipped, and so are those
    of `apart`: what a preparation writes below the root is none of its recordings when it is typed again.
    """
    extensions = [extension.strip(".").lower() for extension in extensions]
    names = _files_below(root, extensions, apart)
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


def _files_below(root: Path, extensions: Sequence[str], apart: Iterable[Path] = ()) -> list[str]:
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; expected the folder that holds the corpus")
    endings = tuple(f".{extension}" for extension in extensions)
    names = []
    visited = {_identity(folder) for folder in apart if folder.is_dir()} - {_identity(root)}
    for folder, subfolders, files in os.walk(root, followlinks=True, onerror=_refuse_folder):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        if (identity := _identity(folder)) in visited:  # a link to a folder above would never end
            subfolders.clear()
            continue
        visited.add(identity)
        below = Path(folder).relative_to(root)
        found = (file for file in files if not file.startswith(".") and file.lower().endswith(endings))
        names += [(below / file).as_posix() for file in found]
    return sorted(names)


def _identity(folder: str | Path) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _refuse_folder(error: OSError) -> None:
    """Raise for an unreadable folder, which os.walk would skip silently."""
    raise InputError(f"{error.filename}: cannot be listed ({error.strerror}); make it readable or move it away")


def folder_label(name: str, level: int) -> str:
    """Folders of a recording's path down to `level`, joined with "/": a unique name for a speaker or session.

    level 1 is the first folder below the root; level -1 is the folder of the file. For "libri/103/1240/a.flac", levels 2 and
    -2 both give "libri/103". InputError if the path has too few folders.
    """
    folders = name.split("/")[:-1]
    if not folders:
        raise InputError(
            f"{name}: lies in no folder, so none says who speaks; find speakers in names (`csc prepare table --speaker-regex`), or "
            "prepare recordings without labels (`csc prepare audio`)"
        )
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

    Faults: those of `measure`, and `repetitions`. The length of a faulty one is 0. `jobs` threads read files.
    """
    lengths, faults = measure(root, names, sample_rate, resample, jobs, progress)
    for i, message in repetitions(root, names, lengths, sample_rate, resample, jobs, progress).items():
        faults[i] = message
        lengths[i] = 0
    return lengths, dict(sorted(faults.items()))


def measure(
    root: Path, names: Sequence[str], sample_rate: int, resample: bool, jobs: int, progress: str | None = None
) -> tuple[list[int], dict[int, str]]:
    """Length of every recording in samples at `sample_rate` (Hz), 0 for a faulty one, and the faults by position, one line each.

    Faults: a name that a manifest cannot hold; a file that is unreadable, not mono or, without `resample`, at another rate.
    """
    read = partial(_measure, root=root, sample_rate=sample_rate, resample=resample)
    lengths, faults = [], {}
    for position, found in enumerate(parallel_map(read, names, jobs, progress)):
        lengths.append(found if isinstance(found, int) else 0)
        if isinstance(found, str):
            faults[position] = found
    return lengths, faults


def repetitions(
    root: Path,
    names: Sequence[str],
    lengths: Sequence[int],
    sample_rate: int,
    resample: bool,
    jobs: int,
    progress: str | None = None,
) -> dict[int, str]:
    """A line for each recording that is there already, in another format or under another name; by position, ascending.

    lengths: as of `measure`; faulty recordings (0) are left out.
    """
    sound = [position for position in range(len(names)) if lengths[position]]
    same_name = twins_by_name([names[position] for position in sound])
    alone = [i for i in range(len(sound)) if i not in same_name]
    files, frames = [root / names[sound[i]] for i in alone], [lengths[sound[i]] for i in alone]
    same_audio = twins_by_audio(files, frames, sample_rate, resample, jobs, progress)
    twins = [(i, earlier, "has the name of {}, but for the ending") for i, earlier in same_name.items()]
    twins += [(alone[i], alone[earlier], "is the same audio as {}") for i, earlier in same_audio.items()]
    found = {}
    for i, earlier, what in twins:
        other = names[sound[earlier]]
        found[sound[i]] = (
            f"{root / names[sound[i]]}: {what.format(other if other.isascii() else ascii(other))}; keep one"
        )
    return dict(sorted(found.items()))


def require_one_form(labels: Iterable[str], what: str) -> None:
    """InputError for two labels that differ in their Unicode form alone. what: "speakers" or "sessions", for the message."""
    if pairs := alike(labels):
        one, other = pairs[0]
        raise InputError(
            f"{what} {ascii(one)} and {ascii(other)} differ in their Unicode form alone; rename one, or join them"
        )
