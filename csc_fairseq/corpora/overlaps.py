"""What two manifests share that they should not."""

import os
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from csc_fairseq.corpora.name_faults import stem_hashes
from csc_fairseq.corpora.repetitions import twins_by_audio, without_ending
from csc_fairseq.data.fixed_mixtures import are_fixed_mixtures, read_fixed_mixtures
from csc_fairseq.data.manifest import Manifest, label_path, read_labels
from csc_fairseq.data.texts import Names


def compare_manifests(
    manifests: Sequence[Manifest],
    sample_rate: int = 16000,
    resample: bool = False,
    jobs: int = 4,
    audio: bool = True,
) -> list[str]:
    """Notes on what two manifests share: recordings, and speakers except between train and valid.

    Recordings are shared if they are one file, differ in their ending or Unicode form alone, or are the same audio. Training and
    validation of pre-training share their speakers by design (unseen recordings of known identities). For this pair, the note
    is about speakers of valid that are missing in train. Speakers come from .spk files, and of fixed mixtures from .speakers;
    without these files, only recordings are compared. sample_rate, resample, jobs, audio: as of `check_manifest`.
    """
    if len(manifests) < 2:
        return []
    hashes = [stem_hashes(Names.of(manifest.names), str(manifest.root)) for manifest in manifests]
    copies = _copies(manifests, sample_rate, resample, jobs) if audio else {}
    speakers = [_speakers(manifest) for manifest in manifests]
    notes = []
    for a, b in combinations(range(len(manifests)), 2):
        names = f"{manifests[a].path} and {manifests[b].path}"
        both = np.intersect1d(hashes[a], hashes[b])
        files, others = (
            {_stem(manifests[m], i): _path(manifests[m], i) for i in np.flatnonzero(np.isin(hashes[m], both)).tolist()}
            for m in (a, b)
        )
        if same := {files[stem] for stem in files.keys() & others.keys()}:
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


def _speakers(manifest: Manifest) -> set[str]:
    """Everybody whom the files beside a manifest name."""
    found = set(read_labels(manifest, "spk").values) if label_path(manifest, "spk").is_file() else set()
    if are_fixed_mixtures(manifest.path) and (named := read_fixed_mixtures(manifest.path).speakers):
        found.update(named.values)
    return found


def _path(manifest: Manifest, recording: int) -> str:
    """Path of a recording; of a packed one, where it would be as a file."""
    return os.path.normpath(manifest.root / manifest.names[recording])


def _stem(manifest: Manifest, recording: int) -> str:
    return without_ending(_path(manifest, recording))


def _copies(
    manifests: Sequence[Manifest], sample_rate: int, resample: bool, jobs: int
) -> dict[tuple[int, int], set[str]]:
    """By the numbers of two manifests, "A = B" for each of their recordings that are the same audio under two names."""
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
