"""From embeddings to scores: by hand, one trial at a time, in blocks of any size, and with an encoder that knows tones."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from csc_fairseq.data.pool import RecordingPool
from csc_fairseq.data.rendering import render
from csc_fairseq.errors import InputError
from csc_fairseq.verification.evaluation import embedding, scoring
from csc_fairseq.verification.evaluation.embedding import Embedded, without_separation
from csc_fairseq.verification.evaluation.embedding_runner import EmbeddingRunner
from csc_fairseq.verification.evaluation.scoring import (
    assigned_stream_scores,
    best_stream_scores,
    embed_speakers,
    enrolled,
    score_encoder,
    sound_with_mixed_enrolment,
)
from csc_fairseq.verification.metrics.error_rates import eer
from csc_fairseq.verification.metrics.score_normalisation import Cohort
from csc_fairseq.verification.trials.condition_plans import plan
from csc_fairseq.verification.trials.conditions import CLEAN, Condition
from csc_fairseq.verification.trials.material import Material
from csc_fairseq.verification.trials.trial_list import TrialList
from tests.verification.evaluation.tones import (
    BOTH,
    FAINT,
    GROUPS,
    LOUD,
    NOISY,
    RATE,
    SPEAKER_LABELS,
    SPEAKERS,
    TWO,
    VOICES,
    ToneEncoder,
    amplitudes,
)


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
    found = best_stream_scores(voices, without_separation(streams), trial_list([0, 1, 0, 1], [0, 0, 1, 1]))
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


def rate(scores, trials):
    return eer(scores[trials.targets], scores[~trials.targets])


def test_an_encoder_of_streams_is_perfect_and_one_of_single_embeddings_is_not(material, trials):
    streams = score_encoder(EmbeddingRunner(ToneEncoder(streams=3), material), trials, [CLEAN, LOUD, TWO])
    single = score_encoder(EmbeddingRunner(ToneEncoder(), material), trials, [CLEAN, FAINT, LOUD, TWO])
    assert list(streams) == ["clean", LOUD.name, TWO.name]
    assert [rate(found.best, trials) for found in streams.values()] == [0, 0, 0]
    clean, faint, loud, two = (rate(found.best, trials) for found in single.values())
    assert clean == 0 and 0 < faint < loud and loud > 0.3 and two > 0.3
    for found in single.values():
        assert (found.oracle, found.wrong, found.si_snri, found.sdri) == (None, None, None, None)


def test_the_oracle_stream_is_the_test_speakers_and_the_wrong_one_the_interferers(material, trials):
    """By the waveforms, whichever of the two is the louder: the order of streams follows the level here."""
    found = score_encoder(EmbeddingRunner(ToneEncoder(streams=2), material), trials, [CLEAN, FAINT, LOUD])
    assert (found["clean"].oracle, found["clean"].wrong, found["clean"].si_snri) == (None, None, None)
    enrolled = VOICES[GROUPS[trials.enrol]]
    tested, interfering = VOICES[GROUPS[trials.test]], VOICES[GROUPS[trials.interferers[trials.test, 0]]]
    for condition in (FAINT, LOUD):
        scores = found[condition.name]
        np.testing.assert_allclose(scores.oracle, (enrolled * tested).sum(axis=1), atol=1e-6)
        np.testing.assert_allclose(scores.wrong, (enrolled * interfering).sum(axis=1), atol=1e-6)
        np.testing.assert_allclose(scores.best, np.maximum(scores.oracle, scores.wrong), atol=1e-6)
        assert scores.si_snri > 5 and scores.sdri > 5
    # An assignment by embeddings instead of waveforms would not notice that these are exchanged.
    swapped = ToneEncoder(streams=2)
    swapped.test = lambda waveforms: replace(found := ToneEncoder(2).test(waveforms), streams=found.streams[:, ::-1])
    scores = score_encoder(EmbeddingRunner(swapped, material), trials, [LOUD])[LOUD.name]
    np.testing.assert_allclose(scores.wrong, (enrolled * tested).sum(axis=1), atol=1e-6)


class OneTrialAtATime:
    """Scores from single recordings: rendered one by one, embedded one by one, compared one by one."""

    def __init__(
        self, encoder: ToneEncoder, material: Material, models: tuple[tuple[int, ...], ...], cohort: Cohort
    ) -> None:
        self.encoder, self.material, self.models, self.cohort = encoder, material, models, cohort
        self.pool = RecordingPool(material.pool.manifest, SPEAKER_LABELS, {}, RATE)
        self.embedding = cache(self.embed)

    def embed(self, condition: Condition, recording: int, side: str) -> np.ndarray:
        """[E] of an enrolment, [C, E] of a test recording."""
        others, noises, rirs = self.material.interferers[recording], self.material.noises, self.material.rirs
        drawn = plan(condition, self.pool, recording, others, 3, side, 8000, noises, rirs)
        assert drawn.frames == min(8000, self.pool.frames[recording])
        samples = render(drawn, self.pool, noises["other"], rirs).samples
        return self.encoder.enrol([samples])[0] if side == "enrolment" else self.encoder.test([samples]).streams[0]

    def voice(self, condition: Condition, model: int) -> np.ndarray:
        """[E] of an enrolled model."""
        heard = condition if condition.mixed_enrolment else CLEAN
        voice = sum(self.embedding(heard, recording, "enrolment") for recording in self.models[model])
        return voice / np.linalg.norm(voice)

    def best(self, condition: Condition, model: int, test: int) -> float:
        """The highest cosine with a stream."""
        voice = self.voice(condition, model)
        return max(float(voice @ row) for row in self.embedding(condition, test, "test"))

    def normalised(self, condition: Condition, model: int, test: int) -> float:
        """The highest normalised cosine with a stream: against the cohort's statistics of both sides, averaged."""
        voice, found = self.voice(condition, model), []
        for row in self.embedding(condition, test, "test"):
            sides = [self._against_cohort(side) for side in (voice, row)]
            found.append(sum((voice @ row - mean) / spread for mean, spread in sides) / 2)
        return max(found)

    def _against_cohort(self, row: np.ndarray) -> tuple[float, float]:
        """Mean and deviation of the highest cosines."""
        cosines = sorted((float(row @ other) for other in self.cohort.embeddings), reverse=True)
        return np.mean(cosines[: self.cohort.top_k]), np.std(cosines[: self.cohort.top_k])

    def is_spoilt(self, condition: Condition, model: int, test: int) -> bool:
        """Whether somebody who talks over the enrolment is heard in the test."""
        first = self.material.interferers[:, 0]
        over_enrolment = {GROUPS[first[recording]] for recording in self.models[model]}
        return condition.mixed_enrolment and bool(over_enrolment & {GROUPS[test], GROUPS[first[test]]})


