"""Errors of turns against a reference: DER and JER, as pyannote.metrics computes them.

DER, the diarization error rate: missed speech, false alarms and speech given to another talker, as a share of the reference's
speech; above 1 where false alarms abound. A collar of 0.25 s leaves out so much on each side of every boundary of the reference,
as in the evaluations of NIST. JER, the Jaccard error rate of DIHARD: every talker counts alike, however little they speak.
"""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from csc_fairseq.data.rttm import Turn, read_rttm
from csc_fairseq.errors import InputError

if TYPE_CHECKING:
    from pyannote.core import Annotation

COLLARS = (0.0, 0.25)  # seconds on each side of a boundary
ROUNDING = 0.05  # seconds that a reference may be beyond the recording's end, as annotations are rounded
REMEDY = "pip install 'csc-fairseq[diarization]'"


@dataclass(frozen=True)
class ErrorSeconds:
    """Seconds of error by one way to count DER. collar: seconds on each side of a boundary. overlap: whether it is counted."""

    collar: float
    overlap: bool
    total: float
    missed: float
    false_alarm: float
    confusion: float

    @property
    def wrong(self) -> float:
        """All errors."""
        return self.missed + self.false_alarm + self.confusion

    @property
    def der(self) -> float:
        """All errors as a share of the reference's speech; without any, 1 if there are errors."""
        return self.wrong / self.total if self.total else float(self.wrong > 0)

    @property
    def name(self) -> str:
        """The way to count, in words."""
        return f"collar {self.collar:g} s, {'with' if self.overlap else 'without'} overlap"


@dataclass(frozen=True)
class Score:
    """Errors by the four ways to count, and the Jaccard error rate (collar 0, with overlap)."""

    errors: tuple[ErrorSeconds, ...]
    jer: float

    def text(self) -> str:
        """A table in %, for a terminal."""
        rows: list[tuple[str, ...]] = [("", "DER", "missed", "false alarm", "confusion")]
        for one in self.errors:
            parts = [one.missed, one.false_alarm, one.confusion]
            rates = [one.der, *(part / one.total if one.total else 0.0 for part in parts)]
            rows.append((one.name, *(f"{100 * rate:.1f} %" for rate in rates)))
        lines = ["".join([f"  {row[0]:30}", *(f"{cell:>13}" for cell in row[1:])]) for row in rows]
        return "\n".join([*lines, f"  {'JER':30}{f'{100 * self.jer:.1f} %':>13}"])


class Scorer:
    """Scores recordings one by one, and all of them together: seconds of error over seconds of speech of all.

    InputError if pyannote.metrics cannot be imported.
    """

    def __init__(self) -> None:
        _pyannote_metrics()
        self._errors: list[tuple[ErrorSeconds, ...]] = []
        self._jaccard: list[tuple[float, float]] = []

    def add(self, reference: Sequence[Turn], found: Sequence[Turn], seconds: float) -> Score:
        """The score of one recording of so many seconds; see `diarization_errors`."""
        errors, jaccard = diarization_errors(reference, found, seconds)
        self._errors.append(errors)
        self._jaccard.append(jaccard)
        return Score(errors, _rate(jaccard))

    def total(self) -> Score:
        """The score of all recordings so far. ValueError if there is none."""
        if not self._errors:
            raise ValueError("no recording was scored")
        return Score(
            tuple(_sum(one_way) for one_way in zip(*self._errors, strict=True)),
            _rate(tuple(map(sum, zip(*self._jaccard, strict=True)))),
        )


def _sum(errors: Sequence[ErrorSeconds]) -> ErrorSeconds:
    """All by one way to count."""
    seconds = [(one.total, one.missed, one.false_alarm, one.confusion) for one in errors]
    return ErrorSeconds(errors[0].collar, errors[0].overlap, *map(sum, zip(*seconds, strict=True)))


