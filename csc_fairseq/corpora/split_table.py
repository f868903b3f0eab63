"""Tables that give the split of every speaker, lists of recordings, and the match of their rows with folders."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from csc_fairseq.errors import InputError
from csc_fairseq.text import normal, read_lines

SPLIT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # it becomes a file name


@dataclass(frozen=True)
class Row:
    """line: in the table, from 1. split: "" if the table has no such column."""

    line: int
    split: str


def read_split_table(path: Path) -> dict[str, Row]:
    """Rows by speaker: "corpus/speaker" if the table has a column `corpus`, otherwise "speaker".

    The table is tab-separated, with a header that names at least the columns speaker and split. Or it has no header and two
    columns, speaker and split, separated by spaces. InputError names file and line.
    """
    return _read(path, "speaker", need_split=True)


def read_recording_list(path: Path, split: str | None) -> dict[str, Row]:
    """Rows by recording, "corpus/name" or "name", of a tab-separated table with a header.

    split: only the rows of that split, None for all. InputError, naming file and line: missing columns, no such row.
    """
    rows = _read(path, "name", need_split=split is not None)
    chosen = {key: row for key, row in rows.items() if split is None or row.split == split}
    if not chosen:
        splits = ", ".join(sorted({row.split for row in rows.values()}))
        raise InputError(f"{path}: no row of split {split!r}, expected one of {splits}")
    return chosen


def _read(path: Path, item: str, need_split: bool) -> dict[str, Row]:
    lines = [(number, normal(line)) for number, line in enumerate(read_lines(path), start=1) if line.strip()]
    if not lines:
        raise InputError(
            f"{path}: is empty; expected a header with the columns {item} and split, and one row for each {item}"
        )
    header = [column.strip() for column in lines[0][1].split("\t")]
    needed = {item, "split"} if need_split else {item}
    if needed <= set(header):
        separator: str | None = "\t"
        lines = lines[1:]
    elif item == "speaker" and len(lines[0][1].split()) == 2:
        separator, header = None, ["speaker", "split"]
    else:
        expected = " and ".join(sorted(needed))
        raise InputError(f"{path}:{lines[0][0]}: has the columns {header}, expected {expected}, tab-separated")
    rows: dict[str, Row] = {}
    for number, line in lines:
        cells = [cell.strip() for cell in line.split(separator)]
        if len(cells) != len(header):
            raise InputError(f"{path}:{number}: has {len(cells)} columns, expected {len(header)}: {', '.join(header)}")
        cell = dict(zip(header, cells, strict=True))
        row = Row(number, cell["split"] if "split" in cell else "")
        key = f"{cell['corpus']}/{cell[item]}" if "corpus" in cell else cell[item]
        if need_split and not SPLIT_NAME.fullmatch(row.split):
            raise InputError(f"{path}:{number}: split {row.split!r} cannot name a file; expected a word such as train")
        if key in rows and rows[key].split != row.split:
            earlier = rows[key]
            raise InputError(
                f"{path}:{number}: {key} is in split {row.split}, but in {earlier.split} on line {earlier.line}; "
                "keep one"
            )
        rows.setdefault(key, row)
    return rows


def match(
    root: Path, labels: Iterable[str], rows: dict[str, Row], table: Path, extensions: bool = False
) -> dict[str, str]:
    """For every label (a path below `root`) with a row: the key of this row.

    A row names a label if its key is the end of the label's full path, `root` included. So "librispeech/103" names
    /data/librispeech/103, for the root /data and also for the root /data/librispeech. If several keys fit, the longest
    counts. extensions: labels are files, which rows may name without the extension. Keys are in NFC (`text.normal`), labels in any
    form. InputError if one row names two labels.
    """
    matched: dict[str, str] = {}
    owner: dict[str, str] = {}
    for label in labels:
        path = Path(normal(str(root / label)))
        forms = [path, path.with_suffix("")] if extensions else [path]
        tails = ("/".join(form.parts[start:]) for form in forms for start in range(len(form.parts)))
        key = next((tail for tail in tails if tail in rows), None)
        if key is None:
            continue
        if key in owner:
            raise InputError(
                f"{table}:{rows[key].line}: {key} names both {owner[key]} and {label} below {root}; "
                "add a column corpus with the name of the folder above"
            )
        owner[key] = label
        matched[label] = key
    return matched


def assign_splits(
    root: Path, speakers: Iterable[str], rows: dict[str, Row], table: Path, ignore_missing: bool
) -> dict[str, str]:
    """Split of every speaker (path below `root`) that the table names.

    InputError if the table lacks a speaker (unless `ignore_missing`), or names no speaker at all.
    """
    speakers = sorted(set(speakers))
    matched = match(root, speakers, rows, table)
    missing = [speaker for speaker in speakers if speaker not in matched]
    if missing and not ignore_missing or not matched:
        raise InputError(
            f"{table}: lacks {len(missing)} of {len(speakers)} speakers below {root} ({_first(missing)}); add them, "
            "choose the folder level of the speaker (--speaker-level), or leave them out with --ignore-missing"
        )
    return {speaker: rows[key].split for speaker, key in matched.items()}


def select_recordings(root: Path, names: Iterable[str], rows: dict[str, Row], table: Path) -> list[str]:
    """The `names` (paths below `root`) that the table lists, in their order. Rows may omit the file name extension.

    InputError for rows without a file.
    """
    names = list(names)
    matched = match(root, names, rows, table, extensions=True)
    absent = sorted(rows.keys() - set(matched.values()))
    if absent:
        raise InputError(
            f"{table}:{rows[absent[0]].line}: no file for {len(absent)} of its rows below {root} ({_first(absent)}); "
            "expected files with the names in the column name (the corpus is the folder above)"
        )
    return [name for name in names if name in matched]


def _first(items: list[str]) -> str:
    return ", ".join(items[:3]) + (", …" if len(items) > 3 else "")
