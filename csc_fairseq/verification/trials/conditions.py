"""Conditions of a verification test: what is done to the test recordings and, on request, to the enrolment.

A condition has only kinds and levels. condition_plans.py draws the interferers, their positions, the noise and the room, in
the same way for all conditions.
"""

import re
from collections.abc import Hashable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from csc_fairseq.errors import InputError
from csc_fairseq.text import read_lines
from csc_fairseq.verification.trials.trial_list import MOST_INTERFERERS

NOISES = ("stationary", "other")
LEVELS = ("sir_db", "snr_db", "overlap")
LOUDEST_DB = 100.0  # beyond this level, the fainter signal is below one step of a 16-bit file
CLEAN_NAME = "clean"
NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9 ._+-]{0,62}[A-Za-z0-9])?")  # it becomes a file name and a table cell


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class Condition:
    """One condition. InputError, naming the condition, for impossible values or values that contradict each other.

    name: a unique name. talkers: how many others talk over the test speaker (0, 1, 2). sir_db: level of the test speaker
    over each of them (dB). noise: "stationary" or "other". snr_db: level of the test speaker over the noise (dB). rir: every
    talker is heard through a room response. overlap: share of the test recording that each interferer may fill, at its start
    or end. mixed_enrolment: the same is done to the enrolment, with other crops, noises and rooms; otherwise the enrolment is
    clean. All of this is our choice.
    """

    name: str
    talkers: int = 0
    sir_db: float | None = None
    noise: str | None = None
    snr_db: float | None = None
    rir: bool = False
    overlap: float = 1.0
    mixed_enrolment: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise InputError(
                f"condition name {self.name!r}: expected letters, digits and blanks . _ + - between them, 64 at most; "
                "rename it"
            )
        problem = self._faulty_value() or self._contradiction()
        if problem:
            raise InputError(f"condition {self.name!r}: {problem}")
        for name in LEVELS:  # 5 and 5.0 are the same level, and must be the same text when settings are compared
            if getattr(self, name) is not None:
                object.__setattr__(self, name, float(getattr(self, name)))

    @property
    def degraded(self) -> bool:
        """Whether the condition changes a recording."""
        return self.talkers > 0 or self.noise is not None or self.rir

    def _faulty_value(self) -> str | None:
        if type(self.talkers) is not int or not 0 <= self.talkers <= MOST_INTERFERERS:  # for isinstance, True is an int
            return f"talkers is {self.talkers!r}, expected 0, 1 or {MOST_INTERFERERS}"
        if self.noise is not None and self.noise not in NOISES:
            return f"noise is {self.noise!r}, expected {' or '.join(NOISES)}; leave it out for none"
        for name in ("sir_db", "snr_db"):
            level = getattr(self, name)
            if level is not None and not (_is_number(level) and abs(level) <= LOUDEST_DB):
                return f"{name} is {level!r}, expected a number of dB between {-LOUDEST_DB:g} and {LOUDEST_DB:g}"
        if not _is_number(self.overlap) or not 0 < self.overlap <= 1:
            return f"overlap is {self.overlap!r}, expected a share above 0 and up to 1"
        for name in ("rir", "mixed_enrolment"):
            if not isinstance(getattr(self, name), bool):
                return f"{name} is {getattr(self, name)!r}, expected true or false"
        return None

    def _contradiction(self) -> str | None:
        if self.talkers and self.sir_db is None:
            return f"has {self.talkers} talkers but no sir_db; say how far the test speaker lies above each (dB)"
        if not self.talkers and self.sir_db is not None:
            return f"has sir_db {self.sir_db:g} but no talkers; set talkers to 1 or {MOST_INTERFERERS}, or leave sir_db out"
        if self.noise is not None and self.snr_db is None:
            return f"has {self.noise} noise but no snr_db; say how far the test speaker lies above it (dB)"
        if self.noise is None and self.snr_db is not None:
            return f"has snr_db {self.snr_db:g} but no noise; set noise to {' or '.join(NOISES)}, or leave snr_db out"
        if self.overlap < 1 and not self.talkers:
            return (
                f"has overlap {self.overlap:g} but no talkers; set talkers to 1 or {MOST_INTERFERERS}, or leave it out"
            )
        if self.mixed_enrolment and not self.degraded:
            return "has mixed_enrolment but nothing to mix; add talkers, noise or rir, or leave it out"
        if self.name == CLEAN_NAME and self.degraded:
            return "is not clean; rename it"
        return None


