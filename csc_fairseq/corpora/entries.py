"""The lines of a manifest as `csc check` reads them: those of the right form, and what is wrong with the others."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from csc_fairseq.corpora.problems import Problem, unreadable
from csc_fairseq.data.manifest import LONGEST, NAMES, are_packed, parse_entry
from csc_fairseq.data.quick_reading import quick_entries, quick_names
from csc_fairseq.data.texts import Names
from csc_fairseq.errors import InputError
from csc_fairseq.text import read_lines


@dataclass(frozen=True)
class Entries:
    """Lines of the right form.

    first: the manifest's first line. lines: int64 [N], where each entry is. paths: below the root. names: of the recordings, which
    are their paths unless they are packed. frames: int64 [N], lengths in samples. recordings: all lines but the first.
    """

    first: str
    lines: np.ndarray
    paths: Names
    names: Names
    frames: np.ndarray
    recordings: int

    @property
    def packed(self) -> bool:
        """Whether recordings are slices of archives."""
        return are_packed(self.paths)


def read_entries(path: Path) -> tuple[Entries | None, list[Problem]]:
    """The lines of a manifest, None if there are none to speak of, and the problems of those of another form."""
    problems: list[Problem] = []
    if quick := quick_entries(path, LONGEST):
        first, names, frames = quick
        found = Entries(first, np.arange(len(names)) + 2, names, names, frames, len(names))
    else:
        try:
            lines = read_lines(path)
        except InputError as error:
            return None, [unreadable(path, error)]
        if len(lines) < 2:
            message = "holds no recordings; expected a root line and one line path<TAB>frames for each"
            return None, [Problem(path, 1, message)]
        found, problems = _parsed(path, lines)
    return (_named(path, found) if found.packed else found), problems


def _parsed(path: Path, lines: list[str]) -> tuple[Entries, list[Problem]]:
    problems, places, entries = [], [], []
    for number, line in enumerate(lines[1:], start=2):
        try:
            entries.append(parse_entry(line))
            places.append(number)
        except InputError as error:
            problems.append(Problem(path, number, str(error)))
    names = Names.of(name for name, _ in entries)
    frames = np.array([length for _, length in entries], dtype=np.int64)
    return Entries(lines[0], np.array(places, dtype=np.int64), names, names, frames, len(lines) - 1), problems


def _named(path: Path, entries: Entries) -> Entries:
    """With the names of the .name file, if it is there and fits; what is wrong with it is told with the labels."""
    file = path.with_suffix(f".{NAMES}")
    names: Names | list[str] | None = quick_names(file, entries.recordings)
    if names is None:
        try:
            names = read_lines(file)
        except InputError:
            return entries
    if len(names) != entries.recordings:
        return entries
    if isinstance(names, Names) and len(entries.lines) == entries.recordings:
        return replace(entries, names=names)
    own = (names[line - 2] or own for line, own in zip(entries.lines.tolist(), entries.names, strict=True))
    return replace(entries, names=Names.of(own))
