"""Any corpus whose labels are in a table, or in the names of its files."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from csc_fairseq.corpora.corpus import Corpus, Part, by_split
from csc_fairseq.corpora.preparation import EXTENSIONS, Recording
from csc_fairseq.corpora.split_table import SPLIT_NAME
from csc_fairseq.corpora.tables import read_table
from csc_fairseq.errors import InputError
from csc_fairseq.text import normal


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a table; None: it has no such one."""

    path: str
    speaker: str
    split: str | None = None
    session: str | None = None


def from_table(root: Path, names: Sequence[str], table: Path, columns: Columns) -> Corpus:
    """Recordings that a table names, with its labels; all in train without a column of splits.

    Its paths are below root, or absolute and below it, with or without an ending. names: what there is below root; those without a
    row are left out. Faults: rows without a recording. InputError, naming file and line: no such column, an empty cell, a recording
    that is there twice, a split that cannot name a file; no row has a recording.
    """
    known = {normal(name): name for name in names}
    for name in names:
        known.setdefault(normal(str(PurePosixPath(name).with_suffix(""))), name)
    pairs: list[tuple[str, Recording]] = []
    lines: dict[str, int] = {}
    faults: list[str] = []
    needed = [
        column for column in (columns.path, columns.speaker, columns.split, columns.session) if column is not None
    ]
    for row in read_table(table, needed):
        place = f"{table}:{row.line}"
        for column in needed:
            if not row.cells[column]:
                raise InputError(f"{place}: has nothing in column {column}; fill it, or remove the row")
        path = os.path.normpath(row.cells[columns.path])
        name = known.get(os.path.relpath(path, root) if os.path.isabs(path) else path)
        if name is None:
            faults.append(
                f"{place}: no recording {row.cells[columns.path]} below {root}, such as {names[0]}; expected one of "
                f"{', '.join(EXTENSIONS)}; correct the row or --root"
            )
            continue
        if name in lines:
            raise InputError(f"{place}: {name} is on line {lines[name]} already; keep one row")
        lines[name] = row.line
        split = "train" if columns.split is None else row.cells[columns.split]
        if not SPLIT_NAME.fullmatch(split):
            raise InputError(f"{place}: split {split!r} cannot name a file; expected a word such as train")
        session = "" if columns.session is None else row.cells[columns.session]
        pairs.append((split, Recording(name, 0, row.cells[columns.speaker], session)))
    if not pairs:
        raise InputError(faults[0])
    notes = [f"left out, not in {table}: {len(names) - len(pairs)} recordings"] if len(pairs) < len(names) else []
    labels = ("spk",) if columns.session is None else ("spk", "session")
    return Corpus([Part(root, by_split(pairs))], labels, notes=notes, faults=faults)


def from_names(root: Path, names: Sequence[str], pattern: str) -> Corpus:
    """The named recordings below root, in train, with labels that a regular expression finds in their paths.

    pattern: searched in the path below root. The speaker is its group `speaker`, or its first one, or all that fits; the session is
    its group `session`, if there is one. InputError: no regular expression, or paths that it does not fit.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise InputError(f"--speaker-regex {pattern!r}: is no regular expression ({error}); correct it") from error
    found = {name: expression.search(normal(name)) for name in names}
    unknown = [name for name, fit in found.items() if not fit or not _speaker(fit)]
    if unknown:
        raise InputError(
            f"--speaker-regex {pattern!r}: finds no speaker in {len(unknown)} of {len(names)} paths, such as {unknown[0]}; correct "
            "it, or leave these out with --exclude"
        )
    has_session = "session" in expression.groupindex
    recordings = [
        Recording(name, 0, _speaker(fit), (fit["session"] or _speaker(fit)) if has_session else "")
        for name, fit in found.items()
    ]
    return Corpus([Part(root, {"train": recordings})], ("spk", "session") if has_session else ("spk",))


def _speaker(fit: re.Match[str]) -> str:
    if "speaker" in fit.re.groupindex:
        return fit["speaker"] or ""
    return fit[1 if fit.re.groups else 0] or ""
