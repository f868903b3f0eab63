"""The files of a diarization: written as a whole, told apart from other files, known again when the command is repeated.

NAME.json lists the files beside it and what they were made from. It is written twice: before the files, so that whatever an
interrupted command leaves is known to be ours, and after them, with their digests, which make it complete. A file that was changed
since then is the user's: it is not replaced. What an interrupted command leaves is.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csc_fairseq.digests import file_digest
from csc_fairseq.errors import InputError
from csc_fairseq.files import replacing, replacing_together

FORMAT = "csc diarize, 1"


@dataclass(frozen=True)
class ResultFiles:
    """The files of one recording in a folder.

    folder: where. name: their beginning, NAME. origin: what they are made from, values that JSON holds: model, options, recording.
    """

    folder: Path
    name: str
    origin: Mapping[str, Any]

    @property
    def listing(self) -> Path:
        """NAME.json."""
        return self.folder / f"{self.name}.json"

    def path(self, ending: str) -> Path:
        """NAME and the ending: ".rttm", "_talker_1.wav"."""
        return self.folder / f"{self.name}{ending}"

    def complete(self) -> bool:
        """Whether all files are there, as they were written, and made from the same origin. InputError as of `require_ours`."""
        found = self._read()
        if found is None or found["origin"] != self.origin or found["digests"] is None:
            return False
        try:
            return all(file_digest(self.folder / file) == digest for file, digest in found["digests"].items())
        except OSError:
            return False

    def require_ours(self, endings: Sequence[str]) -> None:
        """InputError if one of these files is there and not on the list, if one on the list was changed after it was written, or
        the list is of somebody else.
        """
        ours = self._listed()
        for ending in endings:
            path = self.path(ending)
            if path.exists() and path.name not in ours:
                raise InputError(
                    f"{path}: is there, and no `csc diarize` wrote it; move it away, or choose another --out"
                )
        for name, digest in self._digests().items():
            path = self.folder / name
            if path.exists() and file_digest(path) != digest:
                raise InputError(
                    f"{path}: was changed since `csc diarize` wrote it, and would be lost; move it away, or choose another --out"
                )

    @contextmanager
    def replacing(self, endings: Sequence[str]) -> Iterator[Callable[[str], Path]]:
        """Yields what gives the temporary path for each ending. At the end all files replace those of an earlier command.

        Files of an earlier command that are not written again are removed. If writing fails, nothing changes but the list. Errors
        as of `require_ours` and `files.replacing`.
        """
        self.require_ours(endings)
        names = [self.path(ending).name for ending in endings]
        earlier = self._listed()
        self._write(sorted(earlier | set(names)), None)
        with replacing_together([self.path(ending) for ending in endings]) as temporaries:
            yield lambda ending: temporaries[self.path(ending)]
            digests = {name: file_digest(temporaries[self.folder / name]) for name in names}
        for name in earlier.difference(names):
            (self.folder / name).unlink(missing_ok=True)
        self._write(names, digests)

    def _write(self, names: Sequence[str], digests: Mapping[str, str] | None) -> None:
        content = {"format": FORMAT, "origin": self.origin, "files": names, "digests": digests}
        with replacing(self.listing) as temporary:
            temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def _listed(self) -> set[str]:
        found = self._read()
        return set() if found is None else set(found["files"])

    def _digests(self) -> dict[str, str]:
        """By name; none before all files are written."""
        found = self._read()
        return {} if found is None or found["digests"] is None else found["digests"]

    def _read(self) -> dict[str, Any] | None:
        """The list's content; None if there is no list."""
        try:
            content = json.loads(self.listing.read_bytes())
            names = content["files"]
            if content["format"] != FORMAT or not {"origin", "digests"} <= set(content):
                raise ValueError(self.listing)
            if not all(Path(name).name == name and name.startswith(self.name) for name in names):
                raise ValueError(self.listing)
            if content["digests"] is not None and set(content["digests"]) != set(names):
                raise ValueError(self.listing)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(
                f"{self.listing}: is not a list that `csc diarize` writes; move it away, or choose another --out"
            ) from error
        return content
