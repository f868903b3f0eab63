"""Several prepared folders as one: their manifests and label files, split by split, for one training on all of them.

Only lines are read, no audio. How they are joined is our choice: splits keep their meaning, and so do labels.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from csc_fairseq.corpora.corpus import UNKNOWN
from csc_fairseq.corpora.joining_checks import (
    RENAME,
    SAME,
    PreparedSplit,
    refuse_equal_labels,
    refuse_known_speakers,
    refuse_repeated,
)
from csc_fairseq.corpora.preparation import LABELS, Recording
from csc_fairseq.corpora.transcripts import SUFFIX as LETTERS
from csc_fairseq.corpora.writing import ManifestContent
from csc_fairseq.data.fixed_mixtures import are_fixed_mixtures
from csc_fairseq.data.manifest import (
    LABEL_SUFFIXES,
    NAMES,
    Manifest,
    identity_labels,
    label_lines,
    label_path,
    read_labels,
    read_manifest,
)
from csc_fairseq.data.texts import Labels, Names
from csc_fairseq.errors import InputError

SPLITS = ("train", "valid", "dev", "test")
# Label files that a folder may lack; `session` and `domain` are always known.
_READ = ("spk", "cluster", "gender", "txt")


@dataclass(frozen=True)
class Joined:
    """What is written. root: of all recordings. splits: by name, the parts that each folder has of it. notes: what is left out."""

    root: Path
    splits: Mapping[str, Sequence[PreparedSplit]]
    notes: Sequence[str]


def join(folders: Sequence[Path], equal_labels: str | None = None) -> Joined:
    """Everything that the folders have of SPLITS, to be one folder.

    equal_labels: what to do where two folders have one label. RENAME puts the name of the folder in front of all labels, and of the
    names of packed recordings; SAME takes it for one speaker, session or cluster; None refuses it.

    InputError, naming both places: a folder without manifests, or given twice; a recording that is there twice, in one split or in
    two; a label of two folders; with SAME, a speaker of one folder's dev or test in another split of another folder.
    """
    folders = [Path(os.path.abspath(folder)) for folder in folders]
    if len(folders) < 2 or len(set(folders)) < len(folders):
        raise InputError(f"{' and '.join(map(str, folders))}: expected at least two folders, each once; correct them")
    found = [_manifests(folder) for folder in folders]
    root = Path(os.path.commonpath([one.root.resolve() for manifests in found for one in manifests.values()]))
    parts = [
        {split: _prepared(manifest, root, name, equal_labels == RENAME) for split, manifest in manifests.items()}
        for name, manifests in zip(folder_names(folders), found, strict=True)
    ]
    refuse_repeated([part for own in parts for part in own.values()])
    if equal_labels is None:
        refuse_equal_labels([list(own.values()) for own in parts])
    splits = {split: [own[split] for own in parts if split in own] for split in SPLITS}
    splits = {split: own for split, own in splits.items() if own}
    if equal_labels == SAME:
        refuse_known_speakers(splits)
    return Joined(root, splits, [*_missing_labels(splits), *_other_files(folders)])


def folder_names(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of different paths that tell them apart: "libri" and "vox2", or "libri/packed" and "vox2/packed"."""
    deepest = max(len(folder.parts) for folder in folders)
    ends = ([Path(*folder.parts[-depth:]).as_posix() for folder in folders] for depth in range(1, deepest + 1))
    return next(names for names in ends if len(set(names)) == len(names))


def contents(joined: Joined, out: Path) -> tuple[dict[str, ManifestContent], dict[str, list[str]]]:
    """What to write to the folder `out`: manifests by split, and by name the label files that are none of `preparation.LABELS`.

    InputError for labels that a line cannot hold.
    """
    manifests, others = {}, {}
    for split, parts in joined.splits.items():
        suffixes = tuple(_suffixes(parts))
        recordings = [recording for part in parts for recording in _recordings(part, suffixes)]
        of_recordings = tuple(suffix for suffix in suffixes if suffix in LABELS)
        manifests[split] = ManifestContent(joined.root, recordings, of_recordings)
        for suffix in (suffix for suffix in suffixes if suffix not in LABELS):
            name = f"{split}.{suffix}"
            others[name] = label_lines(out / name, (label for part in parts for label in part.labels[suffix]))
    return manifests, others


