"""What `csc check` reports."""

from dataclasses import dataclass
from pathlib import Path

from csc_fairseq.errors import InputError


@dataclass(frozen=True)
class Problem:
    """One fault. file: the manifest or a label file. line: counted from 1; 0 for a file that cannot be read."""

    file: Path
    line: int
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        return f"{place}: {self.message}"


def unreadable(path: Path, error: InputError) -> Problem:
    """The complaint of a reader, which begins with the file and perhaps a line."""
    line, _, message = str(error).removeprefix(f"{path}:").partition(": ")
    if line.isdecimal():
        return Problem(path, int(line), message)
    return Problem(path, 0, str(error).removeprefix(f"{path}: "))
