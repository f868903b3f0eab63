"""Who of a gallery is heard in a recording, talker by talker."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from csc_fairseq.data.audio import probe
from csc_fairseq.inference.embedding_model import EmbeddingModel


class HeardTalker(NamedTuple):
    """A talker of a recording. embedding: float32 [E], unit norm. seconds: in which they speak."""

    embedding: np.ndarray
    seconds: float


def heard_talkers(model: EmbeddingModel, file: str | Path, resample: bool = False) -> list[HeardTalker]:
    """The talkers of a recording of any length, who talks most first; none where no voice is found.

    A recording that the model can hear at once is heard so, as calibrations hear it, a longer one in windows.

    resample: see `EmbeddingModel`. InputError for what `EmbeddingModel.windows` refuses.
    """
    from csc_fairseq.inference.talkers import find_talkers  # imports scipy, which takes a second

    info = probe(file)
    if model.hears_at_once(info.frames, info.sample_rate):
        at_once = model.longest / model.sample_rate
        windows = model.windows(file, length=at_once, hop=at_once, resample=resample)
    else:
        windows = model.windows(file, resample=resample)
    found = find_talkers(windows)
    seconds = found.active.sum(axis=1) * windows.frame / windows.sample_rate
    return [HeardTalker(centre, float(own)) for centre, own in zip(found.centres, seconds, strict=True)]