def _rate(jaccard: tuple[float, ...]) -> float:
    wrong, talkers = jaccard
    return wrong / talkers if talkers else 0.0


def diarization_errors(
    reference: Sequence[Turn], found: Sequence[Turn], seconds: float
) -> tuple[tuple[ErrorSeconds, ...], tuple[float, float]]:
    """Errors by the four ways to count, and the sum over talkers of the Jaccard error rate with their number.

    By pyannote.metrics, over a recording of so many seconds. The names of talkers are free: the best mapping of them counts.
    InputError if pyannote.metrics cannot be imported.
    """
    errors = [error_seconds(reference, found, seconds, *way) for way in product(COLLARS, (True, False))]
    parts = _metric("JaccardErrorRate", {}, reference, found, seconds)
    return tuple(errors), (parts["speaker error"], parts["speaker count"])


def error_seconds(
    reference: Sequence[Turn], found: Sequence[Turn], seconds: float, collar: float = 0.0, overlap: bool = True
) -> ErrorSeconds:
    """One way to count DER; see `diarization_errors`."""
    # Their collar is the whole width around a boundary.
    settings = {"collar": 2 * collar, "skip_overlap": not overlap}
    parts = _metric("DiarizationErrorRate", settings, reference, found, seconds)
    counted = (parts[name] for name in ("total", "missed detection", "false alarm", "confusion"))
    return ErrorSeconds(collar, overlap, *counted)


def _metric(
    name: str, settings: Mapping[str, Any], reference: Sequence[Turn], found: Sequence[Turn], seconds: float
) -> dict[str, float]:
    """The components of a metric of pyannote."""
    metric = getattr(_pyannote_metrics(), name)(**settings)
    from pyannote.core import Segment, Timeline

    whole = Timeline([Segment(0, seconds)])
    parts = metric(annotation(reference), annotation(found), uem=whole, detailed=True)
    return {part: float(value) for part, value in parts.items()}


def _pyannote_metrics() -> ModuleType:
    try:
        return importlib.import_module("pyannote.metrics.diarization")
    except ImportError as error:
        raise InputError(f"DER and JER: pyannote.metrics cannot be imported ({error}); {REMEDY}") from error


def annotation(turns: Sequence[Turn]) -> "Annotation":
    """Turns in the form of pyannote."""
    from pyannote.core import Annotation, Segment

    made = Annotation()
    for number, turn in enumerate(turns):
        made[Segment(turn.start, turn.end), number] = turn.talker
    return made


def read_references(paths: Sequence[Path], seconds: Mapping[str, float]) -> dict[str, list[Turn]]:
    """The reference of every recording, by file id.

    Args:
        paths: RTTM files; turns of other recordings than the asked ones are left out.
        seconds: length of each recording by the file id that it must have.

    Raises:
        InputError: faulty RTTM, no turns of a recording, a recording in two files, a turn beyond a recording's end.
    """
    found: dict[str, list[Turn]] = {}
    places: dict[str, Path] = {}
    for path in paths:
        for file_id, turns in read_rttm(path).items():
            if not turns:
                continue  # all are without duration
            if file_id in found and file_id in seconds:
                raise InputError(f"{path}: has turns of {file_id}, as {places[file_id]} has; give one of them")
            found[file_id], places[file_id] = turns, path
    for file_id, length in seconds.items():
        if file_id not in found:
            others = ", ".join(sorted(found)[:3]) or "none"
            raise InputError(
                f"{', '.join(map(str, paths))}: has no turns of {file_id}, file ids there: {others}; give the RTTM of this "
                "recording, whose file id is the recording's name without its ending"
            )
        last = max(found[file_id], key=lambda turn: turn.end)
        if last.end > length + ROUNDING:
            raise InputError(
                f"{places[file_id]}: {last.talker} speaks until {last.end:.2f} s, but {file_id} ends at {length:.2f} s; "
                "is it the RTTM of another recording?"
            )
    return {file_id: found[file_id] for file_id in seconds}
