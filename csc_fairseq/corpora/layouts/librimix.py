"""LibriMix (github.com/JorisCos/LibriMix; Cosentino et al., arXiv 2005.11262), as its scripts write Libri2Mix and Libri3Mix.

``wav8k/min/test/mix_clean/61-70968-0000_8455-210777-0012.wav`` with the sources of the same name in ``s1``, ``s2``, (``s3``) and
the noise in ``noise``; the other rate is wav16k, the other mode max. ``mix_both`` has noise too, ``mix_single`` is the first
source with noise. The names are LibriSpeech's utterances, which begin with their speakers.
``wav8k/min/metadata/mixture_test_mix_clean.csv`` has a row a mixture: mixture_ID, paths on the machine that made them, length.
"""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from csc_fairseq.corpora.corpus import choose_subsets, require_folder
from csc_fairseq.corpora.mixtures import FixedMixture, files_in, folder_of, incomplete
from csc_fairseq.corpora.tables import read_table
from csc_fairseq.errors import InputError

SUBSETS = ("train-100", "train-360", "dev", "test")
KINDS = ("mix_clean", "mix_both", "mix_single")
PUBLISHED = {
    2: {"train-100": 13900, "train-360": 50800, "dev": 3000, "test": 3000},
    3: {"train-100": 9300, "train-360": 33900, "dev": 3000, "test": 3000},
}  # mixtures
_UTTERANCE = re.compile(r"(\d+)-\d+-\d+")


def read(
    root: Path, sample_rate: int, mode: str, kind: str, subsets: Sequence[str] = ()
) -> tuple[list[FixedMixture], list[str]]:
    """Mixtures of the given subsets, or of all that are there, and notes. Both train subsets are split train.

    Speakers are named as by `csc prepare librispeech`. InputError: a folder is missing, a name is not of utterances, the table
    names a mixture that is not there.
    """
    folder = folder_of(root, "", sample_rate, mode)
    chosen, left = choose_subsets(root / folder, subsets, SUBSETS, "generate it, or choose others with --subsets")
    mixtures, notes, origins = [], [f"mixtures: {kind}, {mode}, {sample_rate} Hz"], []
    for subset in chosen:
        place = f"{folder}/{subset}"
        require_folder(
            root / place / kind, f"mixtures of Libri2Mix or Libri3Mix; choose another --kind of {', '.join(KINDS)}"
        )
        names = files_in(root, f"{place}/{kind}")
        notes += _compare(root, root / folder / "metadata" / f"mixture_{subset}_{kind}.csv", f"{place}/{kind}", names)
        mixtures += [_mixture(root, place, kind, subset.partition("-")[0], name) for name in names]
        origins += [subset] * len(names)
    for one in mixtures:
        if len(one.sources) != len(mixtures[0].sources):
            raise InputError(
                f"{root / one.name}: has {len(one.sources)} talkers, but {root / mixtures[0].name} has {len(mixtures[0].sources)}; "
                "keep Libri2Mix and Libri3Mix apart"
            )
    notes += incomplete(origins, PUBLISHED.get(len(_talkers(mixtures[0].name)), {}))
    return mixtures, [*notes, *left]


def _mixture(root: Path, place: str, kind: str, split: str, name: str) -> FixedMixture:
    """place: the folder of the subset below root."""
    talkers = _talkers(name)
    if len(talkers) < 2:
        raise InputError(
            f"{root / place / kind / name}: expected names of utterances such as 103-1240-0003_1235-135887-0017.wav; move it away"
        )
    speakers = [f"librispeech/{talker}" for talker in talkers[: 1 if kind == "mix_single" else None]]
    sources = tuple(f"{place}/s{number}/{name}" for number, _ in enumerate(speakers, start=1))
    return FixedMixture(f"{place}/{kind}/{name}", split, sources, tuple(speakers))


def _talkers(name: str) -> list[str]:
    """LibriSpeech's numbers of the talkers in a mixture of this path; none if it is not named by utterances."""
    fits = [_UTTERANCE.fullmatch(part) for part in PurePosixPath(name).stem.split("_")]
    return [fit[1] for fit in fits if fit] if all(fits) else []


def _compare(root: Path, table: Path, folder: str, names: Sequence[str]) -> list[str]:
    """Notes on what a table of mixtures, if it is there, says of those in a folder."""
    if not table.is_file():
        return [f"no {table}: nothing says whether all mixtures are there"]
    known = set(names)
    rows = read_table(table, ("mixture_ID", "length"))
    for row in rows:
        if (name := f"{row.cells['mixture_ID']}.wav") not in known:
            raise InputError(
                f"{table}:{row.line}: no file {root / folder / name}; expected all mixtures of the table; "
                "generate it, or remove the row"
            )
    listed = {f"{row.cells['mixture_ID']}.wav" for row in rows}
    surplus = sorted(known - listed)
    return [f"not in {table}: {len(surplus)} mixtures, such as {surplus[0]}"] if surplus else []
