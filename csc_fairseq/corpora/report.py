"""What a preparation says at its end, on a terminal and in its report file."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from csc_fairseq.corpora.preparation import Recording
from csc_fairseq.errors import InputError
from csc_fairseq.text import read_lines

REPORT, SPEAKERS = "report.txt", "speakers.txt"
_COMMAND, _FILES = "csc prepare ", "files: "


@dataclass(frozen=True)
class Report:
    """command: the first line of a report. files: names of what was written beside it; none has a blank."""

    command: str
    files: frozenset[str]


def report_lines(kind: str, root: Path | str, text: Sequence[str], files: Iterable[str]) -> list[str]:
    """Lines of a report, by which `read_report` knows it. kind: sub-verb. files: names of all others in the folder."""
    return [f"{_COMMAND}{kind} {root}", *text, f"{_FILES}{' '.join(sorted(files))}"]


def read_report(folder: Path) -> Report | None:
    """The report of an earlier preparation in a folder; None: there is no file of this name.

    InputError: there is one, and no preparation wrote it.
    """
    path = folder / REPORT
    if not path.exists():
        return None
    lines = read_lines(path)
    if not lines or not lines[0].startswith(_COMMAND):
        raise InputError(f"{path}: is there, and `csc prepare` did not write it; choose another folder with --out")
    files = lines[-1].removeprefix(_FILES).split() if lines[-1].startswith(_FILES) else []
    return Report(lines[0], frozenset(files))


def summary(splits: Mapping[str, Sequence[Recording]], sample_rate: int) -> list[str]:
    """Lines of a table: speakers and sessions, if any are known, recordings and hours of every split."""
    recordings = [recording for own in splits.values() for recording in own]
    labels = [what for what in ("speaker", "session") if any(getattr(one, what) for one in recordings)]
    headers = "".join(f" {label}s".rjust(10) for label in labels)
    width = max([12, *map(len, splits)])
    rows = [f"{'split':<{width}}{headers} {'recordings':>11} {'hours':>8}"]
    for split, own in splits.items():
        counts = "".join(f" {len({getattr(one, label) for one in own} - {''}):>9}" for label in labels)
        hours = sum(one.frames for one in own) / sample_rate / 3600
        rows.append(f"{split:<{width}}{counts} {len(own):>11} {hours:>8.2f}")
    return rows


def gender_table(splits: Mapping[str, Sequence[Recording]]) -> list[str]:
    """Lines of a table of speakers with the column gender, as `csc trials --speaker-table` reads it."""
    genders = {recording.speaker: recording.gender for recordings in splits.values() for recording in recordings}
    return ["speaker\tgender", *(f"{speaker}\t{gender}" for speaker, gender in sorted(genders.items()))]
