"""Lists of trials that come with a corpus, as lists of the names that its manifests have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from csc_fairseq.corpora.preparation import Recording
from csc_fairseq.errors import InputError
from csc_fairseq.text import iterate_lines


@dataclass(frozen=True)
class Trials:
    """One published list.

    source: its file. split: the manifest that should have its recordings. trials: (whether both are one speaker, enrolment, test),
    recordings by their names in the manifest; those that are not there, by any other name.
    """

    source: Path
    split: str
    trials: Sequence[tuple[bool, str, str]]

    @property
    def recordings(self) -> set[str]:
        """Names of all recordings that it compares."""
        return {name for _, *pair in self.trials for name in pair}


def read_pairs(path: Path, form: str, label: int) -> list[tuple[bool, str, str]]:
    """(whether both are one speaker, first name, second name) of the lines of a list.

    form: of a line, for the message. label: which of the three fields is 1 or 0. InputError, naming file and line: another form.
    """
    pairs = []
    for number, line in enumerate(iterate_lines(path), start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 3 or fields[label] not in ("1", "0"):
            raise InputError(f"{path}:{number}: found {line!r}, expected {form}; restore the list")
        same = fields.pop(label) == "1"
        pairs.append((same, fields[0], fields[1]))
    return pairs


def trial_files(
    lists: Mapping[str, Trials], splits: Mapping[str, Sequence[Recording]]
) -> tuple[dict[str, list[str]], list[str]]:
    """Lines `1 enrolment test` (or 0, the form of VoxCeleb's lists) by the name of the file, and what to say about every list.

    A list with a recording that its manifest lacks is left out: error rates of half a list compare with nothing.
    """
    files, notes = {}, []
    for name, published in lists.items():
        known = {recording.name for recording in splits.get(published.split, ())}
        used = published.recordings
        if missing := sorted(used - known):
            notes.append(
                f"left out, {published.source}: {len(missing)} of its {len(used)} recordings are not in {published.split}.tsv, "
                f"such as {missing[0]}"
            )
            continue
        files[name] = [f"{same:d} {enrolment} {test}" for same, enrolment, test in published.trials]
        notes.append(f"{name}: {len(files[name])} trials of {published.split}.tsv, from {published.source}")
    return files, notes
