"""Adaptive symmetric score normalisation (AS-norm): scores relative to the scores of a cohort of other speakers.

Each side of a trial is scored against the cohort. The mean and deviation of its top_k highest cohort scores normalise the
trial's score. The two results, one for each side, are averaged. (Matejka et al. 2017, "Analysis of score normalization in
multilingual speaker recognition", AS-norm1: each side is adapted to its own neighbours. The adaptive symmetric form is from
Cumani et al. 2011, "Comparison of speaker recognition approaches for real applications".)

The cohort is one embedding per training speaker or recording. It never contains the speakers that are reported.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from csc_fairseq.errors import InputError

CELLS_PER_BLOCK = 4_000_000  # numbers in an array: 32 MB


@dataclass(frozen=True)
class Cohort:
    """Embeddings to compare with.

    Args:
        embeddings: [K, E], unit norm.
        top_k: how many of the highest cohort scores are used, at least 2.

    Raises:
        InputError: top_k is less than 2 or more than K.
    """

    embeddings: npt.NDArray[np.floating]
    top_k: int

    def __post_init__(self) -> None:
        if not 2 <= self.top_k <= len(self.embeddings):
            raise InputError(
                f"top_k of score normalisation is {self.top_k}, expected 2 to {len(self.embeddings)}, the size of the cohort"
            )

    def statistics(
        self, embeddings: npt.NDArray[np.floating]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Mean and deviation, each [...], of the top_k highest cosines of each embedding [..., E] with the cohort.

        The deviation divides by top_k. InputError if a deviation is 0.
        """
        rows = embeddings.reshape(-1, embeddings.shape[-1]).astype(np.float64)
        cohort = self.embeddings.astype(np.float64).T
        means, deviations = np.empty((2, len(rows)))
        block = max(1, CELLS_PER_BLOCK // cohort.shape[1])
        for start in range(0, len(rows), block):
            cosines = rows[start : start + block] @ cohort
            top = np.partition(cosines, -self.top_k, axis=1)[:, -self.top_k :]
            means[start : start + block], deviations[start : start + block] = top.mean(axis=1), top.std(axis=1)
        flat = int(np.count_nonzero(deviations <= 1e-12))
        if flat:
            raise InputError(
                f"{flat} of {len(rows)} embeddings have the same cosine with all {self.top_k} nearest of the cohort; "
                "the cohort needs distinct recordings"
            )
        return means.reshape(embeddings.shape[:-1]), deviations.reshape(embeddings.shape[:-1])


def as_norm(
    scores: npt.ArrayLike,
    enrol_statistics: tuple[npt.ArrayLike, npt.ArrayLike],
    test_statistics: tuple[npt.ArrayLike, npt.ArrayLike],
) -> npt.NDArray[np.float64]:
    """Normalised scores: (score - mean) / deviation, averaged over the (mean, deviation) of both sides. All broadcast."""
    sides = [(np.subtract(scores, mean) / deviation) for mean, deviation in (enrol_statistics, test_statistics)]
    return np.asarray((sides[0] + sides[1]) / 2, dtype=np.float64)


def normalised_scores(
    voices: npt.NDArray[np.floating],
    streams: npt.NDArray[np.floating],
    enrol: npt.NDArray[np.int64],
    test: npt.NDArray[np.int64],
    cohort: Cohort,
) -> npt.NDArray[np.float32]:
    """Normalised score of the best stream of every trial, float32 [n].

    Every stream has its own statistics and is normalised before the best one is chosen. Otherwise a stream of noise, which
    is similar to many voices, could win (our choice).

    Args:
        voices: [m, E], enrolled models, unit norm.
        streams: [N, C, E], test recordings, unit norm. Rows that are in no trial may have any values.
        enrol: [n], index into voices.
        test: [n], index into streams.
        cohort: the other speakers.

    Raises:
        InputError: as `Cohort.statistics`.
    """
    models, enrol = np.unique(enrol, return_inverse=True)
    recordings, test = np.unique(test, return_inverse=True)
    voices, streams = voices[models], streams[recordings]
    voice_means, voice_deviations = cohort.statistics(voices)
    stream_means, stream_deviations = cohort.statistics(streams)
    scores = np.empty(len(enrol), dtype=np.float32)
    block = max(1, CELLS_PER_BLOCK // streams[0].size) if len(streams) else 1
    for start in range(0, len(scores), block):
        one, other = enrol[start : start + block], test[start : start + block]
        cosines = np.einsum("ne,nce->nc", voices[one], streams[other], dtype=np.float64)
        of_voice = voice_means[one, None], voice_deviations[one, None]
        of_streams = stream_means[other], stream_deviations[other]
        scores[start : start + block] = as_norm(cosines, of_voice, of_streams).max(axis=1)
    return scores
