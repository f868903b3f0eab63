"""What prepared folders must not share if they are to be one: recordings, labels that may mean two things, people to test on."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from csc_fairseq.corpora.name_faults import repeated, stem_hashes
from csc_fairseq.corpora.repetitions import without_ending
from csc_fairseq.data.manifest import LABEL_SUFFIXES, NAMES, Manifest, label_path
from csc_fairseq.data.texts import Labels, Names
from csc_fairseq.errors import InputError

RENAME, SAME = "rename", "same"  # what to do with a label that two folders have


@dataclass(frozen=True)
class PreparedSplit:
    """One manifest of one folder, as it is to be in the joined one.

    folder: its name among the others. paths: of the recordings, below the root of all. labels: one a recording, by suffix; those of
    NAMES are the paths, but for packed recordings.
    """

    manifest: Manifest
    folder: str
    paths: Names
    labels: Mapping[str, Sequence[str]]

    @property
    def packed(self) -> bool:
        """Whether recordings have other names than their paths."""
        return self.manifest.slices is not None

    def states(self, suffix: str) -> bool:
        """Whether labels say more than the paths, by which a loose recording without a .session file has its session."""
        return suffix in self.labels and (self.packed or label_path(self.manifest, suffix).is_file())

    def place(self, recording: int) -> str:
        """``file:line`` of a recording, for messages."""
        return f"{self.manifest.path}:{recording + 2}"

    def place_of_label(self, suffix: str, label: str) -> str:
        """``file:line`` of the first recording with a label, for messages."""
        labels, file = Labels.of(self.labels[suffix]), label_path(self.manifest, suffix)
        recording = int(np.argmax(labels.codes == labels.values.index(label)))
        return f"{file}:{recording + 1}" if file.is_file() else self.place(recording)


def refuse_repeated(parts: Sequence[PreparedSplit]) -> None:
    """InputError for a recording that is there twice, in one split or in two: one path, or one name of packed recordings."""
    _refuse_repeated(parts, [part.paths for part in parts], "keep one")
    if any(part.packed for part in parts):
        names = [Names.of(part.labels[NAMES]) for part in parts]
        _refuse_repeated(parts, names, f"or, if these are two recordings, add `--equal-labels {RENAME}`")


def _refuse_repeated(parts: Sequence[PreparedSplit], names: Sequence[Names], remedy: str) -> None:
    """names: of the recordings of every part. Those that differ in their ending alone are one."""
    bounds = np.cumsum([0, *map(len, names)])
    first: dict[str, str] = {}
    for position in repeated(np.concatenate([stem_hashes(own) for own in names])).tolist():
        number = int(np.searchsorted(bounds, position, side="right")) - 1
        recording = position - int(bounds[number])
        name, place = names[number][recording], parts[number].place(recording)
        earlier = first.setdefault(without_ending(os.path.normpath(name)), place)
        if earlier != place:
            raise InputError(
                f"{place}: {name} is on {earlier} too, and would be there twice; take one out of its manifest and label files, "
                f"{remedy}"
            )


def refuse_equal_labels(folders: Sequence[Sequence[PreparedSplit]]) -> None:
    """InputError for a label that two folders have, whatever the split. folders: the parts of each."""
    for level, suffix in LABEL_SUFFIXES.items():
        for one, other in combinations(folders, 2):
            if both := _labels(one, suffix) & _labels(other, suffix):
                label, ends = min(both), (one[0].folder, other[0].folder)
                places = " and ".join(_place(parts, suffix, label) for parts in (one, other))
                raise InputError(
                    f"{places}: both have {level} {label!r} ({len(both)} such labels), which may be two; add "
                    f"`--equal-labels {RENAME}` to have {ends[0]}/{label} and {ends[1]}/{label}, or "
                    f"`--equal-labels {SAME}` if they are one {level}"
                )


def refuse_known_speakers(splits: Mapping[str, Sequence[PreparedSplit]]) -> None:
    """InputError for a speaker whom two folders have in two splits. Train and valid may share theirs."""
    for split, other_split in combinations(splits, 2):
        for one in splits[split]:
            for other in splits[other_split]:
                if one.folder == other.folder or {split, other_split} == {"train", "valid"}:
                    continue
                if both := _labels([one], "spk") & _labels([other], "spk"):
                    label = min(both)
                    raise InputError(
                        f"{other.place_of_label('spk', label)}: speaker {label!r} is in {split} too, by "
                        f"{one.place_of_label('spk', label)} ({len(both)} such speakers), expected others; prepare one of "
                        "the folders again without them"
                    )


def _labels(parts: Sequence[PreparedSplit], suffix: str) -> set[str]:
    return {label for part in parts if part.states(suffix) for label in Labels.of(part.labels[suffix]).values}


def _place(parts: Sequence[PreparedSplit], suffix: str, label: str) -> str:
    return next(part.place_of_label(suffix, label) for part in parts if label in _labels([part], suffix))
