"""What a preparation says at its end, on a terminal and in its report file."""

from collections.abc import Mapping, Sequence

from csc_fairseq.corpora.preparation import Recording

REPORT = "report.txt"


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
