"""Errors of turns against a reference: DER and JER, as pyannote.metrics computes them.

DER, the diarization error rate: missed speech, false alarms and speech given to another talker, as a share of the reference's
speech; above 1 where false alarms abound. A collar of 0.25 s leaves out so much on each side of every boundary of the reference,
as in the evaluations of NIST. JER, the Jaccard error rate of DIHARD: every talker counts alike, however little they speak.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from csc_fairseq.data.rttm import Turn, read_rttm
from csc_fairseq.errors import InputError

if TYPE_CHECKING:
    from pyannote.core import Annotation

COLLARS = (0.0, 0.25)  # seconds on each side of a boundary
ROUNDING = 0.05  # seconds that a reference may be beyond the recording's end, as annotations are rounded
REMEDY = "pip install 'csc-fairseq[diarization]'"


@dataclass(frozen=True)
class Errors:
    """Rates of one way to count, as shares of the reference's speech (0 to 1, false alarms and der also above).

    collar: seconds on each side of a boundary. overlap: whether stretches in which several talk are counted.
    """

    collar: float
    overlap: bool
    der: float
    missed: float
    false_alarm: float
    confusion: float

    @property
    def name(self) -> str:
        """The way to count, in words."""
        return f"collar {self.collar:g} s, {'with' if self.overlap else 'without'} overlap"


@dataclass(frozen=True)
class Score:
    """Errors by the four ways to count, and the Jaccard error rate (collar 0, with overlap)."""

    errors: tuple[Errors, ...]
    jer: float

    def text(self) -> str:
        """A table in %, for a terminal."""
        rows: list[tuple[str, ...]] = [("", "DER", "missed", "false alarm", "confusion")]
        for one in self.errors:
            rates = (one.der, one.missed, one.false_alarm, one.confusion)
            rows.append((one.name, *(f"{100 * rate:.1f} %" for rate in rates)))
        lines = ["".join([f"  {row[0]:30}", *(f"{cell:>13}" for cell in row[1:])]) for row in rows]
        return "\n".join([*lines, f"  {'JER':30}{f'{100 * self.jer:.1f} %':>13}"])


class Scorer:
    """Scores recordings one by one, and all of them together: seconds of error over seconds of speech of all.

    InputError if pyannote.metrics cannot be imported.
    """

    def __init__(self) -> None:
        try:
            from pyannote.metrics.diarization import DiarizationErrorRate, JaccardErrorRate
        except ImportError as error:
            raise InputError(f"DER and JER: pyannote.metrics cannot be imported ({error}); {REMEDY}") from error
        # Their collar is the whole width around a boundary.
        self._rates = {
            (collar, overlap): DiarizationErrorRate(collar=2 * collar, skip_overlap=not overlap)
            for collar, overlap in product(COLLARS, (True, False))
        }
        self._jaccard = JaccardErrorRate()

    def add(self, reference: Sequence[Turn], found: Sequence[Turn], seconds: float) -> Score:
        """The score of one recording of so many seconds. The names of talkers are free: the best mapping of them counts."""
        from pyannote.core import Segment, Timeline

        truth, guess, whole = annotation(reference), annotation(found), Timeline([Segment(0, seconds)])
        errors = [_errors(*way, metric(truth, guess, uem=whole, detailed=True)) for way, metric in self._rates.items()]
        return Score(tuple(errors), float(self._jaccard(truth, guess, uem=whole)))

    def total(self) -> Score:
        """The score of all recordings so far. ValueError if there is none."""
        if not self._jaccard.results_:
            raise ValueError("no recording was scored")
        errors = [
            _errors(*way, {**metric.accumulated_, metric.name: abs(metric)}) for way, metric in self._rates.items()
        ]
        return Score(tuple(errors), float(abs(self._jaccard)))


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


def _errors(collar: float, overlap: bool, seconds: Mapping[str, float]) -> Errors:
    """From the components of pyannote: seconds, and the rate."""
    total = seconds["total"]
    missed, false_alarm, confusion = (
        seconds[name] / total if total else 0.0 for name in ("missed detection", "false alarm", "confusion")
    )
    return Errors(collar, overlap, float(seconds["diarization error rate"]), missed, false_alarm, confusion)