CLEAN = Condition(CLEAN_NAME)

STANDARD: tuple[Condition, ...] = (
    CLEAN,
    *(Condition(f"{kind} noise {snr:g} dB", noise=kind, snr_db=snr) for kind in NOISES for snr in (10.0, 5.0, 0.0)),
    Condition("rir", rir=True),
    *(Condition(f"talker {sir:g} dB", talkers=1, sir_db=sir) for sir in (10.0, 5.0, 0.0, -5.0)),
    Condition("two talkers 0 dB", talkers=2, sir_db=0.0),
    Condition("talker + noise + rir", talkers=1, sir_db=5.0, noise="other", snr_db=10.0, rir=True),
)
"""The conditions of the benchmark, also in examples/csc/conditions.yaml. The levels of the last one are our choice."""


def read_conditions(path: str | Path) -> tuple[Condition, ...]:
    """Conditions of a YAML file: a list of mappings with the fields of `Condition`. Fields that are left out have defaults.

    InputError, naming file and line: unreadable, another form, an unknown or faulty field, two conditions with one name, or
    two that differ only in their names.
    """
    entries, lines = _parse(path, "\n".join(read_lines(path)))
    conditions: list[Condition] = []
    for entry, line in zip(entries, lines, strict=True):
        try:
            condition = _condition(entry)
            for other, other_line in zip(conditions, lines, strict=False):
                _require_another(condition, other, other_line)
        except InputError as error:
            raise InputError(f"{path}:{line}: {error}") from error
        conditions.append(condition)
    return tuple(conditions)


class _Loader(yaml.SafeLoader):
    """YAML as Hydra reads it: a key may appear once only, 1e3 is a number, a date is text. No aliases: few can stand for much."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            problem = "found an alias, which stands for another part of the file"
            raise yaml.composer.ComposerError(None, None, problem, self.peek_event().start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):  # the base class complains of the others
                if key in keys:
                    problem = f"found duplicate key {key}"
                    raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
                keys.add(key)
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _parse(path: str | Path, text: str) -> tuple[list[Any], list[int]]:
    """Entries of the list in a file, and the line on which each entry begins."""
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        entries = None if root is None else loader.construct_document(root)
    except RecursionError:
        raise InputError(f"{path}: is nested too deeply; expected a list of conditions") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{path}{line}: is not YAML ({error.problem}); mend this line") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path}: is not YAML that can be read ({str(error).splitlines()[0]}); mend it") from error
    if not isinstance(entries, list) or not entries:
        raise InputError(
            f"{path}: holds no list of conditions; expected lines such as `- {{name: clean}}`, one for each"
        )
    return entries, [node.start_mark.line + 1 for node in root.value]


def _condition(entry: Any) -> Condition:
    known = [field.name for field in fields(Condition)]
    if not isinstance(entry, dict):
        raise InputError(f"found {entry!r}, expected a condition such as {{name: talker 5 dB, talkers: 1, sir_db: 5}}")
    unknown = [key for key in entry if key not in known]
    if unknown:
        raise InputError(
            f"has the unknown field {unknown[0]!r}, expected some of {', '.join(known)}; mend its spelling"
        )
    if "name" not in entry:
        raise InputError("is a condition without a name; add the field name")
    return Condition(**entry)


def _require_another(condition: Condition, other: Condition, line: int) -> None:
    if condition.name == other.name:
        raise InputError(f"condition {condition.name!r} is on line {line} already; rename one")
    own, theirs = ([getattr(one, field.name) for field in fields(one)[1:]] for one in (condition, other))
    if own == theirs:
        raise InputError(
            f"condition {condition.name!r} is that of line {line} ({other.name!r}) under another name; change one, or "
            "take it out"
        )
