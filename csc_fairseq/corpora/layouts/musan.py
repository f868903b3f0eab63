"""MUSAN (openslr.org/17; Snyder et al., 2015): noise/source/noise-source-number.wav, and music and speech in the same way."""

from collections.abc import Sequence
from pathlib import Path

from csc_fairseq.corpora.corpus import Corpus, Part, recordings_at, require_folder
from csc_fairseq.corpora.preparation import Recording

PARTS = ("noise", "music", "speech")


def read(root: Path, parts: Sequence[str] = ("noise",)) -> Corpus:
    """A manifest for each of the parts, without labels. InputError: one is not there."""
    splits = {}
    for part in sorted(set(parts)):
        require_folder(root / part, f"{part}/SOURCE/{part}-SOURCE-0000.wav")
        splits[part] = [Recording(name, 0) for name, _ in recordings_at(root, part, "SOURCE/FILE", ("wav",))]
    left = [part for part in PARTS if part not in splits]
    return Corpus([Part(root, splits)], notes=[f"left out, not in --part: {', '.join(left)}"] if left else [])
