"""Checks a manifest, its label files and its audio. Reports every problem with file and line, not only the first."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np

from csc_fairseq.corpora.repetitions import twins_by_audio, twins_by_name, without_ending
from csc_fairseq.data.audio import load_crop, probe, require_format
from csc_fairseq.data.augment import SILENCE_POWER
from csc_fairseq.data.manifest import (
    LABEL_SUFFIXES,
    NAMES,
    Manifest,
    identity_labels,
    label_path,
    parse_entry,
    parse_root,
)
from csc_fairseq.data.packed import slice_of
from csc_fairseq.data.parallel import parallel_map
from csc_fairseq.errors import InputError
from csc_fairseq.text import alike, normal, read_lines

SILENCE_SECONDS = 2  # the length of a view in the smaller configurations
SILENCE_PEAK = SILENCE_POWER**0.5
DEEP_BLOCK_SECONDS = 60  # decoded at a time, so that a file of many hours does not fill the memory


@dataclass(frozen=True)
class Problem:
    """One fault. file: the manifest or a label file. line: counted from 1; 0 for a file that cannot be read."""

    file: Path
    line: int
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        return f"{place}: {self.message}"


@dataclass(frozen=True)
class _Entry:
    """A line of a manifest. path: below the root. name: of the recording, which is its path unless it is packed."""

    line: int
    name: str
    frames: int
    path: str


def check_manifest(
    path: str | Path,
    sample_rate: int = 16000,
    resample: bool = False,
    deep: bool = False,
    jobs: int = 4,
    progress: str | None = None,
) -> list[Problem]:
    """All problems of a manifest in the order of its lines, then those of its label files. [] if there are none.

    In the manifest: lines of another form, names that leave the root, repeated recordings (by name, by name but for the ending or
    the Unicode form, by audio), missing or unreadable files, files that were cut off, sample rates other than `sample_rate` (Hz;
    accepted with `resample`), several channels, lengths that differ from the file's header. In the label files that exist
    (.spk, .session, .cluster; .name of packed recordings): another length, empty lines, labels that differ in their Unicode form
    alone; in .spk and .cluster also a single identity.

    deep: also decode all audio and look for corrupt or NaN audio and for digital silence of more than two seconds. jobs:
    threads. progress: title of the progress bar, None for no bar.
    """
    path = Path(path)
    try:
        lines = read_lines(path)
    except InputError as error:
        return [unreadable(path, error)]
    if len(lines) < 2:
        return [Problem(path, 1, "holds no recordings; expected a root line and one line path<TAB>frames for each")]
    problems = []
    entries = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            name, frames = parse_entry(line)
            entries.append(_Entry(number, name, frames, path=name))
        except InputError as error:
            problems.append(Problem(path, number, str(error)))
    suffixes = tuple(LABEL_SUFFIXES.values())
    if any(slice_of(entry.path) for entry in entries):
        suffixes = (*suffixes, NAMES)
        entries = _named(path, entries, len(lines) - 1)
    problems += [Problem(path, line, message) for line, message in _faulty_names(entries)]
    try:
        root = parse_root(lines[0])
    except InputError as error:
        # Without its folder, every recording would be reported as missing. One line is enough.
        problems.append(Problem(path, 1, str(error)))
    else:
        examine = partial(_examine, root=root, sample_rate=sample_rate, resample=resample, deep=deep)
        found = list(parallel_map(examine, entries, jobs, progress))
        problems += [
            Problem(path, entry.line, message) for entry, message in zip(entries, found, strict=True) if message
        ]
        sound = [entry for entry, message in zip(entries, found, strict=True) if not message]
        problems += _same_audio(path, root, sound, sample_rate, resample, jobs, progress)
    problems.sort(key=lambda problem: problem.line)
    return problems + _label_problems(path, suffixes, len(lines) - 1)


def _named(path: Path, entries: Sequence[_Entry], recordings: int) -> list[_Entry]:
    """The entries with the names of the .name file, if it is there and fits; what is wrong with it is told with the labels."""
    try:
        names = read_lines(path.with_suffix(f".{NAMES}"))
    except InputError:
        return list(entries)
    if len(names) != recordings:
        return list(entries)
    return [replace(entry, name=names[entry.line - 2] or entry.name) for entry in entries]


def unreadable(path: Path, error: InputError) -> Problem:
    """The complaint of a reader, which begins with the file and perhaps a line."""
    line, _, message = str(error).removeprefix(f"{path}:").partition(": ")
    if line.isdecimal():
        return Problem(path, int(line), message)
    return Problem(path, 0, str(error).removeprefix(f"{path}: "))


def _faulty_names(entries: Sequence[_Entry]) -> list[tuple[int, str]]:
    """Lines and messages: names that leave the root, that are there twice, or twice but for the ending or Unicode form."""
    found = []
    first_line: dict[str, int] = {}
    for entry in entries:
        name, file = os.path.normpath(entry.name), os.path.normpath(entry.path)
        if os.path.isabs(file) or file.split(os.sep)[0] == os.pardir:
            found.append(
                (entry.line, f"{entry.path} lies outside the audio folder of line 1; write a folder above both there")
            )
        earlier = first_line.setdefault(name, entry.line)
        if earlier != entry.line:
            found.append((entry.line, f"{entry.name} is already on line {earlier}; remove one of the two"))
    distinct = [entry for entry in entries if first_line[os.path.normpath(entry.name)] == entry.line]
    names = [os.path.normpath(entry.name) for entry in distinct]
    for i, earlier in twins_by_name(names).items():
        same = normal(names[i]) == normal(names[earlier])
        what = f"({ascii(names[i])}, {ascii(names[earlier])}) in its Unicode form" if same else "in its ending"
        place = f"the recording on line {distinct[earlier].line}"
        found.append((distinct[i].line, f"{distinct[i].name} differs from {place} {what} alone; remove one of the two"))
    return found


def _same_audio(
    path: Path, root: Path, entries: Sequence[_Entry], sample_rate: int, resample: bool, jobs: int, progress: str | None
) -> list[Problem]:
    """Recordings whose audio is on an earlier line under another name."""
    names = [os.path.normpath(entry.name) for entry in entries]
    told = twins_by_name(names)
    entries = [entry for i, entry in enumerate(entries) if i not in told]
    files = [root / entry.path for entry in entries]
    twins = twins_by_audio(files, [entry.frames for entry in entries], sample_rate, resample, jobs, progress)
    return [
        Problem(path, entries[i].line, f"{entries[i].name} is the same audio as {entries[earlier].name} on line "
        f"{entries[earlier].line}; remove one of the two")
        for i, earlier in twins.items()
    ]  # fmt: skip


def _examine(entry: _Entry, root: Path, sample_rate: int, resample: bool, deep: bool) -> str:
    """The problem of one recording, "" for none."""
    file = root / entry.path
    try:
        info = probe(file)
        require_format(file, info, sample_rate, resample)
        frames = info.frames_at(sample_rate)
        if frames != entry.frames:
            return f"{file}: has {frames} samples, the manifest says {entry.frames}; prepare the manifest again"
        if deep:
            start, length = _longest_silence(file, frames, sample_rate, resample)
            if length == frames:
                return f"{file}: is digitally silent; leave it out"
            if length > SILENCE_SECONDS * sample_rate:
                return (
                    f"{file}: is digitally silent for {length / sample_rate:.1f} s from {start / sample_rate:.1f} s on; cut the "
                    "silence out, or train with task.skip_bad=true: a view of silence cannot be scaled to a level"
                )
    except InputError as error:
        return str(error)
    return ""


def _longest_silence(file: Path, frames: int, sample_rate: int, resample: bool) -> tuple[int, int]:
    """Decode a whole file: start and length of its longest digitally silent part, in samples.

    InputError for audio that cannot be decoded, and for NaN.
    """
    block = DEEP_BLOCK_SECONDS * sample_rate
    quiet_since, start, length = 0, 0, 0
    before = None  # the last sample of the previous block
    for first in range(0, frames, block):
        samples = load_crop(file, first, min(block, frames - first), sample_rate, resample)
        # Silent parts lie between neighbouring sounds. The last sound of the previous block is one of these.
        # A recorder's zero may be another number: whatever stays the same is silent, too.
        moves = np.diff(samples, prepend=samples[0] if before is None else before) != 0
        before = samples[-1]
        sounds = np.concatenate([[quiet_since - 1], first + np.flatnonzero(moves & (np.abs(samples) > SILENCE_PEAK))])
        ends = np.append(sounds[1:], first + len(samples))
        gaps = ends - sounds - 1
        if gaps.max() > length:
            start, length = int(sounds[gaps.argmax()]) + 1, int(gaps.max())
        quiet_since = int(sounds[-1]) + 1
    return start, length


def _label_problems(path: Path, suffixes: Sequence[str], recordings: int) -> list[Problem]:
    problems = []
    for suffix in suffixes:
        file = path.with_suffix(f".{suffix}")
        if not file.is_file():
            continue
        try:
            labels = [line.strip() for line in read_lines(file)]
        except InputError as error:
            problems.append(unreadable(file, error))
            continue
        if len(labels) != recordings:
            message = f"has {len(labels)} lines, but {path} has {recordings} recordings; expected one label for each"
            problems.append(Problem(file, min(len(labels), recordings) + 1, message))
        for number, label in enumerate(labels, start=1):
            if not label:
                problems.append(Problem(file, number, "is empty, expected a label"))
        for one, other in alike(labels):
            message = (
                f"{ascii(other)} and {ascii(one)} differ in their Unicode form alone and count as one; write one form"
            )
            problems.append(Problem(file, labels.index(other) + 1, message))
        # A corpus without folders has a single session. That matters only if training uses sessions.
        if suffix not in (LABEL_SUFFIXES["session"], NAMES) and len(set(labels)) == 1:
            message = f"has the single identity {labels[0]!r}; expected at least two, to mix and to distinguish"
            problems.append(Problem(file, 1, message))
    return problems


def compare_manifests(
    manifests: Sequence[Manifest], sample_rate: int = 16000, resample: bool = False, jobs: int = 4
) -> list[str]:
    """Notes on what two manifests share: recordings, and speakers except between train and valid.

    Recordings are shared if they are one file, differ in their ending or Unicode form alone, or are the same audio. Training and
    validation of pre-training share their speakers by design (unseen recordings of known identities). For this pair, the note
    is about speakers of valid that are missing in train. Speakers come from .spk files; without these files, only recordings
    are compared. sample_rate, resample, jobs: as of `check_manifest`.
    """
    files = [
        {_stem(manifest, i): os.path.normpath(manifest.root / manifest.names[i]) for i in range(len(manifest))}
        for manifest in manifests
    ]
    copies = _copies(manifests, sample_rate, resample, jobs)
    speakers = [
        set(identity_labels(manifest, "speaker")) if label_path(manifest, "spk").is_file() else set()
        for manifest in manifests
    ]
    notes = []
    for a, b in combinations(range(len(manifests)), 2):
        names = f"{manifests[a].path} and {manifests[b].path}"
        if same := {files[a][stem] for stem in files[a].keys() & files[b].keys()}:
            notes.append(f"{names} share {_some(same, 'recording')}")
        if copied := copies.get((a, b)):
            notes.append(f"{names} share {_some(copied, 'recording')} under other names")
        stems = {manifests[a].path.stem: a, manifests[b].path.stem: b}
        if stems.keys() == {"train", "valid"}:
            train, valid = stems["train"], stems["valid"]
            unknown = speakers[valid] - speakers[train]
            if speakers[train] and unknown:
                known = manifests[train].path
                notes.append(f"{manifests[valid].path} has {_some(unknown, 'speaker')} unknown to {known}")
        elif same := speakers[a] & speakers[b]:
            notes.append(f"{names} share {_some(same, 'speaker')}")
    return notes


def _stem(manifest: Manifest, recording: int) -> str:
    return without_ending(os.path.normpath(manifest.root / manifest.names[recording]))


def _copies(
    manifests: Sequence[Manifest], sample_rate: int, resample: bool, jobs: int
) -> dict[tuple[int, int], set[str]]:
    """By the numbers of two manifests, "A = B" for each of their recordings that are the same audio under two names."""
    if len(manifests) < 2:
        return {}
    origin: dict[str, tuple[int, Path, int]] = {}
    for number, manifest in enumerate(manifests):
        for i, frames in enumerate(manifest.frames.tolist()):
            origin.setdefault(_stem(manifest, i), (number, manifest.file(i), frames))
    numbers, files, lengths = zip(*origin.values(), strict=True)
    found: dict[tuple[int, int], set[str]] = {}
    for later, earlier in twins_by_audio(files, lengths, sample_rate, resample, jobs, "compare").items():
        if numbers[later] != numbers[earlier]:
            found.setdefault((numbers[earlier], numbers[later]), set()).add(f"{files[earlier]} = {files[later]}")
    return found


def _some(items: set[str], what: str) -> str:
    listed = ", ".join(sorted(items)[:3]) + (", …" if len(items) > 3 else "")
    return f"{len(items)} {what}{'s' if len(items) > 1 else ''} ({listed})"
