"""What `csc check` finds in the label files beside a manifest."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from csc_fairseq.corpora.problems import Problem, unreadable
from csc_fairseq.data.manifest import LABEL_SUFFIXES, NAMES
from csc_fairseq.data.quick_reading import quick_lines
from csc_fairseq.data.texts import coded
from csc_fairseq.errors import InputError
from csc_fairseq.text import alike, read_lines


def label_problems(manifest: Path, recordings: int, packed: bool) -> list[Problem]:
    """Problems of the label files that exist. recordings: lines that each must have. packed: .name is one of them."""
    problems = []
    for suffix in (*LABEL_SUFFIXES.values(), *([NAMES] if packed else [])):
        file = manifest.with_suffix(f".{suffix}")
        if file.is_file():
            messages = _messages(
                file, manifest, recordings, suffix in (LABEL_SUFFIXES["speaker"], LABEL_SUFFIXES["cluster"])
            )
            try:
                problems += [Problem(file, line, message) for line, message in messages]
            except InputError as error:
                problems.append(unreadable(file, error))
    return problems


def _messages(file: Path, manifest: Path, recordings: int, several: bool) -> Iterable[tuple[int, str]]:
    """Lines and messages. several: a single identity is a fault. InputError: the file cannot be read."""
    codes, labels = quick_lines(file, recordings) or coded(line.strip() for line in read_lines(file))
    if len(codes) != recordings:
        line = min(len(codes), recordings) + 1
        yield line, f"has {len(codes)} lines, but {manifest} has {recordings} recordings; expected one label for each"
    for line in np.flatnonzero(codes == labels.index("")).tolist() if "" in labels else []:
        yield line + 1, "is empty, expected a label"
    for one, other in alike(labels):
        line = int(np.argmax(codes == labels.index(other))) + 1
        yield (
            line,
            f"{ascii(other)} and {ascii(one)} differ in their Unicode form alone and count as one; write one form",
        )
    # A corpus without folders has a single session. That matters only if training uses sessions.
    if several and len(labels) == 1:
        yield 1, f"has the single identity {labels[0]!r}; expected at least two, to mix and to distinguish"
