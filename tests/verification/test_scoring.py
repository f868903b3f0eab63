"""From embeddings to scores: by hand, one trial at a time, and in blocks of any size."""

import numpy as np
import pytest

from csc_fairseq.errors import InputError
from csc_fairseq.verification import scoring
from csc_fairseq.verification.embedding import Embedded, unjudged
from csc_fairseq.verification.scoring import (
    assigned_stream_scores,
    best_stream_scores,
    enrolled,
    sound_with_mixed_enrolment,
)
from csc_fairseq.verification.trials import TrialList


def unit_rows(rng: np.random.Generator, *shape: int) -> np.ndarray:
    rows = rng.standard_normal(shape)
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def trial_list(enrol, test, models=None, interferers=None) -> TrialList:
    """Trials of models (recordings themselves, if not given); targets do not matter here."""
    enrol, test = np.array(enrol), np.array(test)
    count = 1 + max(enrol.max(), test.max())
    models = models or tuple((i,) for i in range(count))
    interferers = np.full((count, 2), -1) if interferers is None else np.array(interferers)
    return TrialList(models, enrol, test, np.zeros(len(enrol), dtype=bool), interferers)


def test_a_model_is_the_mean_of_its_utterances():
    utterances = np.array([[1, 0], [0, 1], [0.6, 0.8], [-1, 0]], dtype=np.float32)
    # (1, 1) / √2, (0.6, 0.8), and (1.6, 1.8) / √(1.6² + 1.8²) = (1.6, 1.8) / √5.8
    found = enrolled(utterances, [(0, 1), (2,), (0, 1, 2)])
    np.testing.assert_allclose(found, [[0.5**0.5] * 2, [0.6, 0.8], np.array([1.6, 1.8]) / 5.8**0.5], rtol=1e-6)
    assert found.dtype == np.float32
    with pytest.raises(InputError, match="enrolled model 1: its embeddings cancel out"):
        enrolled(utterances, [(2,), (0, 3)])


def test_the_best_stream_by_hand():
    voices = np.array([[1, 0, 0], [0, 1, 0]], dtype=np.float32)
    streams = np.array([[[0.6, 0.8, 0], [0, 0, 1]], [[-1, 0, 0], [-0.6, 0, 0.8]]], dtype=np.float32)
    found = best_stream_scores(voices, unjudged(streams), trial_list([0, 1, 0, 1], [0, 0, 1, 1]))
    # The second stream of recording 1 is the more similar one to voice 0, and both are alike to voice 1.
    np.testing.assert_allclose(found, [0.6, 0.8, -0.6, 0], rtol=1e-6)
    assert found.dtype == np.float32


def test_the_stream_of_a_source_by_hand():
    voices = np.array([[1, 0], [0, 1]], dtype=np.float32)
    streams = np.array([[[0.6, 0.8], [0.8, -0.6]], [[1, 0], [0, 1]], [[-1, 0], [0, -1]]], dtype=np.float32)
    assignment = np.array([[1, 0, -1], [0, 0, -1], [-1, -1, -1]])  # swapped; one stream for both; nothing separated
    tests = Embedded(streams, assignment, *np.zeros((2, 3)))
    trials = trial_list([0, 1, 0, 1, 0], [0, 0, 1, 1, 2])
    np.testing.assert_allclose(assigned_stream_scores(voices, tests, trials, 0), [0.8, -0.6, 1, 0, np.nan], rtol=1e-6)
    np.testing.assert_allclose(assigned_stream_scores(voices, tests, trials, 1), [0.6, 0.8, 1, 0, np.nan], rtol=1e-6)
    assert np.isnan(assigned_stream_scores(voices, tests, trials, 2)).all()


@pytest.mark.parametrize("at_once", [1, 7, 40, 100])
def test_blocks_change_nothing(monkeypatch, at_once):
    """Against a loop over trials."""
    rng = np.random.default_rng(0)
    voices, streams = unit_rows(rng, 6, 5), unit_rows(rng, 9, 3, 5)
    assignment = rng.integers(-1, 3, size=(9, 3))
    tests = Embedded(streams, assignment, *np.zeros((2, 9)))
    trials = trial_list(rng.integers(6, size=40), rng.integers(9, size=40))
    monkeypatch.setattr(scoring, "TRIALS_AT_ONCE", at_once)
    pairs = list(zip(trials.enrol, trials.test, strict=True))
    best = [max(float(voices[one] @ stream) for stream in streams[other]) for one, other in pairs]
    np.testing.assert_allclose(best_stream_scores(voices, tests, trials), best, atol=1e-6)
    for source in range(3):
        own = [
            float(voices[one] @ streams[other, assignment[other, source]]) if assignment[other, source] >= 0 else np.nan
            for one, other in pairs
        ]
        np.testing.assert_allclose(assigned_stream_scores(voices, tests, trials, source), own, atol=1e-6)


def test_who_spoils_a_mixed_enrolment_by_hand():
    """Speakers A B C D E, one recording each; who talks over whom: A: C, D. B: D, C. C: E, A. D: A, B. E: B, D."""
    speakers = np.arange(5)
    interferers = [[2, 3], [3, 2], [4, 0], [0, 1], [1, 3]]
    pairs = [(0, 1), (0, 2), (0, 3), (0, 4), (1, 0), (1, 4), (4, 0)]
    trials = trial_list(*zip(*pairs, strict=True), interferers=interferers)
    # With one talker A + C is heard for A, B + D for B, C + E, D + A, E + B.
    # (A, B): {C} and {B, D}. (A, C): C is tested. (A, D): {C}, {D, A}. (A, E): {C}, {E, B}. (B, A): {D}, {A, C}.
    # (B, E): {D}, {E, B}: B is the enrolled speaker, which lists leave out, not somebody who talks over. (E, A): {B}, {A, C}.
    one = sound_with_mixed_enrolment(trials, speakers, 1)
    assert one.tolist() == [True, False, True, True, True, True, True]
    # With two: (A, B) share C and D, (A, C) and (A, D) test one of them, (A, E) share D, (B, A) share D and C,
    # (B, E) share D, (E, A): {B, D} and {A, C, D} share D.
    assert not sound_with_mixed_enrolment(trials, speakers, 2).any()


def test_mixed_enrolment_of_models_of_any_size():
    """Against sets, trial by trial."""
    rng = np.random.default_rng(1)
    speakers = np.repeat(np.arange(12), 3)
    interferers = np.array([rng.choice(36, 2, replace=False) for _ in range(36)])
    interferers[rng.integers(36, size=4), 1] = -1
    models = tuple(
        tuple(int(i) for i in range(start, start + size)) for start, size in ((0, 1), (3, 3), (7, 2), (12, 1))
    )
    trials = trial_list(np.repeat(np.arange(4), 36), np.tile(np.arange(36), 4), models, interferers)
    shares = []
    for talkers in (1, 2):
        expected = []
        for one, other in zip(trials.enrol, trials.test, strict=True):
            over = {speakers[i] for recording in models[one] for i in interferers[recording, :talkers] if i >= 0}
            heard = {speakers[i] for i in (other, *interferers[other, :talkers]) if i >= 0}
            expected.append(not over & heard)
        # A recording with one talker cannot be mixed with two, so that trials of those do not occur.
        whole = (interferers[trials.test, :talkers] >= 0).all(axis=1)
        found = sound_with_mixed_enrolment(trials, speakers, talkers)
        np.testing.assert_array_equal(found[whole], np.array(expected)[whole])
        shares.append(found.mean())
    assert 0.1 < shares[1] < shares[0] < 0.9
