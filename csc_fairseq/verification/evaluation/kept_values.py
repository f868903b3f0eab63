"""Values kept in JSON files, with a key of all that they depend on, so that an interrupted evaluation goes on."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from csc_fairseq.digests import code_digest, digest
from csc_fairseq.files import replacing


class KeptValues:
    """A folder of values.

    Args:
        folder: it is made if it is missing. key: what is measured, and where it runs.
    """

    def __init__(self, folder: Path, key: Sequence[str | None]) -> None:
        self._folder = folder
        self._key = [*key, code_digest()]

    def path(self, *parts: Any, prefix: str = "") -> Path:
        """Where the value is kept that depends on these, too."""
        return self._folder / f"{prefix}{digest([*self._key, *parts])}.json"

    def value(self, path: Path, made: Callable[[], Any]) -> Any:
        """What was kept there, or is made now, as JSON has it: lists for tuples."""
        if path.is_file():
            return json.loads(path.read_bytes())
        text = json.dumps(made())
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return json.loads(text)
