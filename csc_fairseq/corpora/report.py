"""What a preparation says at its end, on a terminal and in its report file."""

from collections.abc import Mapping, Sequence

from csc_fairseq.corpora.preparation import Recording

REPORT = "report.txt"


def summary(splits: Mapping[str, Sequence[Recording]], sample_rate: int) -> list[str]:
    """Lines of a table: speakers, sessions (if any are known), recordings and hours of every split."""
    known = any(recording.session for recordings in splits.values() for recording in recordings)
    sessions = f" {'sessions':>9}" if known else ""
    rows = [f"{'split':<12} {'speakers':>9}{sessions} {'recordings':>11} {'hours':>8}"]
    for split, recordings in splits.items():
        hours = sum(recording.frames for recording in recordings) / sample_rate / 3600
        speakers = len({recording.speaker for recording in recordings} - {""})
        sessions = f" {len({recording.session for recording in recordings} - {''}):>9}" if known else ""
        rows.append(f"{split:<12} {speakers:>9}{sessions} {len(recordings):>11} {hours:>8.2f}")
    return rows


def gender_table(splits: Mapping[str, Sequence[Recording]]) -> list[str]:
    """Lines of a table of speakers with the column gender, as `csc trials --speaker-table` reads it."""
    genders = {recording.speaker: recording.gender for recordings in splits.values() for recording in recordings}
    return ["speaker\tgender", *(f"{speaker}\t{gender}" for speaker, gender in sorted(genders.items()))]
