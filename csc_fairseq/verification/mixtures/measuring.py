"""How well a model separates fixed mixtures, measured piece by piece, so that an interrupted evaluation goes on."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from csc_fairseq.data.audio import is_silent
from csc_fairseq.data.fixed_mixtures import FixedMixtures
from csc_fairseq.data.rendering import Mixture
from csc_fairseq.digests import stamp_digest
from csc_fairseq.errors import InputError
from csc_fairseq.inference.embedding_model import EmbeddingModel
from csc_fairseq.verification.evaluation.kept_values import KeptValues
from csc_fairseq.verification.metrics.separation_quality import separation_quality

PIECE = 32  # mixtures; an interruption loses no more
TAPS = 512  # of the SDR's filter: BSS-eval's own number, with which published figures were made at any rate


def measure(model: EmbeddingModel, mixtures: FixedMixtures, index: int) -> tuple[float, float]:
    """(SI-SNRi, SDRi) of a mixture in dB, mean over its talkers.

    Above 12 s the model looks for as many talkers as there are sources. Where it finds fewer, each talker has the best stream, see
    `assign_streams`. InputError, naming file and line: unreadable or silent files, sources of another length, a mixture too short
    for the model.
    """
    samples, sources = mixtures.load(index, model.sample_rate)
    for file, source in zip(mixtures.files(index), sources, strict=True):
        if is_silent(source):
            raise InputError(
                f"{mixtures.place(index)}: {file} is digitally silent, expected a talker; leave this mixture out"
            )
    absent = np.full(mixtures.count, -1)
    mixture = Mixture(samples, sources, absent, absent, np.ones(mixtures.count, dtype=bool))
    try:
        estimates = model.separate(samples, talkers=mixtures.count)
        found = separation_quality(estimates, mixture, model.sample_rate, TAPS)
    except InputError as error:
        raise InputError(f"{mixtures.manifest.path}:{index + 2}: {error}") from error
    return found.si_snri, found.sdri


def _measure_all(model: EmbeddingModel, mixtures: FixedMixtures, piece: range) -> list[tuple[float, float]]:
    return [measure(model, mixtures, index) for index in piece]


class MeasuredPieces(KeptValues):
    """A folder of what was measured, piece by piece."""

    def measured(
        self, model: EmbeddingModel, mixtures: FixedMixtures, told: Callable[[int], object] = lambda count: None
    ) -> np.ndarray:
        """float64 [N, 2], SI-SNRi and SDRi of every mixture, as kept or measured now. told: is called with the size of a piece."""
        rows: list[list[float]] = []
        for first in range(0, len(mixtures), PIECE):
            piece = range(first, min(first + PIECE, len(mixtures)))
            rows += self.value(self._path(mixtures, piece), partial(_measure_all, model, mixtures, piece))
            told(len(piece))
        return np.array(rows)

    def _path(self, mixtures: FixedMixtures, piece: range) -> Path:
        """By the model and the files, by their size and time."""
        files = [file for i in piece for file in (mixtures.manifest.file(i), *mixtures.files(i))]
        return self.path([str(file) for file in files], stamp_digest(files))
