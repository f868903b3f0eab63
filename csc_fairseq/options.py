"""Declares the options of a configuration."""

from dataclasses import field
from typing import Any


def option(default: object, help: str) -> Any:
    """A dataclass field with a default and the help text that fairseq's parsers show."""
    return field(default=default, metadata={"help": help})