def _manifests(folder: Path) -> dict[str, Manifest]:
    paths = {split: folder / f"{split}.tsv" for split in SPLITS}
    found = {split: read_manifest(path) for split, path in paths.items() if path.is_file()}
    if not found:
        wanted = ", ".join(path.name for path in paths.values())
        raise InputError(f"{folder}: has none of {wanted}; give a folder that `csc prepare` or `csc pack` wrote")
    if mixed := next((manifest.path for manifest in found.values() if are_fixed_mixtures(manifest.path)), None):
        raise InputError(
            f"{mixed}: is of fixed mixtures, whose sources would be lost; move it away: a training takes it by itself as "
            "task.fixed_mixtures or dataset.valid_subset, and `csc evaluate --mixtures` takes several"
        )
    return found


def _prepared(manifest: Manifest, root: Path, folder: str, rename: bool) -> PreparedSplit:
    below = manifest.root.resolve().relative_to(root).as_posix()
    before, front = "" if below == "." else f"{below}/", f"{folder}/" if rename else ""
    paths = Names.of(before + path for path in (manifest.names if manifest.slices is None else manifest.slices))
    names = paths if manifest.slices is None else Names.of(front + name for name in manifest.names)
    labels: dict[str, Sequence[str]] = {
        suffix: read_labels(manifest, suffix) for suffix in _READ if label_path(manifest, suffix).is_file()
    }
    labels["session"] = identity_labels(replace(manifest, names=names), "session")
    for suffix in labels.keys() & set(LABEL_SUFFIXES.values()):
        coded = Labels.of(labels[suffix])
        labels[suffix] = Labels(coded.codes, [front + label for label in coded.values])
    if label_path(manifest, "domain").is_file():
        labels["domain"] = read_labels(manifest, "domain")
    else:
        labels["domain"] = Labels(np.zeros(len(manifest), dtype=np.int32), [folder])
    return PreparedSplit(manifest, folder, paths, labels | {NAMES: names})


def _suffixes(parts: Sequence[PreparedSplit]) -> Iterator[str]:
    """Label files of a split: those that all folders have, and those whose gaps can be filled."""
    for suffix in _READ:
        there = [suffix in part.labels for part in parts]
        if all(there) or (suffix == "gender" and any(there)):
            yield suffix
    packed = any(part.packed for part in parts)
    # Otherwise the folders of the recordings say the same.
    if packed or any(label_path(part.manifest, "session").is_file() for part in parts):
        yield "session"
    yield "domain"
    if packed:
        yield NAMES


def _recordings(part: PreparedSplit, suffixes: Sequence[str]) -> Iterable[Recording]:
    """Labels that are not written are ""."""
    nothing, unknown = [""] * len(part.paths), [UNKNOWN] * len(part.paths)
    known = {"gender": unknown, **part.labels}
    columns = (known[suffix] if suffix in suffixes else nothing for suffix in ("spk", "session", "gender"))
    return map(Recording, part.paths, part.manifest.frames.tolist(), *columns)


def _missing_labels(splits: Mapping[str, Sequence[PreparedSplit]]) -> Iterator[str]:
    """Label files that are not written, because a folder lacks them or because they depend on a list beside them."""
    for split, parts in splits.items():
        for suffix in ("spk", "cluster", "txt"):
            missing = [str(label_path(part.manifest, suffix)) for part in parts if suffix not in part.labels]
            if 0 < len(missing) < len(parts):
                yield f"left out, {split}.{suffix}: there is no {', no '.join(missing)}"
        if any(label_path(part.manifest, LETTERS).is_file() for part in parts):
            yield f"left out, {split}.{LETTERS}: `csc prepare transcripts` makes one list of letters for all"


def _other_files(folders: Sequence[Path]) -> Iterator[str]:
    """Manifests that are no split of a training, and lists of trials, which name recordings as their own folder does."""
    for folder in folders:
        names = (
            path.name for path in folder.iterdir() if path.suffix in (".tsv", ".trials") and path.stem not in SPLITS
        )
        if listed := ", ".join(sorted(names)):
            yield f"left out, to be used from {folder}: {listed}"
