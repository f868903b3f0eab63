"""Who of a gallery is heard in a recording, talker by talker."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from csc_fairseq.data.audio import probe
from csc_fairseq.inference.embedding_model import LONG, EmbeddingModel


class HeardTalker(NamedTuple):
    """A talker of a recording. embedding: float32 [E], unit norm. seconds: in which they speak."""

    embedding: np.ndarray
    seconds: float


def heard_talkers(model: EmbeddingModel, file: str | Path, resample: bool = False) -> list[HeardTalker]:
    """The talkers of a recording of any length, who talks most first; none where nobody speaks.

    A recording up to LONG seconds is heard at once, as calibrations hear it, a longer one in windows.

    resample: see `EmbeddingModel`. InputError for what `EmbeddingModel.windows` refuses.
    """
    from csc_fairseq.inference.talkers import find_talkers  # imports scipy, which takes a second

    info = probe(file)
    if info.frames <= LONG * info.sample_rate:
        windows = model.windows(file, length=LONG, hop=LONG, resample=resample)
    else:
        windows = model.windows(file, resample=resample)
    found = find_talkers(windows)
    seconds = found.active.sum(axis=1) * windows.frame / windows.sample_rate
    return [HeardTalker(centre, float(own)) for centre, own in zip(found.centres, seconds, strict=True)]
