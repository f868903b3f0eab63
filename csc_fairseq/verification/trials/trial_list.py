"""A list of trials: which enrolled voice is compared with which test recording, and who talks over this recording."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from csc_fairseq.data.manifest import Manifest
from csc_fairseq.data.rng import generator

MOST_TRIALS = 10_000_000  # in one list: 170 MB in memory, about 1 GB as text
MOST_INTERFERERS = 2  # for one recording


@dataclass(frozen=True)
class TrialList:
    """n trials of N recordings. Recordings have their numbers in the manifest.

    models: recordings of each enrolled model, one or several, all of one speaker. enrol: int64 [n], index into models.
    test: int64 [n], recording. targets: bool [n], True for the same speaker. interferers: int64 [N, 2], for every recording
    the two recordings that talk over it when it is tested, −1 for none. Their speakers differ from its own and from each
    other, and no trial of this recording enrols one of them. names: the names of the models in a file of enrolments; empty
    if each model is one recording and has its name. dropped: number of trials in the file that were left out because the
    enrolled speaker interferes.
    """

    models: tuple[tuple[int, ...], ...]
    enrol: np.ndarray
    test: np.ndarray
    targets: np.ndarray
    interferers: np.ndarray
    names: tuple[str, ...] = ()
    dropped: int = 0

    def model_names(self, manifest: Manifest) -> tuple[str, ...]:
        """Name of every model: its name in the enrolments file, otherwise the name of its one recording."""
        return self.names or tuple(manifest.names[recordings[0]] for recordings in self.models)


def assign_interferers(speakers: npt.ArrayLike, seed: int) -> np.ndarray:
    """The recordings that talk over each recording: int64 [N, 2], −1 for none.

    The key of a recording is (seed, "interferers", its number). The draw takes one of the other speakers, all equally
    likely, then one of this speaker's recordings; then another speaker in the same way. With S speakers, S − 2 may
    interfere, at most two, because one more speaker is needed for the enrolment of non-target trials. So three speakers give
    one interferer, two speakers none.

    Args:
        speakers: [N], label or number of the speaker of every recording.
        seed: part of the key.
    """
    numbers = label_numbers(speakers)
    bounds = np.concatenate([[0], np.cumsum(np.bincount(numbers))])
    members = np.argsort(numbers, kind="stable")
    count = len(bounds) - 1
    interferers = np.full((len(numbers), MOST_INTERFERERS), -1, dtype=np.int64)
    for recording, own in enumerate(numbers.tolist()):
        rng = generator(seed, "interferers", recording)
        taken = [own]
        for place in range(min(MOST_INTERFERERS, max(count - 2, 0))):
            speaker = int(rng.integers(count - len(taken)))
            for other in sorted(taken):
                speaker += speaker >= other
            interferers[recording, place] = members[rng.integers(bounds[speaker], bounds[speaker + 1])]
            taken.append(speaker)
    return interferers


def label_numbers(labels: npt.ArrayLike) -> np.ndarray:
    """Labels as numbers, int64 [N], in the order of the sorted labels."""
    return np.unique(np.asarray(labels), return_inverse=True)[1].astype(np.int64)
