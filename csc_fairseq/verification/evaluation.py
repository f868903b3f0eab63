"""One encoder on one list of trials, clean and under interference: embeddings, then scores.

The same trials, interferers, crops, noises and rooms run through every condition and every encoder, so differences are
paired.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from csc_fairseq.errors import InputError
from csc_fairseq.verification.conditions import Condition
from csc_fairseq.verification.embedding import Embedded
from csc_fairseq.verification.normalisation import Cohort, normalised_scores
from csc_fairseq.verification.runner import EmbeddingRunner
from csc_fairseq.verification.scoring import (
    assigned_stream_scores,
    best_stream_scores,
    enrolled,
    sound_with_mixed_enrolment,
)
from csc_fairseq.verification.trials import TrialList

CLEAN = Condition("clean")
TEST_SPEAKER, FIRST_INTERFERER = 0, 1


@dataclass(frozen=True)
class Scores:
    """Scores of all trials under one condition: float32 [n], higher means more alike.

    best: of the most similar stream, the headline. normalised: likewise, after score normalisation; None without a
    cohort. oracle: of the test speaker's own stream; wrong: of the first interferer's. si_snri, sdri: mean improvement,
    dB. The last four are None where nothing was mixed or separated. Trials that a mixed enrolment spoils are NaN in all.
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
    """
    enrolments = sorted({recording for recordings in trials.models for recording in recordings})
    tests = sorted(set(trials.test.tolist()))
    groups = runner.material.pool.groups

    def voices(condition: Condition) -> np.ndarray:
        found = runner.embedded(condition, "enrolment", enrolments)
        return enrolled(scattered(found, enrolments, len(groups)).streams[:, 0], trials.models)

    clean, results = voices(CLEAN), {}
    for condition in conditions:
        voice = voices(condition) if condition.mixed_enrolment else clean
        found = scattered(runner.embedded(condition, "test", tests), tests, len(groups))
        if found.streams.shape[-1] != voice.shape[-1]:
            raise InputError(
                f"encoder {runner.encoder.name}: its enrolments have {voice.shape[-1]} channels, its test recordings "
                f"{found.streams.shape[-1]}; expected the same space"
            )
        judged = np.isfinite(found.si_snri)
        separated = judged.any()
        scores = Scores(
            best=best_stream_scores(voice, found, trials),
            normalised=normalised_scores(voice, found.streams, trials.enrol, trials.test, cohort) if cohort else None,
            oracle=assigned_stream_scores(voice, found, trials, TEST_SPEAKER) if separated else None,
            wrong=assigned_stream_scores(voice, found, trials, FIRST_INTERFERER) if separated else None,
            si_snri=float(found.si_snri[judged].mean()) if separated else None,
            sdri=float(found.sdri[judged].mean()) if separated else None,
        )
        if condition.mixed_enrolment and condition.talkers:
            spoilt = ~sound_with_mixed_enrolment(trials, groups, condition.talkers)
            for own in (scores.best, scores.normalised, scores.oracle, scores.wrong):
                if own is not None:
                    own[spoilt] = np.nan
        results[condition.name] = scores
    return results


def scattered(embedded: Embedded, recordings: Sequence[int], total: int) -> Embedded:
    """Rows of some recordings put to their places among all of a manifest; the others are empty."""

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
    return enrolled(utterances, [pool.members(group) for group in range(pool.group_count)])
