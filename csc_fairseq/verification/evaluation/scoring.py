"""One encoder on one list of trials, clean and under interference: from embeddings to cosines.

Trials, interferers, crops, noises and rooms are the same for every condition and every encoder, so differences are
paired.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from csc_fairseq.errors import InputError
from csc_fairseq.verification.evaluation.embedding import Embedded
from csc_fairseq.verification.evaluation.embedding_runner import EmbeddingRunner
from csc_fairseq.verification.metrics.score_normalisation import Cohort, normalised_scores
from csc_fairseq.verification.trials.conditions import CLEAN, Condition
from csc_fairseq.verification.trials.trial_list import TrialList

TEST_SPEAKER, FIRST_INTERFERER = 0, 1
TRIALS_AT_ONCE = 200_000  # bounds memory: E numbers a trial and stream


@dataclass(frozen=True)
class Scores:
    """Scores of all trials under one condition: float32 [n], higher means more alike.

    best: of the most similar stream, the headline. normalised: the same after score normalisation; None without a
    cohort. oracle: of the test speaker's own stream. wrong: of the first interferer's stream. si_snri, sdri: mean
    improvement, dB. The last four are None where nothing was mixed or separated. A trial that a mixed enrolment spoils
    (`sound_with_mixed_enrolment`) is NaN in all of them.
    """

    best: np.ndarray
    normalised: np.ndarray | None
    oracle: np.ndarray | None
    wrong: np.ndarray | None
    si_snri: float | None
    sdri: float | None


def score_encoder(
    runner: EmbeddingRunner, trials: TrialList, conditions: Sequence[Condition], cohort: Cohort | None = None
) -> dict[str, Scores]:
    """Scores of the runner's encoder, by condition.

    Args:
        runner: embeds.
        trials: what is compared.
        conditions: what the test side goes through, and the enrolment side where `mixed_enrolment` says so.
        cohort: for score normalisation; None for none.

    Raises:
        InputError: enrolments and test recordings have embeddings of different sizes; the embeddings of a model cancel
            out; an encoder refuses a recording.
    """
    enrolments = sorted({recording for recordings in trials.models for recording in recordings})
    tests = sorted(set(trials.test.tolist()))
    groups = runner.material.pool.groups

    def voices(condition: Condition) -> np.ndarray:
        found = runner.embedded(condition, "enrolment", enrolments)
        return enrolled(placed_in_manifest(found, enrolments, len(groups)).streams[:, 0], trials.models)

    clean, results = voices(CLEAN), {}
    for condition in conditions:
        voice = voices(condition) if condition.mixed_enrolment else clean
        found = placed_in_manifest(runner.embedded(condition, "test", tests), tests, len(groups))
        if found.streams.shape[-1] != voice.shape[-1]:
            raise InputError(
                f"encoder {runner.encoder.name}: its enrolments have {voice.shape[-1]} channels, its test recordings "
                f"{found.streams.shape[-1]}; expected the same space"
            )
        separated = np.isfinite(found.si_snri)
        any_separated = separated.any()
        scores = Scores(
            best=best_stream_scores(voice, found, trials),
            normalised=normalised_scores(voice, found.streams, trials.enrol, trials.test, cohort) if cohort else None,
            oracle=assigned_stream_scores(voice, found, trials, TEST_SPEAKER) if any_separated else None,
            wrong=assigned_stream_scores(voice, found, trials, FIRST_INTERFERER) if any_separated else None,
            si_snri=float(found.si_snri[separated].mean()) if any_separated else None,
            sdri=float(found.sdri[separated].mean()) if any_separated else None,
        )
        if condition.mixed_enrolment and condition.talkers:
            spoilt = ~sound_with_mixed_enrolment(trials, groups, condition.talkers)
            for own in (scores.best, scores.normalised, scores.oracle, scores.wrong):
                if own is not None:
                    own[spoilt] = np.nan
        results[condition.name] = scores
    return results


def placed_in_manifest(embedded: Embedded, recordings: Sequence[int], total: int) -> Embedded:
    """Rows of some recordings at their places among all recordings of a manifest; the other rows are empty."""

    def place(rows: np.ndarray, empty: float) -> np.ndarray:
        full = np.full((total, *rows.shape[1:]), empty, dtype=rows.dtype)
        full[list(recordings)] = rows
        return full

    return Embedded(
        place(embedded.streams, 0),
        place(embedded.assignment, -1),
        place(embedded.si_snri, np.nan),
        place(embedded.sdri, np.nan),
    )


def embed_speakers(runner: EmbeddingRunner) -> np.ndarray:
    """Mean embedding of every speaker of the runner's material, clean: [speakers, E], unit norm."""
    pool = runner.material.pool
    utterances = runner.embedded(CLEAN, "enrolment", range(len(pool))).streams[:, 0]
    return enrolled(utterances, [pool.members(group).tolist() for group in range(pool.group_count)])


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

    The stream was assigned by an oracle that has the sources before they were mixed. NaN where the source has no stream.
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
    """Which trials make sense when `talkers` people talk over the enrolment as well; bool [n].

    A trial does not if somebody who talks over an enrolment is the test speaker, or talks over the test too: then both
    sides share a voice, whoever was enrolled. speakers: [N], of every recording.
    """
    over = np.where(trials.interferers >= 0, speakers[trials.interferers], -1)[:, :talkers]  # [N, talkers]
    test = np.concatenate([speakers[trials.test, None], over[trials.test]], axis=1)
    most = max(len(recordings) for recordings in trials.models)
    enrolled = np.stack([np.resize(over[list(recordings)], (most * talkers)) for recordings in trials.models])
    return ~(enrolled[trials.enrol][:, :, None] == test[:, None, :]).any(axis=(1, 2))
