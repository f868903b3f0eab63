"""WSJ0-2mix (Hershey et al., ICASSP 2016), as the scripts of MERL, create-speaker-mixtures, and pywsj0-mix write it.

``2speakers/wav8k/min/tr/mix/01aa010b_0.97482_209a010p_-0.97482.wav`` with the sources of the same name in ``s1`` and ``s2``; the
other rate is wav16k, the other mode max. A name has both utterances of WSJ0, each with its level in dB; an utterance begins with
three characters for its speaker. ``tr`` and ``cv`` share their speakers, so cv is what this package calls valid; ``tt`` has others.
"""

import re
from pathlib import Path

from csc_fairseq.corpora.corpus import require_folder
from csc_fairseq.corpora.mixtures import FixedMixture, files_in, folder_of, incomplete
from csc_fairseq.errors import InputError

SPLITS = {"tr": "train", "cv": "valid", "tt": "test"}
PUBLISHED = {"tr": 20000, "cv": 5000, "tt": 3000}  # mixtures
_LEVEL = r"_-?\d+(?:\.\d+)?(?:e-?\d+)?"
_NAME = re.compile(rf"([0-9a-z]{{3}})[0-9a-z]{{5}}{_LEVEL}_([0-9a-z]{{3}})[0-9a-z]{{5}}{_LEVEL}\.wav", re.IGNORECASE)


def read(root: Path, sample_rate: int, mode: str) -> tuple[list[FixedMixture], list[str]]:
    """Mixtures of tr, cv and tt as far as they are there, and notes. InputError: no such folders, or another kind of name."""
    folder = folder_of(root, "2speakers/", sample_rate, mode)
    there = [part for part in SPLITS if (root / folder / part).is_dir()]
    if not there:
        raise InputError(f"{root / folder}: has none of the folders {', '.join(SPLITS)}; expected those of WSJ0-2mix")
    mixtures, notes, origins = [], [f"mixtures: {mode}, {sample_rate} Hz"], []
    for part in there:
        place = f"{folder}/{part}"
        require_folder(root / place / "mix", "the mixtures of WSJ0-2mix, beside their sources s1 and s2")
        names = files_in(root, f"{place}/mix")
        mixtures += [_mixture(root, place, SPLITS[part], name) for name in names]
        origins += [part] * len(names)
    notes += incomplete(origins, PUBLISHED)
    if missing := [part for part in SPLITS if part not in there]:
        notes.append(f"not there: {', '.join(missing)}")
    return mixtures, notes


def _mixture(root: Path, place: str, split: str, name: str) -> FixedMixture:
    fit = _NAME.fullmatch(name)
    if fit is None:
        raise InputError(
            f"{root / place}/mix/{name}: expected two utterances with levels, such as 01aa010b_0.97482_209a010p_-0.97482.wav; "
            "move it away"
        )
    sources = (f"{place}/s1/{name}", f"{place}/s2/{name}")
    return FixedMixture(
        f"{place}/mix/{name}", split, sources, tuple(f"wsj0/{speaker.lower()}" for speaker in fit.groups())
    )
