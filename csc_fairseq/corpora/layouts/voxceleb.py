"""What VoxCeleb1 and VoxCeleb2 share: tables that say the set and the gender of every speaker."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from csc_fairseq.corpora.corpus import gender_of
from csc_fairseq.corpora.tables import read_table
from csc_fairseq.errors import InputError

SPLITS = {"dev": "train", "test": "test"}


@dataclass(frozen=True)
class Speaker:
    """A row of the table. line: in it, from 1. split: by its column Set."""

    line: int
    split: str
    gender: str


def read_speakers(path: Path, column: str) -> dict[str, Speaker]:
    """Rows by speaker. column: the one that names them. InputError, with the line, for another set."""
    found = {}
    for row in read_table(path, (column, "Gender", "Set")):
        split = SPLITS.get(row.cells["Set"])
        if split is None:
            raise InputError(
                f"{path}:{row.line}: has the set {row.cells['Set']!r}, expected dev or test; restore the table"
            )
        found[row.cells[column]] = Speaker(row.line, split, gender_of(row.cells["Gender"]))
    return found


def listed(table: Path, speakers: Mapping[str, Speaker], speaker: str, split: str, recording: Path) -> Speaker:
    """The row of the speaker of a recording. split: of the folder that it lies in, "" if the table alone says it.

    InputError: no row, or one that says another split.
    """
    row = speakers.get(speaker)
    if row is None:
        raise InputError(f"{table}: has no speaker {speaker}, but there is {recording}; restore the table")
    if split not in ("", row.split):
        expected = next(name for name, of_set in SPLITS.items() if of_set == row.split)
        raise InputError(
            f"{table}:{row.line}: {speaker} is of the set {expected}, but there is {recording}; move the speaker to the folder of "
            "its set, or restore the table"
        )
    return row
