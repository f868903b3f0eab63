"""The voice that is looked for."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from csc_fairseq.decisions.enrolment import enrolment_of
from csc_fairseq.decisions.gallery import Voice
from csc_fairseq.inference.embedding_model import EmbeddingModel


def enrolled_voice(model: EmbeddingModel, files: Sequence[str | Path], resample: bool = False) -> np.ndarray:
    """The mean of the voices of one or several recordings, float32 [E], unit norm; each recording counts alike.

    InputError: a recording that `enrolment_of` refuses, one below half a second for instance, or voices that cancel out.
    """
    found = tuple(enrolment_of(model, file, resample) for file in files)
    return Voice(Path(files[0]).stem, found).centre
