"""How an option of a configuration is declared."""

from dataclasses import field


def option(default: object, help: str) -> object:
    """A dataclass field with a default and the help text that fairseq's parsers show."""
    return field(default=default, metadata={"help": help})
