"""results.json and results.md of an evaluation of conversations or of fixed mixtures."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from csc_fairseq.verification.evaluation.result_folder import ResultFolder
from csc_fairseq.verification.evaluation.tables import Table

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

JSON, MARKDOWN = "results.json", "results.md"


@contextmanager
def results_in(path: Path, of: str) -> Iterator[ResultFolder]:
    """The folder of such an evaluation, which will write both files. of, InputError: as of `ResultFolder`."""
    with ResultFolder(path, of=of) as folder:
        for name in (JSON, MARKDOWN):
            folder.claim(name)  # before anything else is kept there: a killed run must find its folder its own
        yield folder


def write_results(
    folder: ResultFolder,
    title: str,
    facts: Mapping[str, Any],
    summaries: Sequence["DataclassInstance"],
    tables: Sequence[Table],
) -> None:
    """Facts and the summaries to results.json; facts and tables, under a title, to results.md."""
    content = json.dumps({**facts, "results": [asdict(one) for one in summaries]}, indent=2)
    folder.write(JSON, f"{content}\n".encode())
    lines = "".join(f"- {name}: {value}\n" for name, value in facts.items())
    folder.write(MARKDOWN, "\n".join([f"# {title}\n\n{lines}", *(table.markdown() for table in tables)]).encode())
