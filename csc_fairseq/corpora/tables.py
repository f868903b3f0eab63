"""Tables with a header that come with corpora: separated by tabs, commas, semicolons or bars.

Fields may be in double quotes (RFC 4180), but not between tabs: such tables have quotes in their texts, as Common Voice's.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from csc_fairseq.errors import InputError
from csc_fairseq.text import normal, read_lines

SEPARATORS = ("\t", ",", ";", "|")


@dataclass(frozen=True)
class TableRow:
    """line: in the file, from 1. cells: by column, without spaces at their ends."""

    line: int
    cells: dict[str, str]


def read_table(path: Path, columns: Sequence[str], may_be_empty: bool = False) -> list[TableRow]:
    """Rows of a table that has these columns, and perhaps others. Names are in NFC (`text.normal`).

    InputError, naming file and line: the file cannot be read, a column is missing or two have one name, a row has more or fewer
    fields than the header, or does not end with its line; no rows, unless it may be empty.
    """
    lines = [normal(line) for line in read_lines(path)]
    header: list[str] = []
    for separator in SEPARATORS:
        header = [column.strip() for column in next(_rows(lines[:1], separator, path))[1]] if lines else []
        if set(columns) <= set(header):
            break
    else:
        raise InputError(
            f"{path}:1: has the header {lines[0][:200] if lines else ''!r}, expected the columns {', '.join(columns)}, "
            "separated by tabs or commas; correct the line, or name its columns"
        )
    if twice := next((column for column in header if column and header.count(column) > 1), None):
        raise InputError(f"{path}:1: has two columns {twice}; rename one")
    rows = []
    for number, cells in _rows(lines, separator, path):
        if number == 1 or not cells or cells == [""]:
            continue
        if len(cells) != len(header):
            raise InputError(
                f"{path}:{number}: has {len(cells)} fields, expected {len(header)} as in line 1; correct the line"
            )
        rows.append(TableRow(number, {column: cell.strip() for column, cell in zip(header, cells, strict=True)}))
    if not rows and not may_be_empty:
        raise InputError(f"{path}: has no rows below its header; expected one for each item")
    return rows


def _rows(lines: Sequence[str], separator: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL)
    number = 0
    try:
        for cells in reader:
            number += 1
            if reader.line_num > number:
                raise InputError(
                    f"{path}:{number}: has a quote that does not end in this line; expected a row in each line; close it, or join "
                    "the lines"
                )
            yield reader.line_num, cells
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: cannot be read ({error}); correct the line") from error
