"""Entries of a dictionary that came from a file: of the right type, in range, and finite, or one line that says which is not."""

import reprlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from csc_fairseq.errors import InputError

LARGEST = 2**31 - 1  # of any size: more is no network
MISSING = object()


@dataclass(frozen=True)
class Entries:
    """A dictionary from a file.

    values: what was read. where: the file, for complaints. kind: what an entry is called in a complaint.

    Every method returns one entry. It raises InputError if the entry is missing and has no `default`, or is not what the
    method names. A default also takes the place of None.
    """

    values: Mapping[Any, Any]
    where: str
    kind: str = "entry"

    def get(self, name: str, default: Any = MISSING) -> Any:
        """The entry as it is."""
        value = self.values.get(name)
        if value is None and default is not MISSING:
            return default
        if name not in self.values:
            raise InputError(
                f"{self.where}: lacks the {self.kind} {name!r}; it is incomplete or of another version of csc-fairseq"
            )
        return value

    def whole(self, name: str, low: int = 0, high: int = LARGEST, default: Any = MISSING) -> int:
        """A whole number from low to high."""
        value = self.get(name, default)
        if type(value) is not int or not low <= value <= high:
            raise self.unfit(name, value, f"a whole number from {low} to {high}")
        return value

    def number(self, name: str, low: float, high: float, default: Any = MISSING) -> float:
        """A finite number from low to high."""
        value = self.get(name, default)
        if type(value) not in (int, float) or not low <= value <= high:  # NaN is not between them
            raise self.unfit(name, value, f"a number from {low:g} to {high:g}")
        return float(value)

    def switch(self, name: str, default: Any = MISSING) -> bool:
        """True or False."""
        value = self.get(name, default)
        if not isinstance(value, bool):
            raise self.unfit(name, value, "true or false")
        return value

    def text(self, name: str, choices: Collection[str] | None = None, default: Any = MISSING) -> str:
        """A text, one of `choices` if they are given."""
        value = self.get(name, default)
        if not isinstance(value, str) or (choices is not None and value not in choices):
            raise self.unfit(name, value, "a text" if choices is None else f"one of {', '.join(choices)}")
        return value

    def texts(self, name: str, default: Any = MISSING) -> list[str]:
        """A list of texts."""
        value = self.get(name, default)
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise self.unfit(name, value, "a list of texts")
        return list(value)

    def within(self, name: str, default: Any = MISSING) -> "Entries":
        """A dictionary inside this one."""
        value = self.get(name, default)
        if not isinstance(value, dict):
            raise InputError(
                f"{self.where}: its {name} is a {type(value).__name__}, expected a dictionary; it is no checkpoint of "
                "csc-fairseq"
            )
        return Entries(value, self.where, self.kind)

    def unfit(self, name: str, value: Any, expected: str) -> InputError:
        """The complaint about an entry."""
        return InputError(f"{self.where}: its {self.kind} {name} is {shown(value)}, expected {expected}; it is damaged")


class _Brief(reprlib.Repr):
    """Plain values, cut. Of anything else the type: its own text may be endless, as that of lists which hold one another."""

    def repr_instance(self, x: Any, level: int) -> str:
        return repr(x) if x is None or isinstance(x, bool | float) else f"a {type(x).__name__}"


_brief = _Brief()
_brief.maxlevel = 3


def shown(value: Any) -> str:
    """A value for a complaint: one line, whatever its size."""
    try:
        return one_line(_brief.repr(value))
    except ValueError:  # Python does not write whole numbers of thousands of digits
        return f"a {type(value).__name__}"


def listed(names: Collection[Any]) -> str:
    """The first of some names, for a complaint."""
    texts = [shown(name) if not isinstance(name, str) else one_line(name) for name in list(names)[:4]]
    more = f" and {len(names) - 4} more entries" if len(names) > 4 else ""
    return ", ".join(texts) + more if texts else "nothing"


def one_line(text: object) -> str:
    """The first line of a text, or of what an exception says, for a complaint; an exception without words gives its kind.

    The text may come from a file, so what a terminal would obey, or could not print, becomes a question mark.
    """
    lines = str(text).strip().splitlines()
    first = (lines or [type(text).__name__])[0][:120].rstrip(" .:")
    return "".join(character if character.isprintable() else "?" for character in first)
