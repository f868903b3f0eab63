"""Checks a manifest, its label files and its audio. Reports every problem with file and line, not only the first."""

import os
from functools import partial
from pathlib import Path

import numpy as np

from csc_fairseq.corpora.entries import Entries, read_entries
from csc_fairseq.corpora.label_faults import label_problems
from csc_fairseq.corpora.name_faults import faulty_names, repeated, stem_hashes
from csc_fairseq.corpora.problems import Problem
from csc_fairseq.corpora.repetitions import twins_by_audio, twins_by_name
from csc_fairseq.data.audio import load_crop, probe, require_format
from csc_fairseq.data.augment import SILENCE_POWER
from csc_fairseq.data.manifest import parse_root
from csc_fairseq.data.parallel import parallel_map
from csc_fairseq.errors import InputError

SILENCE_SECONDS = 2  # the length of a view in the smaller configurations
SILENCE_PEAK = SILENCE_POWER**0.5
DEEP_BLOCK_SECONDS = 60  # decoded at a time, so that a file of many hours does not fill the memory


def check_manifest(
    path: str | Path,
    sample_rate: int = 16000,
    resample: bool = False,
    deep: bool = False,
    jobs: int = 4,
    progress: str | None = None,
    audio: bool = True,
) -> list[Problem]:
    """All problems of a manifest in the order of its lines, then those of its label files. [] if there are none.

    In the manifest: lines of another form, names that leave the root, repeated recordings (by name, by name but for the ending or
    the Unicode form, by audio), missing or unreadable files, files that were cut off, sample rates other than `sample_rate` (Hz;
    accepted with `resample`), several channels, lengths that differ from the file's header. In the label files that exist
    (.spk, .session, .cluster; .name of packed recordings): another length, empty lines, labels that differ in their Unicode form
    alone; in .spk and .cluster also a single identity.

    deep: also decode all audio and look for corrupt or NaN audio and for digital silence of more than two seconds. jobs:
    threads. progress: title of the progress bar, None for no bar. audio: False looks at lines, names and labels alone.
    """
    path = Path(path)
    entries, problems = read_entries(path)
    if entries is None:
        return problems
    problems += [Problem(path, line, message) for line, message in faulty_names(entries)]
    try:
        root = parse_root(entries.first)
    except InputError as error:
        # Without its folder, every recording would be reported as missing. One line is enough.
        problems.append(Problem(path, 1, str(error)))
    else:
        if audio:
            problems += _audio_problems(path, root, entries, sample_rate, resample, deep, jobs, progress)
    problems.sort(key=lambda problem: problem.line)
    return problems + label_problems(path, entries.recordings, entries.packed)


def _audio_problems(
    path: Path,
    root: Path,
    entries: Entries,
    sample_rate: int,
    resample: bool,
    deep: bool,
    jobs: int,
    progress: str | None,
) -> list[Problem]:
    """Problems of single recordings, and recordings whose audio is on an earlier line under another name."""
    examine = partial(_examine, entries=entries, root=root, sample_rate=sample_rate, resample=resample, deep=deep)
    messages = list(parallel_map(examine, range(len(entries.lines)), jobs, progress))
    lines = entries.lines.tolist()
    problems = [Problem(path, line, message) for line, message in zip(lines, messages, strict=True) if message]
    # Those of one name but for the ending are told as such.
    suspects = repeated(stem_hashes(entries.names)).tolist()
    told = {suspects[i] for i in twins_by_name([os.path.normpath(entries.names[i]) for i in suspects])}
    sound = [i for i, message in enumerate(messages) if not message and i not in told]
    files = [root / entries.paths[i] for i in sound]
    twins = twins_by_audio(files, entries.frames[sound].tolist(), sample_rate, resample, jobs, progress)
    for one, other in ((sound[later], sound[earlier]) for later, earlier in twins.items()):
        same = f"{entries.names[one]} is the same audio as {entries.names[other]} on line {lines[other]}"
        problems.append(Problem(path, lines[one], f"{same}; remove one of the two"))
    return problems


def _examine(i: int, entries: Entries, root: Path, sample_rate: int, resample: bool, deep: bool) -> str:
    """The problem of one recording, "" for none."""
    file, stated = root / entries.paths[i], int(entries.frames[i])
    try:
        info = probe(file)
        require_format(file, info, sample_rate, resample)
        frames = info.frames_at(sample_rate)
        if frames != stated:
            return f"{file}: has {frames} samples, the manifest says {stated}; prepare the manifest again"
        if deep:
            start, length = longest_silence(file, frames, sample_rate, resample)
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


def longest_silence(file: Path, frames: int, sample_rate: int, resample: bool) -> tuple[int, int]:
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
