"""LibriSpeech (openslr.org/12; Panayotov et al., ICASSP 2015): subset/speaker/chapter/speaker-chapter-number.flac.

Mini LibriSpeech (openslr.org/31), parts of two of its subsets, has the same layout.

Its README.TXT describes the layout. SPEAKERS.TXT has lines ``id | sex | subset | minutes | name`` and comments after ``;``. A name
may hold bars itself. The subsets' names begin with their roles: train, dev, test.
"""

from collections.abc import Sequence
from pathlib import Path

from csc_fairseq.corpora.corpus import UNKNOWN, Corpus, Part, by_split, choose_subsets, gender_of, recordings_at
from csc_fairseq.corpora.preparation import Recording
from csc_fairseq.corpora.transcripts import FILES
from csc_fairseq.errors import InputError
from csc_fairseq.text import read_lines

SUBSETS = (
    "train-clean-100",
    "train-clean-360",
    "train-other-500",
    "dev-clean",
    "dev-other",
    "test-clean",
    "test-other",
    "train-clean-5",
    "dev-clean-2",
)
SPEAKERS = "SPEAKERS.TXT"


def read(root: Path, subsets: Sequence[str] = ()) -> Corpus:
    """Recordings of the given subsets, or of all that are there. Session: the chapter.

    InputError: none of the subsets is there, a given one is not, a file lies elsewhere than the layout says.
    """
    chosen, left = choose_subsets(root, subsets, SUBSETS, "give the folder LibriSpeech that holds them as ROOT")
    genders = _genders(root / SPEAKERS)
    pairs = []
    for subset in chosen:
        for name, (speaker, chapter, _) in recordings_at(root, subset, "SPEAKER/CHAPTER/FILE"):
            label = f"librispeech/{speaker}"
            recording = Recording(name, 0, label, f"{label}/{chapter}", genders.get(speaker, UNKNOWN))
            pairs.append((subset.partition("-")[0], recording))
    notes = [f"subsets: {', '.join(chosen)}", *left]
    if not genders:
        notes.append(f"no {root / SPEAKERS}: no .gender files")
    # Of subsets with transcripts and others without, manifests would have half of a .txt file.
    transcripts = all(any((root / subset).glob(f"*/*/{FILES}")) for subset in chosen)
    if not transcripts:
        notes.append("no *.trans.txt files in some subset: no .txt files")
    labels = ("spk", "session", "gender") if genders else ("spk", "session")
    return Corpus([Part(root, by_split(pairs))], labels, transcripts, notes=notes)


def _genders(path: Path) -> dict[str, str]:
    """Gender by speaker; empty without the file."""
    if not path.is_file():
        return {}
    found = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip() or line.startswith(";"):
            continue
        fields = [field.strip() for field in line.split("|", 4)]
        if len(fields) < 3 or not fields[0].isdecimal():
            raise InputError(
                f"{path}:{number}: found {line!r}, expected `id | sex | subset | minutes | name`; restore the file"
            )
        found[fields[0]] = gender_of(fields[1])
    return found
