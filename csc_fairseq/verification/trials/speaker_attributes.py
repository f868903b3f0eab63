"""Attributes of speakers from a table, such as gender or age group, for every recording of a manifest."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np

from csc_fairseq.corpora.split_table import Row, match
from csc_fairseq.data.manifest import Manifest
from csc_fairseq.errors import InputError
from csc_fairseq.text import normal, read_lines

UNKNOWN = ("", "-", "?", "n/a", "unknown")  # how tables write it, in upper or lower case; we write ""


def read_speaker_attributes(path: str | Path, manifest: Manifest, speakers: Sequence[str]) -> dict[str, np.ndarray]:
    """Columns of a table for every recording: str [N] by the name of the column, "" if the value is unknown.

    The table is tab-separated, with a header that names at least the column speaker and one attribute. `split_table.match`
    finds the row of a speaker: the row has the end of the speaker's path. The column corpus, if there is one, is the folder
    above the speaker.

    Args:
        path: the table.
        manifest: the speakers' paths begin at its audio folder.
        speakers: label of every recording (the .spk file), a path below this folder as `csc prepare` writes it.

    Raises:
        InputError, naming file and line: another form, two different rows of one speaker, a speaker without a row.
    """
    path = Path(path)
    names, rows, values = _read(path)
    labels = sorted(set(speakers))
    matched = match(manifest.root, labels, rows, path)
    missing = [label for label in labels if label not in matched]
    if missing:
        examples = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        raise InputError(
            f"{path}: lacks {len(missing)} of the {len(labels)} speakers of {manifest.path} ({examples}); add them, "
            "with the value `unknown` if necessary"
        )
    table = [values[matched[speaker]] for speaker in speakers]
    return {name: np.array([row[column] for row in table]) for column, name in enumerate(names)}


def require_columns(path: str | Path, attributes: Collection[str], columns: Iterable[str]) -> None:
    """InputError, naming the table, for the first of `columns` that it lacks."""
    for column in columns:
        if column not in attributes:
            raise InputError(f"{path}: has no column {column!r}; expected one of {', '.join(attributes)}")


def _read(path: Path) -> tuple[list[str], dict[str, Row], dict[str, list[str]]]:
    """Names of the attributes; rows by speaker; values of the attributes by speaker."""
    lines = [(number, normal(line)) for number, line in enumerate(read_lines(path), start=1) if line.strip()]
    header = [column.strip() for column in lines[0][1].split("\t")] if lines else []
    names = [column for column in header if column not in ("speaker", "corpus")]
    if "speaker" not in header or not names or len(set(header)) < len(header):
        raise InputError(
            f"{path}:{lines[0][0] if lines else 1}: has the columns {header}, expected speaker and others such as "
            "gender, tab-separated, each once; write them into the first line"
        )
    rows: dict[str, Row] = {}
    values: dict[str, list[str]] = {}
    for number, line in lines[1:]:
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) != len(header):
            raise InputError(
                f"{path}:{number}: has {len(cells)} columns, expected {len(header)}: {', '.join(header)}; correct the line"
            )
        cell = dict(zip(header, cells, strict=True))
        key = f"{cell['corpus']}/{cell['speaker']}" if "corpus" in cell else cell["speaker"]
        own = ["" if cell[name].lower() in UNKNOWN else cell[name] for name in names]
        if key in rows and own != values[key]:
            raise InputError(f"{path}:{number}: {key} differs from its row on line {rows[key].line}; keep one")
        rows.setdefault(key, Row(number, ""))
        values[key] = own
    return names, rows, values
