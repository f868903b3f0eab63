"""Manifests: wav2vec's TSV (a root line, then ``path<TAB>frames``) and label files with the same lines in the same order.

The TSV is fairseq's own, so stock wav2vec 2.0 trains on the same file. Stock fairseq asserts two columns, so labels are in
files beside it (our choice): ``train.tsv`` has ``train.spk`` (speaker) and, optionally, ``train.session`` and
``train.cluster``. Where the paths are slices of archives (packed.py), ``train.name`` has the paths that the recordings had before.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from csc_fairseq.data.packed import slice_of
from csc_fairseq.data.quick_reading import quick_entries, quick_labels, quick_names
from csc_fairseq.data.texts import Labels, Names
from csc_fairseq.errors import InputError
from csc_fairseq.files import replacing_together
from csc_fairseq.text import escaped, is_utf8, normal, read_lines

IDENTITY_LEVELS = ("speaker", "session", "utterance", "cluster")
LABEL_SUFFIXES = {"speaker": "spk", "session": "session", "cluster": "cluster"}
NAMES = "name"  # suffix of the file with the names of packed recordings
LONGEST = 2**48  # samples; a longer recording is a mistake in its manifest or header


@dataclass(frozen=True)
class Manifest:
    """Recordings below one folder.

    path: the .tsv itself; recording i is on its line i + 2. root: absolute folder. names: paths below root; of packed recordings
    those of before, by which they stay the same recordings: keys of mixing, folders, entries of trial lists.
    frames: int64 [len(names)], length of each recording in samples, at the sample rate the manifest was prepared for.
    slices: of packed recordings the paths below root, ``archive.zip:OFFSET:LENGTH``; None: names are the paths.
    """

    path: Path
    root: Path
    names: Sequence[str]
    frames: np.ndarray
    slices: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def file(self, index: int) -> Path:
        """Path of the audio of recording `index`, a file or a slice of an archive."""
        return self.root / (self.names if self.slices is None else self.slices)[index]


def parse_root(line: str) -> Path:
    """Audio folder from a manifest's first line. InputError (without the manifest's name): not absolute, or no such folder."""
    text = line.strip()
    if "\t" in text or not os.path.isabs(text):
        # Hydra changes the working directory, so a relative folder would be another place in every run.
        raise InputError(f"found {line!r}, expected the absolute path of the audio folder; write it into this line")
    root = Path(text)
    if not root.is_dir():
        raise InputError(f"audio folder {text} does not exist; mount it, or write its new path into this line")
    return root


def parse_entry(line: str) -> tuple[str, int]:
    """(path, frames) from a later line. InputError (without the manifest's name) if the line has another form."""
    columns = line.split("\t")
    if len(columns) != 2 or not columns[0].strip():
        raise InputError(f"found {line!r}, expected path<TAB>frames; write labels into a separate file (.spk)")
    name, frames = columns
    digits = frames.strip()
    # Python refuses to convert thousands of digits, and arrays hold no number of 64 bits.
    if not digits.isdecimal() or len(digits) > len(str(LONGEST)) or not 0 < int(digits) < LONGEST:
        shown = frames if len(frames) <= 40 else f"{frames[:40]}…"
        raise InputError(
            f"found length {shown!r} of {name}, expected a number of samples from 1 to 2^48; prepare the manifest again"
        )
    return name, int(digits)


def read_manifest(path: str | Path) -> Manifest:
    """Read a wav2vec TSV. Audio files are not opened; `csc check` does that.

    InputError, naming file and line: not readable, no recordings, a line of another form, the audio folder missing; of packed
    recordings also a .name file that does not fit.
    """
    path = Path(path).absolute()
    first, names, frames = quick_entries(path, LONGEST) or _entries(path)
    try:
        root = parse_root(first)
    except InputError as error:
        raise InputError(f"{path}:1: {error}") from error
    manifest = Manifest(path, root, names, frames)
    # One of another time may be beside files that are not packed, where it means nothing.
    if are_packed(names) and label_path(manifest, NAMES).is_file():
        return replace(manifest, names=_read_names(manifest), slices=names)
    return manifest


def _entries(path: Path) -> tuple[str, Names, np.ndarray]:
    """First line, names and lengths, read line by line. InputError: not readable, no recordings, a line of another form."""
    lines = read_lines(path)
    if len(lines) < 2:
        raise InputError(f"{path}: holds no recordings; expected a root line and one line path<TAB>frames for each")
    entries, number = [], 1
    try:
        parse_root(lines[0])
        for line in lines[1:]:
            number += 1
            entries.append(parse_entry(line))
    except InputError as error:
        raise InputError(f"{path}:{number}: {error}") from error
    return lines[0], Names.of(name for name, _ in entries), np.array([frames for _, frames in entries], dtype=np.int64)


def are_packed(paths: Names) -> bool:
    """Whether some paths are slices of archives."""
    return b".zip:" in paths.buffer and any(slice_of(path) for path in paths)


def write_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Write a text file atomically. InputError if it cannot be written."""
    write_lines_together({Path(path): lines})


def write_lines_together(
    files: Mapping[Path, Iterable[str]], leaders: Mapping[Path, Iterable[str]] | None = None
) -> None:
    """Write text files, all or none (`files.replacing_together`): labels, and as leaders their manifests.

    InputError if one cannot be written.
    """
    leaders = leaders or {}
    with replacing_together(tuple(files), tuple(leaders)) as temporaries:
        for path, lines in (*files.items(), *leaders.items()):
            with open(temporaries[path], "w", encoding="utf-8", newline="\n") as file:
                file.writelines(f"{line}\n" for line in lines)


def write_manifest(path: str | Path, root: str | Path, entries: Iterable[tuple[str, int]]) -> None:
    """Write (path below root, length in samples) pairs as a wav2vec TSV, atomically.

    InputError: a name that a TSV cannot hold, an empty recording, or no recordings.
    """
    write_lines(path, manifest_lines(path, root, entries))


def manifest_lines(path: str | Path, root: str | Path, entries: Iterable[tuple[str, int]]) -> list[str]:
    """Lines of the TSV that `write_manifest` writes to `path`. Errors are the same."""
    lines = [str(Path(root).resolve())]
    if not fits_a_manifest(lines[0]):
        raise InputError(
            f"{path}: folder {escaped(lines[0])!r} is not UTF-8, or has a tab, a line break or spaces at its ends; rename it"
        )
    for name, frames in entries:
        if not fits_a_manifest(name):
            raise InputError(
                f"{path}: name {escaped(name)!r} is not UTF-8, or has a tab, a line break or spaces at its ends; rename the file"
            )
        if frames < 1:
            raise InputError(f"{path}: {name} has {frames} samples, expected at least one; leave it out")
        lines.append(f"{name}\t{int(frames)}")
    if len(lines) == 1:
        raise InputError(f"{path}: no recordings to write, expected at least one; check what was left out and why")
    return lines


def write_labels(path: str | Path, labels: Iterable[str]) -> None:
    """Write one label per line (train.spk beside train.tsv), atomically. InputError if a line cannot hold a label."""
    write_lines(path, label_lines(path, labels))


def label_lines(path: str | Path, labels: Iterable[str]) -> list[str]:
    """Lines that `write_labels` writes to `path`. Errors are the same."""
    labels = list(labels)
    for number, label in enumerate(labels, start=1):
        if not _fits_a_line(label):
            raise InputError(
                f"{path}:{number}: label {escaped(label)!r} is empty, not UTF-8, has a line break or spaces at its ends; rename it"
            )
    return labels


def fits_a_manifest(name: str) -> bool:
    """Whether a manifest can hold the name of a recording."""
    return _fits_a_line(name) and "\t" not in name


def _fits_a_line(text: str) -> bool:
    """Whether the text reads back unchanged: we strip lines, and fairseq strips them too."""
    return bool(text) and is_utf8(text) and text == text.strip() and "\n" not in text and "\r" not in text


def label_path(manifest: Manifest, suffix: str) -> Path:
    """Path of a label file of a manifest: train.tsv and "spk" give train.spk."""
    return manifest.path.with_suffix(f".{suffix}")


def read_labels(manifest: Manifest, suffix: str) -> Labels:
    """One label per recording, in the order of the manifest and in the form in which names are compared (`text.normal`).

    InputError: missing file, other length, empty line.
    """
    quick = quick_labels(label_path(manifest, suffix), len(manifest))
    return quick or Labels.of(normal(line.strip()) for line in _read_beside(manifest, suffix))


def _read_names(manifest: Manifest) -> Names:
    """Names of packed recordings, letter by letter: keys of mixing are made of them. InputError as of `read_labels`."""
    return quick_names(label_path(manifest, NAMES), len(manifest)) or Names.of(_read_beside(manifest, NAMES))


def _no_labels(manifest: Manifest, suffix: str) -> str:
    return f"{label_path(manifest, suffix)}: no such file; expected one label per line for the recordings of {manifest.path}"


def _read_beside(manifest: Manifest, suffix: str) -> list[str]:
    """The lines of a label file. InputError: missing file, other length, empty line."""
    path = label_path(manifest, suffix)
    if not path.is_file():
        raise InputError(_no_labels(manifest, suffix))
    lines = read_lines(path)
    if len(lines) != len(manifest):
        raise InputError(
            f"{path}: has {len(lines)} lines, but {manifest.path} has {len(manifest)} recordings; "
            "expected one label for each, in the same order"
        )
    for number, (line, name) in enumerate(zip(lines, manifest.names, strict=True), start=1):
        if not line.strip():
            raise InputError(f"{path}:{number}: is empty, expected the label of {name}")
    return lines


def domain_labels(manifest: Manifest) -> Labels:
    """Domain of every recording, a corpus or channel: the .domain file if there is one, otherwise the top folder below the root.

    InputError: faulty labels.
    """
    if label_path(manifest, "domain").is_file():
        return read_labels(manifest, "domain")
    return _by_folder(manifest.names, _top, lambda name: PurePosixPath(name).parts[0] if "/" in name else "")


def identity_labels(manifest: Manifest, level: str) -> Sequence[str]:
    """Identity of every recording, as text, at one of IDENTITY_LEVELS.

    speaker: the .spk file. session: the .session file if there is one, otherwise the folder of the recording. utterance: the
    recording's own path. cluster: the .cluster file (pseudo-labels of any clustering). The paper has speakers only; the
    other levels are our choice. InputError: unknown level or faulty labels.
    """
    if level not in IDENTITY_LEVELS:
        raise InputError(f"identity level {level!r} is unknown; expected one of {', '.join(IDENTITY_LEVELS)}")
    if level == "utterance":
        return manifest.names
    suffix = LABEL_SUFFIXES[level]
    if level == "session" and not label_path(manifest, suffix).is_file():
        return _by_folder(manifest.names, _parent, lambda name: str(PurePosixPath(name).parent))
    if level == "speaker" and not label_path(manifest, suffix).is_file():
        raise InputError(
            f"{_no_labels(manifest, suffix)}; recordings without labels are trained on with --config-name csc_small_unlabelled, or "
            "task.identity=utterance"
        )
    return read_labels(manifest, suffix)


def _by_folder(names: Iterable[str], folder: Callable[[str], str], label: Callable[[str], str]) -> Labels:
    """Labels that names have by their folders.

    label: what a path says. folder: the part of it that decides; paths with the same one are taken apart once.
    """
    known: dict[str, str] = {}

    def labelled(name: str) -> str:
        key = folder(name)
        if key not in known:
            known[key] = label(name)
        return known[key]

    return Labels.of(map(labelled, names))


def _parent(name: str) -> str:
    """What decides of the folder of a recording: as a rule, what is before the last slash."""
    head, slash, last = name.rpartition("/")
    return head if not slash or (head and last not in ("", ".")) else f"\0{name}"


def _top(name: str) -> str:
    """What decides of its top folder: as a rule, what is before the first slash, and the slash."""
    head, slash, _ = name.partition("/")
    if not slash:
        return ""
    return head + slash if head not in ("", ".") else f"\0{name}"