@pytest.mark.parametrize("streams", [None, 2])
def test_scores_are_those_written_out(material, monkeypatch, streams):
    """Every score a second time, one trial at a time; models of one to three recordings."""
    monkeypatch.setattr(embedding, "PORTION", 4)
    models = ((0,), (3, 4, 5), (7, 6), (10,), (15, 17))
    pairs = [(model, test) for model in range(5) for test in range(1, 17) if test not in models[model]]
    enrol, test = np.array(pairs).T
    own = np.array([GROUPS[recordings[0]] for recordings in models])
    trials = TrialList(models, enrol, test, own[enrol] == GROUPS[test], material.interferers)
    cohort = Cohort(np.random.default_rng(0).dirichlet(np.ones(3), 8).astype(np.float32), 5)
    encoder, conditions = ToneEncoder(streams), [CLEAN, LOUD, NOISY, BOTH]
    results = score_encoder(EmbeddingRunner(encoder, material), trials, conditions, cohort)
    single = OneTrialAtATime(encoder, material, models, cohort)

    for condition in conditions:
        found = results[condition.name]
        spoilt = np.array([single.is_spoilt(condition, *pair) for pair in pairs])
        for i, pair in enumerate(pairs):
            if not spoilt[i]:
                assert found.best[i] == pytest.approx(single.best(condition, *pair), abs=1e-5)
                assert found.normalised[i] == pytest.approx(single.normalised(condition, *pair), rel=1e-4, abs=1e-4)
        np.testing.assert_array_equal(np.isnan(found.best), spoilt)
        assert np.isnan(found.normalised[spoilt]).all()
        assert 5 < spoilt.sum() < 50 if condition is BOTH else not spoilt.any()
        if streams and condition is BOTH:
            assert np.isnan([found.oracle[spoilt], found.wrong[spoilt]]).all()


def test_what_is_heard_has_the_level_asked_for(material):
    """The encoder's ears: the test speaker's tone against what is left, at each SIR, and whose tone that is."""
    heard = []
    encoder = ToneEncoder()
    encoder.test = lambda waveforms: heard.extend(waveforms) or ToneEncoder().test(waveforms)
    tests = np.arange(18)
    trials = TrialList(((0,),), np.zeros(18, dtype=int), tests, GROUPS == 0, material.interferers)
    levels = [Condition(f"SIR {sir:g} dB", talkers=1, sir_db=sir) for sir in (7.0, 0.0, -10.0)]
    score_encoder(EmbeddingRunner(encoder, material), trials, levels)
    assert len(heard) == 3 * 18
    interfering = material.interferers[:, 0]
    for number, samples in enumerate(heard):
        condition, recording = levels[number // 18], number % 18
        frames = min(8000, int(material.pool.frames[recording]))
        assert len(samples) == frames
        _, heard_tones = amplitudes(samples)
        own = heard_tones[GROUPS[recording]].astype(np.float64)
        rest = samples - own
        other = int(interfering[recording])
        assert np.argmax(amplitudes(rest)[0]) == GROUPS[other]
        extent = min(frames, int(material.pool.frames[other]))
        sir = 10 * np.log10(np.square(own).mean() / (np.square(rest).sum() / extent))
        assert sir == pytest.approx(condition.sir_db, abs=0.05)


def test_speakers_of_a_cohort_are_the_means_of_their_recordings(material):
    encoder = ToneEncoder()
    found = embed_speakers(EmbeddingRunner(encoder, material))
    assert found.shape == (SPEAKERS, 3) and encoder.seen == len(GROUPS)
    for speaker in range(SPEAKERS):
        recordings = [material.render(CLEAN, i, "enrolment").samples for i in np.flatnonzero(GROUPS == speaker)]
        mean = encoder.enrol(recordings).mean(axis=0)
        np.testing.assert_allclose(found[speaker], mean / np.linalg.norm(mean), atol=1e-6)
