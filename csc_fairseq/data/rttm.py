"""Who speaks when, as RTTM: NIST's text format of diarization (Rich Transcription evaluation plan, 2009, appendix A).

A turn is a line of ten fields that blanks separate; nothing is in those that say <NA>. ::

    SPEAKER meeting 1 12.340 3.200 <NA> <NA> anna <NA> <NA>
            file      start  seconds         talker
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from csc_fairseq.data.manifest import write_lines
from csc_fairseq.errors import InputError
from csc_fairseq.text import iterate_lines, normal

SPEAKER = "SPEAKER"
FEWEST_FIELDS = 8  # the talker is the eighth; the two after it are often left out
FORM = "SPEAKER FILE 1 START SECONDS <NA> <NA> TALKER <NA> <NA>"


@dataclass(frozen=True)
class Turn:
    """One talker speaks from `start` to `end`, in seconds of the recording."""

    talker: str
    start: float
    end: float


def file_id_of(file: Path) -> str:
    """The file id of a recording: its name without ending, in the form in which names are compared. Blanks, which the format
    cannot hold, become underscores.
    """
    return "_".join(normal(file.stem).split())


def read_rttm(path: str | Path) -> dict[str, list[Turn]]:
    """Turns by file id, each in the order of their starts; empty for a file without SPEAKER lines.

    Lines of other types are skipped, such as SPKR-INFO or NOSCORE, and so are comments (;;). Names are in the form in which names
    are compared (`text.normal`). Turns without any duration are left out: some annotators write them.

    InputError, naming file and line: not readable, fields missing, a time that is no number, or a negative one.
    """
    turns: dict[str, list[Turn]] = {}
    for number, line in enumerate(iterate_lines(path), start=1):
        fields = line.split()
        if not fields or fields[0] != SPEAKER:
            continue
        try:
            file_id, turn = _parse(fields)
        except InputError as error:
            raise InputError(f"{path}:{number}: {error}") from error
        turns.setdefault(file_id, [])
        if turn.end > turn.start:
            turns[file_id].append(turn)
    return {file_id: sorted(found, key=_order) for file_id, found in turns.items()}


def _parse(fields: Sequence[str]) -> tuple[str, Turn]:
    """File id and turn of a SPEAKER line. InputError (without the file's name) if it has another form."""
    if len(fields) < FEWEST_FIELDS:
        raise InputError(f"has {len(fields)} fields, expected {FORM}")
    start, seconds = (_seconds(name, text) for name, text in zip(("start", "duration"), fields[3:5], strict=True))
    return normal(fields[1]), Turn(normal(fields[7]), start, start + seconds)


def _seconds(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise InputError(f"found the {name} {text!r}, expected seconds, 0 or more; the form is {FORM}")
    return value


def write_rttm(path: str | Path, file_id: str, turns: Iterable[Turn]) -> None:
    """Write the turns of one recording in the order of their starts, to the millisecond, whole or not at all.

    InputError: a name with a blank or without letters, which the format cannot hold; a turn that ends before it starts; a file that
    cannot be written.
    """
    write_lines(path, rttm_lines(path, file_id, turns))


def rttm_lines(path: str | Path, file_id: str, turns: Iterable[Turn]) -> list[str]:
    """Lines that `write_rttm` writes to `path`. Errors are the same."""
    return [_line(path, file_id, turn) for turn in sorted(turns, key=_order)]


def _line(path: str | Path, file_id: str, turn: Turn) -> str:
    for what, name in (("file id", file_id), ("talker", turn.talker)):
        if name.split() != [name]:
            raise InputError(f"{path}: the {what} {name!r} is empty or has blanks, which RTTM cannot hold; rename it")
    if not 0 <= turn.start <= turn.end < math.inf:
        raise InputError(f"{path}: {turn} does not end after it starts; expected seconds, 0 <= start <= end")
    # The end is rounded, not the duration, so that turns that meet still do.
    start = round(turn.start, 3)
    seconds = round(turn.end, 3) - start
    return f"{SPEAKER} {file_id} 1 {start:.3f} {seconds:.3f} <NA> <NA> {turn.talker} <NA> <NA>"


def _order(turn: Turn) -> tuple[float, float, str]:
    return turn.start, turn.end, turn.talker


def speaking_seconds(turns: Iterable[Turn]) -> tuple[float, float]:
    """Seconds in which anybody speaks, and those in which several do.

    Turns of one talker must not overlap each other; meeting is allowed.
    """
    turns = list(turns)
    anybody, several = (sum(end - start for start, end in stretches(turns, least)) for least in (1, 2))
    return anybody, several


def stretches(turns: Iterable[Turn], least: int) -> list[tuple[float, float]]:
    """(start, end) in seconds of the stretches in which at least so many turns are, one or more; those that meet are one."""
    found: list[tuple[float, float]] = []
    speaking, since = 0, 0.0
    for time, step in sorted(edge for turn in turns for edge in ((turn.start, 1), (turn.end, -1))):
        if speaking >= least and time > since:
            if found and found[-1][1] == since:
                found[-1] = (found[-1][0], time)
            else:
                found.append((since, time))
        speaking, since = speaking + step, time
    return found
