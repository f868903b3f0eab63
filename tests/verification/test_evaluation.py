"""Scores with encoders of known behaviour: speakers are tones, and an oracle tells tones apart."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import soundfile
import torch

from csc_fairseq.data.augment import NoiseBank, RirBank
from csc_fairseq.data.manifest import read_manifest, write_manifest
from csc_fairseq.data.pool import RecordingPool
from csc_fairseq.data.rendering import render
from csc_fairseq.errors import InputError
from csc_fairseq.verification import embedding
from csc_fairseq.verification.condition_plans import plan
from csc_fairseq.verification.conditions import Condition
from csc_fairseq.verification.embedding import Material
from csc_fairseq.verification.encoders.files import FileEncoder
from csc_fairseq.verification.encoders.protocol import TestEmbeddings
from csc_fairseq.verification.evaluation import CLEAN, embed_speakers, score_encoder
from csc_fairseq.verification.metrics import eer
from csc_fairseq.verification.normalisation import Cohort
from csc_fairseq.verification.runner import EmbeddingRunner, one_thread
from csc_fairseq.verification.store import EmbeddingStore
from csc_fairseq.verification.trials import TrialList, build_trials

RATE = 16000
SPEAKERS, UTTERANCES = 6, 3
TONES = 500.0 * np.arange(1, SPEAKERS + 1)  # Hz, one speaker each
# Voices that resemble each other the more the closer their numbers are; the last dimension is that of noise.
ANGLES = np.pi / 2 * np.arange(SPEAKERS) / (SPEAKERS - 1)
VOICES = np.stack([np.cos(ANGLES), np.sin(ANGLES), np.zeros(SPEAKERS)], axis=1).astype(np.float32)
NOBODY = np.array([0, 0, 1], dtype=np.float32)
FAINTEST = 0.003  # amplitude of a tone that is heard

LOUD, FAINT = (Condition(f"talker {sir:g} dB", talkers=1, sir_db=sir) for sir in (-10.0, 10.0))
TWO = Condition("two talkers", talkers=2, sir_db=0.0)
NOISY = Condition("noise and room", noise="other", snr_db=0.0, rir=True)
BOTH = Condition("both sides", talkers=1, sir_db=0.0, noise="stationary", snr_db=20.0, mixed_enrolment=True)


class ToneEncoder:
    """An encoder that knows the tones.

    With `streams` it separates: the loudest tones, the loudest first, each with its voice's embedding, or NOBODY for
    what is no tone. Without, it is deaf to who is who: one embedding, the voices' mean weighted by amplitude. seen: the
    number of recordings that it was given so far.
    """

    name, sample_rate = "tones", RATE

    def __init__(self, streams=None):
        self.streams, self.seen = streams, 0

    def enrol(self, waveforms):
        self.seen += len(waveforms)
        return np.stack([self._embeddings(self._amplitudes(waveform)[0], 1)[0] for waveform in waveforms])

    def test(self, waveforms):
        self.seen += len(waveforms)
        if self.streams is None:
            return TestEmbeddings(self.enrol(waveforms)[:, None], None)
        rows, estimates = [], []
        for waveform in waveforms:
            amplitudes, parts = self._amplitudes(waveform)
            rows.append(self._embeddings(amplitudes, self.streams))
            estimates.append(parts[self._loudest(amplitudes, self.streams)])
        return TestEmbeddings(np.stack(rows), estimates)

    def _embeddings(self, amplitudes, streams):
        if self.streams is None:
            mean = amplitudes @ VOICES
            return (mean / np.linalg.norm(mean))[None].astype(np.float32)
        return np.stack(
            [VOICES[tone] if amplitudes[tone] > FAINTEST else NOBODY for tone in self._loudest(amplitudes, streams)]
        )

    @staticmethod
    def _loudest(amplitudes, count):
        return np.argsort(-amplitudes)[:count]

    @staticmethod
    def _amplitudes(waveform):
        """Amplitudes of the tones, and the tones with these, [6, T]."""
        time = np.arange(len(waveform)) / RATE
        basis = np.exp(2j * np.pi * TONES[:, None] * time)
        weights = 2 * basis.conj() @ waveform / len(waveform)
        return np.abs(weights), (weights[:, None] * basis).real.astype(np.float32)


def write(folder, name, signals):
    """Manifest name.tsv of {file: samples}."""
    (folder / name).mkdir()
    for file, samples in signals.items():
        soundfile.write(folder / name / file, samples, RATE, subtype="FLOAT")
    write_manifest(folder / f"{name}.tsv", folder / name, [(file, len(samples)) for file, samples in signals.items()])
    return read_manifest(folder / f"{name}.tsv")


def tones():
    """{file: samples}: tones of different lengths and levels, with a little noise."""
    signals = {}
    for speaker in range(SPEAKERS):
        for utterance in range(UTTERANCES):
            samples = 4800 + 1600 * ((speaker + 2 * utterance) % 4)
            rng = np.random.default_rng([speaker, utterance])
            wave = (0.02 + 0.1 * utterance) * np.sin(2 * np.pi * TONES[speaker] * np.arange(samples) / RATE)
            signals[f"s{speaker}_{utterance}.wav"] = wave + 1e-4 * rng.standard_normal(samples)
    return signals


SPEAKER_LABELS = [f"speaker {speaker}" for speaker in range(SPEAKERS) for _ in range(UTTERANCES)]
GROUPS = np.repeat(np.arange(SPEAKERS), UTTERANCES)


@pytest.fixture(scope="module")
def trials():
    return build_trials(SPEAKER_LABELS, seed=3)


@pytest.fixture(scope="module")
def material(tmp_path_factory, trials):
    folder, rng = tmp_path_factory.mktemp("tones"), np.random.default_rng(5)
    pool = RecordingPool(write(folder, "test", tones()), SPEAKER_LABELS, {}, RATE)
    noises = write(folder, "noise", {f"{i}.wav": 0.1 * rng.standard_normal(20000) for i in range(2)})
    rooms = {f"{i}.wav": np.exp(-np.arange(800) / 50.0) * rng.standard_normal(800) for i in range(3)}
    bank = NoiseBank(noises, RATE)
    return Material(pool, trials.interferers, {"other": bank}, RirBank(write(folder, "rir", rooms), RATE), 8000, 3)


def rate(scores, trials):
    return eer(scores[trials.targets], scores[~trials.targets])


def test_an_oracle_is_perfect_and_a_deaf_encoder_is_not(material, trials):
    oracle = score_encoder(EmbeddingRunner(ToneEncoder(streams=3), material), trials, [CLEAN, LOUD, TWO])
    deaf = score_encoder(EmbeddingRunner(ToneEncoder(), material), trials, [CLEAN, FAINT, LOUD, TWO])
    assert list(oracle) == ["clean", LOUD.name, TWO.name]
    assert [rate(found.best, trials) for found in oracle.values()] == [0, 0, 0]
    clean, faint, loud, two = (rate(found.best, trials) for found in deaf.values())
    assert clean == 0 and 0 < faint < loud and loud > 0.3 and two > 0.3
    for found in deaf.values():
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
    # Whoever takes the streams by their embeddings would not notice that these are exchanged.
    swapped = ToneEncoder(streams=2)
    swapped.test = lambda waveforms: replace(found := ToneEncoder(2).test(waveforms), streams=found.streams[:, ::-1])
    scores = score_encoder(EmbeddingRunner(swapped, material), trials, [LOUD])[LOUD.name]
    np.testing.assert_allclose(scores.wrong, (enrolled * tested).sum(axis=1), atol=1e-6)


@pytest.mark.parametrize("streams", [None, 2])
def test_scores_are_those_written_out(material, monkeypatch, streams):
    """Every score again, one trial at a time, from single recordings; models of one to three recordings."""
    monkeypatch.setattr(embedding, "PORTION", 4)
    models = ((0,), (3, 4, 5), (7, 6), (10,), (15, 17))
    pairs = [(one, other) for one, model in enumerate(models) for other in range(1, 17) if other not in model]
    enrol, test = np.array(pairs).T
    labels = np.array([GROUPS[model[0]] for model in models])
    trials = TrialList(models, enrol, test, labels[enrol] == GROUPS[test], material.interferers)
    encoder = ToneEncoder(streams)
    cohort = Cohort(np.random.default_rng(0).dirichlet(np.ones(3), 8).astype(np.float32), 5)
    conditions = [CLEAN, LOUD, NOISY, BOTH]
    results = score_encoder(EmbeddingRunner(encoder, material), trials, conditions, cohort)

    pool = RecordingPool(material.pool.manifest, SPEAKER_LABELS, {}, RATE)

    @cache
    def heard(condition, recording, side):
        others = material.interferers[recording]
        drawn = plan(condition, pool, recording, others, 3, side, 8000, material.noises, material.rirs)
        assert drawn.frames == min(8000, pool.frames[recording])
        samples = render(drawn, pool, material.noises["other"], material.rirs).samples
        return encoder.enrol([samples])[0] if side == "enrolment" else encoder.test([samples]).streams[0]

    def against_cohort(row):
        nearest = sorted((float(row @ other) for other in cohort.embeddings), reverse=True)[:5]
        return np.mean(nearest), np.std(nearest)

    for condition in conditions:
        side = condition if condition.mixed_enrolment else CLEAN
        found, spoilt = results[condition.name], 0
        for i, (one, other) in enumerate(pairs):
            voice = sum(heard(side, own, "enrolment") for own in models[one])
            voice = voice / np.linalg.norm(voice)
            rows = heard(condition, other, "test")
            expected = max(float(voice @ row) for row in rows)
            normal = -np.inf
            for row in rows:
                terms = [(voice @ row - mean) / spread for mean, spread in map(against_cohort, (voice, row))]
                normal = max(normal, sum(terms) / 2)
            if condition is BOTH:
                over = {GROUPS[material.interferers[own, 0]] for own in models[one]}
                if over & {GROUPS[other], GROUPS[material.interferers[other, 0]]}:
                    expected = normal = np.nan
                    spoilt += 1
                    assert streams is None or np.isnan([found.oracle[i], found.wrong[i]]).all()
            assert found.best[i] == pytest.approx(expected, abs=1e-5, nan_ok=True)
            assert found.normalised[i] == pytest.approx(normal, rel=1e-4, abs=1e-4, nan_ok=True)
        assert np.isnan(found.best).sum() == spoilt and (spoilt > 5) == (condition is BOTH)
        assert spoilt < 50


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
        _, parts = ToneEncoder._amplitudes(samples)
        own = parts[GROUPS[recording]].astype(np.float64)
        rest = samples - own
        other = int(interfering[recording])
        assert np.argmax(ToneEncoder._amplitudes(rest)[0]) == GROUPS[other]
        extent = min(frames, int(material.pool.frames[other]))
        sir = 10 * np.log10(np.square(own).mean() / (np.square(rest).sum() / extent))
        assert sir == pytest.approx(condition.sir_db, abs=0.05)


def test_every_recording_is_embedded_once(material):
    """The enrolled ones clean, and once more where their side is mixed as well; the tested ones once a condition."""
    models = ((0, 1), (1, 2), (6,))
    enrol, test = np.array([(0, 2), (0, 7), (1, 7), (2, 7), (2, 2)]).T
    trials = TrialList(models, enrol, test, GROUPS[test] == np.array([0, 0, 2])[enrol], material.interferers)
    encoder = ToneEncoder(streams=2)
    score_encoder(EmbeddingRunner(encoder, material), trials, [CLEAN, LOUD, FAINT])
    assert encoder.seen == 4 + 3 * 2
    score_encoder(EmbeddingRunner(encoder, material), trials, [LOUD, BOTH])
    assert encoder.seen == 10 + 4 + 2 + (4 + 2)


def test_kept_embeddings_are_used_again(material, trials, tmp_path):
    def scores(encoder, key="key", chosen=trials):
        runner = EmbeddingRunner(encoder, material, store=EmbeddingStore(tmp_path), key=key)
        return score_encoder(runner, chosen, [CLEAN, LOUD, BOTH])

    first, again = ToneEncoder(streams=2), ToneEncoder(streams=2)
    expected, found = scores(first), scores(again)
    assert first.seen == 5 * 18 and again.seen == 0
    for name, one in expected.items():
        for column in ("best", "oracle", "wrong"):
            np.testing.assert_array_equal(getattr(one, column), getattr(found[name], column))
        assert (one.si_snri, one.sdri) == (found[name].si_snri, found[name].sdri)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"{name}.npz" for name in ("clean.enrolment", "clean.test", f"{LOUD.name}.test")} | {
        "both sides.enrolment.npz",
        "both sides.test.npz",
    }
    deaf = ToneEncoder()  # of another encoder, they are none
    assert scores(deaf, key=["another"])[LOUD.name].oracle is None and deaf.seen > 0
    part = replace(trials, enrol=trials.enrol[:40], test=trials.test[:40], targets=trials.targets[:40])
    assert len(set(part.test)) < len(set(trials.test))
    fewer = ToneEncoder()  # nor are those of other recordings
    scores(fewer, ["another"], part)
    assert fewer.seen > 0


def test_speakers_of_a_cohort_are_the_means_of_their_recordings(material):
    encoder = ToneEncoder()
    found = embed_speakers(EmbeddingRunner(encoder, material))
    assert found.shape == (SPEAKERS, 3) and encoder.seen == len(GROUPS)
    for speaker in range(SPEAKERS):
        recordings = [material.render(CLEAN, i, "enrolment").samples for i in np.flatnonzero(GROUPS == speaker)]
        mean = encoder.enrol(recordings).mean(axis=0)
        np.testing.assert_allclose(found[speaker], mean / np.linalg.norm(mean), atol=1e-6)


def test_embeddings_from_a_file_are_those_of_the_clean_recordings(material, trials, tmp_path):
    names = material.pool.manifest.names
    order = np.random.default_rng(0).permutation(len(names))
    np.savez(tmp_path / "e.npz", names=[names[i] for i in order], embeddings=3 * VOICES[GROUPS[order]])
    runner = EmbeddingRunner(FileEncoder("file", tmp_path / "e.npz"), material)
    best = score_encoder(runner, trials, [CLEAN])["clean"].best
    np.testing.assert_allclose(best, (VOICES[GROUPS[trials.enrol]] * VOICES[GROUPS[trials.test]]).sum(1), atol=1e-6)
    with pytest.raises(InputError, match="encoder file: .*cannot embed mixtures"):
        score_encoder(runner, trials, [CLEAN, LOUD])


def test_one_thread_while_it_lasts():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyboardInterrupt), one_thread():
            assert torch.get_num_threads() == 1
            raise KeyboardInterrupt
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
