"""From embeddings to the scores of trials: cosine similarity, the best stream, the oracle's stream, the wrong one."""

from collections.abc import Sequence

import numpy as np

from csc_fairseq.errors import InputError
from csc_fairseq.verification.embedding import Embedded
from csc_fairseq.verification.trials import TrialList

TRIALS_AT_ONCE = 200_000  # bounds memory: E numbers a trial and stream


def enrolled(utterances: np.ndarray, models: Sequence[Sequence[int]]) -> np.ndarray:
    """Model embeddings [m, E] of unit norm: the mean over each model's utterances (rows of [N, E], unit norm).

    InputError where the utterances of a model cancel out.
    """
    voices = np.stack([utterances[list(recordings)].mean(axis=0) for recordings in models])
    norms = np.linalg.norm(voices, axis=1, keepdims=True)
    if not norms.all():
        raise InputError(f"enrolled model {int(np.argmin(norms))}: its embeddings cancel out; check the recordings")
    return voices / norms


def best_stream_scores(voices: np.ndarray, tests: Embedded, trials: TrialList) -> np.ndarray:
    """float32 [n]: cosine of the enrolled voice and the most similar stream, for targets and non-targets alike."""
    scores = np.empty(len(trials.enrol), dtype=np.float32)
    for start in range(0, len(scores), TRIALS_AT_ONCE):
        part = slice(start, start + TRIALS_AT_ONCE)
        scores[part] = np.einsum("ne,nce->nc", voices[trials.enrol[part]], tests.streams[trials.test[part]]).max(axis=1)
    return scores


def assigned_stream_scores(voices: np.ndarray, tests: Embedded, trials: TrialList, source: int) -> np.ndarray:
    """float32 [n]: cosine of the enrolled voice and the stream of source 0 (the test speaker), 1 or 2 (the interferers).

    What an oracle would choose that has the sources before they were mixed. NaN where that source has no stream.
    """
    scores = np.full(len(trials.enrol), np.nan, dtype=np.float32)
    streams = tests.assignment[trials.test, source]
    for start in range(0, len(scores), TRIALS_AT_ONCE):
        part = np.arange(start, min(len(scores), start + TRIALS_AT_ONCE))
        part = part[streams[part] >= 0]
        chosen = tests.streams[trials.test[part], streams[part]]
        scores[part] = np.einsum("ne,ne->n", voices[trials.enrol[part]], chosen)
    return scores


def sound_with_mixed_enrolment(trials: TrialList, speakers: np.ndarray, talkers: int) -> np.ndarray:
    """Which trials still ask who speaks when `talkers` people talk over the enrolment as well; bool [n].

    Not those where somebody who talks over an enrolment is the test speaker, or talks over the test too: a voice that
    both sides share would be no reason to reject. speakers: [N], of every recording.
    """
    over = np.where(trials.interferers >= 0, speakers[trials.interferers], -1)[:, :talkers]  # [N, talkers]
    test = np.concatenate([speakers[trials.test, None], over[trials.test]], axis=1)
    most = max(len(recordings) for recordings in trials.models)
    enrolled = np.stack([np.resize(over[list(recordings)], (most * talkers)) for recordings in trials.models])
    return ~(enrolled[trials.enrol][:, :, None] == test[:, None, :]).any(axis=(1, 2))
