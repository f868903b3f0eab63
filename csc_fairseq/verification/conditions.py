"""Conditions of a verification test: what is done to the test recordings, and to the enrolment where that is asked for.

A condition names kinds and levels only. Who interferes, where, and with which noise and room, is drawn by
condition_plans.py, alike for all conditions.
"""

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from csc_fairseq.errors import InputError
from csc_fairseq.verification.trials import MOST_INTERFERERS

NOISES = ("stationary", "other")
LEVELS = ("sir_db", "snr_db", "overlap")
LOUDEST_DB = 100.0  # a level further from 0 lies below one step of a 16-bit file
CLEAN_NAME = "clean"
NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9 ._+-]{0,62}[A-Za-z0-9])?")  # it becomes a file name and a cell of a table


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class Condition:
    """One condition. InputError, naming the condition, for values that cannot be, or that contradict each other.

    name: of the condition, unique. talkers: how many others talk over the test speaker (0, 1, 2). sir_db: test speaker
    over each of them (dB). noise: "stationary" or "other". snr_db: test speaker over the noise (dB). rir: every talker
    is heard through a room response. overlap: share of the test recording that each interferer may fill, at its start
    or end. mixed_enrolment: the enrolment goes through the same, with crops, noises and rooms of its own; else it is
    clean. All of it is our choice.
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
        for name in LEVELS:  # 5 and 5.0 are the same level, and must be the same text where settings are compared
            if getattr(self, name) is not None:
                object.__setattr__(self, name, float(getattr(self, name)))

    @property
    def degraded(self) -> bool:
        """Whether anything is done to a recording."""
        return self.talkers > 0 or self.noise is not None or self.rir

    def _faulty_value(self) -> str | None:
        if type(self.talkers) is not int or not 0 <= self.talkers <= MOST_INTERFERERS:  # True is an int to isinstance
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


STANDARD: tuple[Condition, ...] = (
    Condition(CLEAN_NAME),
    *(Condition(f"{kind} noise {snr:g} dB", noise=kind, snr_db=snr) for kind in NOISES for snr in (10.0, 5.0, 0.0)),
    Condition("rir", rir=True),
    *(Condition(f"talker {sir:g} dB", talkers=1, sir_db=sir) for sir in (10.0, 5.0, 0.0, -5.0)),
    Condition("two talkers 0 dB", talkers=2, sir_db=0.0),
    Condition("talker + noise + rir", talkers=1, sir_db=5.0, noise="other", snr_db=10.0, rir=True),
)
"""The grid of the benchmark; the levels of its last row are our choice. examples/csc/conditions.yaml is its file."""


def read_conditions(path: str | Path) -> tuple[Condition, ...]:
    """Conditions of a YAML file: a list, one mapping of the fields of `Condition` each; fields left out are defaults.

    InputError, naming file and line: unreadable, not such a list, an unknown or faulty field, two conditions of one
    name, or two that differ in their names alone.
    """
    text = _read_text(path)
    entries, lines = _parse(path, text)
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


def _read_text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8; expected a YAML file of conditions") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path of the conditions") from error


def _parse(path: str | Path, text: str) -> tuple[list[Any], list[int]]:
    """Entries of the list that a file holds, and the line on which each begins."""
    try:
        entries = OmegaConf.to_container(OmegaConf.create(text), resolve=True)
        root = yaml.compose(text, Loader=yaml.SafeLoader)  # OmegaConf forgets where things stood
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{path}{line}: is not YAML ({error.problem}); mend this line") from error
    except (yaml.YAMLError, OmegaConfBaseException) as error:
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
        raise InputError(f"condition {condition.name!r} stands on line {line} already; rename one")
    own, theirs = ([getattr(one, field.name) for field in fields(one)[1:]] for one in (condition, other))
    if own == theirs:
        raise InputError(
            f"condition {condition.name!r} is that of line {line} ({other.name!r}) under another name; change one, or "
            "take it out"
        )
