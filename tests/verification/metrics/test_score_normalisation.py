"""AS-norm against a loop over trials, by hand, and by what it is for."""

import numpy as np
import pytest

from csc_fairseq.errors import InputError
from csc_fairseq.verification.metrics import score_normalisation as normalisation
from csc_fairseq.verification.metrics.error_rates import eer
from csc_fairseq.verification.metrics.score_normalisation import Cohort, as_norm, normalised_scores


def unit(rng, *shape):
    vectors = rng.normal(size=shape)
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def loop(voices, streams, enrol, test, cohort, top_k):
    """One trial, one stream, one cohort member at a time."""
    scores = []
    for model, recording in zip(enrol, test, strict=True):
        best = -np.inf
        for stream in streams[recording]:
            sides = []
            for embedding in (voices[model], stream):
                top = sorted((float(np.dot(embedding, other)) for other in cohort), reverse=True)[:top_k]
                mean = sum(top) / top_k
                deviation = (sum((score - mean) ** 2 for score in top) / top_k) ** 0.5
                sides.append((float(np.dot(voices[model], stream)) - mean) / deviation)
            best = max(best, sum(sides) / 2)
        scores.append(best)
    return scores


@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize("top_k", [5, 40])
def test_equals_a_loop(streams, top_k, monkeypatch):
    rng = np.random.default_rng(0)
    voices, tests, cohort = unit(rng, 6, 8), unit(rng, 9, streams, 8), unit(rng, 40, 8)
    enrol, test = rng.integers(6, size=50), rng.integers(1, 9, size=50)
    expected = loop(voices, tests, enrol, test, cohort, top_k)
    found = normalised_scores(voices, tests, enrol, test, Cohort(cohort, top_k))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-4)
    monkeypatch.setattr(normalisation, "CELLS_PER_BLOCK", 130)  # three rows of the cohort at once
    np.testing.assert_allclose(normalised_scores(voices, tests, enrol, test, Cohort(cohort, top_k)), found, atol=1e-6)


def test_by_hand():
    # Cosines of (1, 0) with the cohort: 0.8, 0.6, 0, -1; the two highest have mean 0.7 and deviation 0.1.
    cohort = Cohort(np.array([[0.8, 0.6], [0, 1], [-1, 0], [0.6, -0.8]]), 2)
    mean, deviation = cohort.statistics(np.array([[[1.0, 0.0]], [[0.0, 1.0]]]))
    np.testing.assert_allclose(mean, [[0.7], [0.8]])  # (0, 1): 1 and 0.6
    np.testing.assert_allclose(deviation, [[0.1], [0.2]])
    assert as_norm(0.9, (0.7, 0.1), (0.8, 0.2)) == pytest.approx((2 + 0.5) / 2)
    streams = np.array([[[0.0, 1.0], [1.0, 0.0]]])
    # Against the voice (1, 0): cosine 0 with the first stream, (-7 - 4) / 2, and 1 with the second, (3 + 3) / 2.
    one = np.zeros(1, dtype=np.int64)
    assert normalised_scores(np.array([[1.0, 0.0]]), streams, one, one, cohort) == pytest.approx(3, rel=1e-5)


def test_streams_are_normalised_before_the_best_is_chosen():
    """The first stream has the higher cosine, but a high cosine with all of the cohort too. The second is special."""
    voice = np.array([[1.0, 0.0, 0.0]])
    streams = np.array([[[0.8, 0.6, 0.0], [0.7, 0.0, np.sqrt(0.51)]]])
    angles = np.array([0.3, 0.6, 0.9, 1.2])
    cohort = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    one = np.zeros(1, dtype=np.int64)
    singles = [normalised_scores(voice, streams[:, [stream]], one, one, Cohort(cohort, 4))[0] for stream in range(2)]
    assert singles[1] > singles[0]
    assert normalised_scores(voice, streams, one, one, Cohort(cohort, 4)) == pytest.approx(max(singles))


def test_is_symmetric_and_ignores_the_order_of_the_cohort():
    rng = np.random.default_rng(1)
    voices, tests, cohort = unit(rng, 10, 8), unit(rng, 10, 8), unit(rng, 30, 8)
    numbers = np.arange(10)
    scores = normalised_scores(voices, tests[:, None], numbers, numbers, Cohort(cohort, 10))
    exchanged = normalised_scores(tests, voices[:, None], numbers, numbers, Cohort(cohort[::-1], 10))
    np.testing.assert_allclose(scores, exchanged, atol=1e-5)


def test_mends_scores_that_recordings_shift():
    """Test recordings share a direction to different degrees, as channels make them: normalising takes it out."""
    rng = np.random.default_rng(2)
    speakers, channel = rng.normal(size=(60, 32)), np.eye(32)[0]

    def recordings(voices):
        vectors = voices + 0.6 * rng.normal(size=voices.shape) + rng.uniform(0, 10, (len(voices), 1)) * channel
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    voices, tests = recordings(speakers), recordings(speakers)
    cohort = Cohort(recordings(rng.normal(size=(300, 32))), 50)
    enrol, test = np.indices((60, 60)).reshape(2, -1)
    raw = np.einsum("ne,ne->n", voices[enrol], tests[test])
    scores = normalised_scores(voices, tests[:, None], enrol, test, cohort)
    same = enrol == test
    assert eer(scores[same], scores[~same]) < 0.75 * eer(raw[same], raw[~same])


def test_recordings_that_no_trial_names_may_be_empty():
    rng = np.random.default_rng(3)
    tests = np.concatenate([np.zeros((1, 2, 8), dtype=np.float32), unit(rng, 2, 2, 8)])
    trials = np.array([0, 1]), np.array([1, 2])
    assert np.isfinite(normalised_scores(unit(rng, 2, 8), tests, *trials, Cohort(unit(rng, 20, 8), 5))).all()


@pytest.mark.parametrize("top_k", [1, 21])
def test_bad_size(top_k):
    with pytest.raises(InputError, match=f"top_k of score normalisation is {top_k}, expected 2 to 20"):
        Cohort(unit(np.random.default_rng(0), 20, 8), top_k)


def test_cohort_of_one_recording_many_times():
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="3 of 3 embeddings have the same cosine with all 4 nearest"):
        Cohort(np.repeat(unit(rng, 1, 8), 6, axis=0), 4).statistics(unit(rng, 3, 8))
