"""Trials, mixtures and scores with models of known behaviour: speakers are tones, and an oracle tells tones apart."""

from itertools import permutations

import numpy as np
import pytest
import soundfile
import torch
from torchmetrics.functional.audio import scale_invariant_signal_noise_ratio

from csc_fairseq.data.manifest import read_manifest, write_manifest
from csc_fairseq.data.pool import RecordingPool
from csc_fairseq.data.rendering import Mixture, render
from csc_fairseq.errors import InputError
from csc_fairseq.inference.separator import Analysis
from csc_fairseq.inference.speaker_encoder import SpeakerEncoder
from csc_fairseq.modules.separative_encoder import SeparativeEncoder, SeparativeEncoderConfig
from csc_fairseq.verification import interference
from csc_fairseq.verification.interference import all_trials, at_sir, evaluate, improvement_db, plan_test

RATE = 16000
TONES = [500.0, 1000.0, 1500.0, 2000.0]  # Hz, one speaker each


@pytest.fixture
def corpus(tmp_path):
    """corpus(speakers, utterances): tones of different lengths and levels; (manifest, labels)."""

    def make(speakers=4, utterances=3):
        entries, labels = [], []
        for speaker in range(speakers):
            for utterance in range(utterances):
                samples = 4800 + 1600 * ((speaker + 2 * utterance) % 4)
                rng = np.random.default_rng([speaker, utterance])
                wave = (0.02 + 0.1 * utterance) * np.sin(2 * np.pi * TONES[speaker] * np.arange(samples) / RATE)
                name = f"s{speaker}_{utterance}.wav"
                soundfile.write(tmp_path / name, wave + 1e-4 * rng.standard_normal(samples), RATE, subtype="FLOAT")
                entries.append((name, samples))
                labels.append(f"speaker {speaker}")
        write_manifest(tmp_path / "test.tsv", tmp_path, entries)
        return read_manifest(tmp_path / "test.tsv"), labels

    return make


class ToneModel:
    """Embedding = amplitude spectrum at the speakers' tones, of unit norm.

    With `separates` the streams are the two loudest tones (a stream of mere noise resembles nobody), else the recording
    twice.
    """

    sample_rate, streams, embedding_size, shortest = RATE, 2, len(TONES), 64

    def __init__(self, separates):
        self.separates = separates

    def analyse(self, waveforms):
        for i, waveform in sorted(enumerate(waveforms), key=lambda pair: len(pair[1])):
            time = torch.arange(len(waveform)) / RATE
            basis = torch.stack([torch.sin(2 * torch.pi * tone * time) for tone in TONES])
            basis = torch.cat([basis, torch.stack([torch.cos(2 * torch.pi * tone * time) for tone in TONES])])
            weights = basis @ waveform / len(waveform) * 2
            amplitudes = weights.view(2, -1).square().sum(0).sqrt()
            if self.separates:
                chosen = amplitudes.topk(2).indices.flip(0)
                queries = torch.eye(len(TONES))[chosen] * (amplitudes[chosen] > 0.003).unsqueeze(1)
                estimates = torch.stack([weights[k] * basis[k] + weights[k + 4] * basis[k + 4] for k in chosen])
            else:
                queries = torch.nn.functional.normalize(amplitudes, dim=0).repeat(2, 1)
                estimates = waveform.repeat(2, 1)
            yield i, Analysis(estimates, queries)

    def embed(self, audio):
        rows = np.empty((len(audio), self.embedding_size), np.float32)
        for i, analysis in self.analyse([torch.from_numpy(samples) for samples in audio]):
            rows[i] = analysis.queries[analysis.estimates.square().sum(-1).argmax()]
        return rows


def test_an_oracle_is_perfect_and_a_deaf_model_is_not(corpus):
    manifest, labels = corpus()
    oracle = evaluate(ToneModel(separates=True), manifest, labels, sirs=(0, -10), replicates=50)
    assert [(result.condition, result.sir_db) for result in oracle] == [("clean", None), ("talker", 0), ("talker", -10)]
    assert [(result.eer, result.eer_low, result.eer_high) for result in oracle] == [(0, 0, 0)] * 3
    assert oracle[0].si_snri_db is None
    # The oracle leaves the faint noise and, where an interferer pauses, a tone that goes on: far better, not perfect.
    assert oracle[1].si_snri_db > 3

    deaf = evaluate(ToneModel(separates=False), manifest, labels, sirs=(10, -10), replicates=50)
    assert deaf[0].eer == 0
    assert deaf[2].si_snri_db == pytest.approx(0, abs=1e-4)
    # At -10 dB the test speaker's tone is faint; trials of the interferer are dropped, so the rest is still ordered.
    assert deaf[1].eer <= deaf[2].eer
    for result in oracle + deaf:
        assert (result.targets, result.nontargets) == (4 * 3 * 2, oracle[0].nontargets)


@pytest.mark.parametrize("separates", [False, True])
def test_scores_are_those_written_out(corpus, monkeypatch, separates):
    """Every score again, one trial at a time, from single recordings."""
    manifest, labels = corpus()
    model, seen = ToneModel(separates), []
    monkeypatch.setattr(interference, "eer", lambda *scores: seen.append(scores) or 0.25)
    results = evaluate(model, manifest, labels, sirs=(5,), seed=3, longest_seconds=0.35, replicates=20)
    assert results[1].eer == 0.25

    pool = RecordingPool(manifest, labels, {}, RATE)
    plans = [plan_test(pool, i, 3, 5600) for i in range(12)]
    assert {plan.frames for plan in plans} == {4800, 5600}
    for sir, (targets, nontargets) in zip((None, 5), seen, strict=True):
        expected = {True: [], False: []}
        for enrol in range(12):
            voice = model.embed([soundfile.read(manifest.file(enrol), dtype="float32")[0][:5600]])[0]
            for test in range(12):
                if enrol == test or labels[plans[test].sources[1].recording] == labels[enrol]:
                    continue
                samples = render(at_sir(plans[test], sir), pool).samples
                ((_, analysis),) = model.analyse([torch.from_numpy(samples)])
                expected[labels[enrol] == labels[test]].append(max(analysis.queries.numpy() @ voice))
        np.testing.assert_allclose(np.sort(targets), np.sort(expected[True]), atol=1e-5)
        np.testing.assert_allclose(np.sort(nontargets), np.sort(expected[False]), atol=1e-5)
    assert seen[0][0].min() > 0.99
    assert (seen[1][0].max() > 0.99) == separates


def test_interferers_are_other_speakers_at_the_sir_asked(corpus):
    manifest, labels = corpus()
    pool = RecordingPool(manifest, labels, {}, RATE)
    interferers, late = set(), False
    for recording in range(len(pool)):
        plan = plan_test(pool, recording, seed=1, longest=8000)
        test, other = plan.sources
        assert (test.recording, test.starts, test.offset) == (recording, (0,), 0)
        assert labels[other.recording] != labels[recording]
        assert plan.frames == min(manifest.frames[recording], 8000)
        assert other.starts[0] + other.frames <= manifest.frames[other.recording]
        assert other.frames == min(manifest.frames[other.recording], plan.frames)
        late |= other.offset > 0
        interferers.add(labels[other.recording])
        assert plan_test(pool, recording, seed=1, longest=8000) == plan
        for sir in (0, -5, 7.5):
            louder = at_sir(plan, sir)
            assert (louder.sources[1].starts, louder.sources[1].offset) == (other.starts, other.offset)
            first, second = render(louder, pool).sources.astype(np.float64)
            heard = second[other.offset : other.offset + other.frames]
            assert 10 * np.log10(np.mean(first**2) / np.mean(heard**2)) == pytest.approx(sir, abs=0.01)
        clean = render(at_sir(plan, None), pool)
        assert clean.present.tolist() == [True, False]
        np.testing.assert_array_equal(clean.samples, clean.sources[0])
    assert interferers == set(labels) and late
    plans = [[plan_test(pool, i, seed, 8000) for i in range(12)] for seed in (1, 2)]
    assert plans[0] != plans[1]


def test_all_trials_by_hand():
    """Speakers A A B C; B interferes with recordings 0 and 1, C with 2, A with 3."""
    trials = all_trials(np.array([0, 0, 1, 2]), np.array([1, 1, 2, 0]), seed=0)
    pairs = list(zip(trials.enrol.tolist(), trials.test.tolist(), trials.targets.tolist(), strict=True))
    # Without the drops: all 12 ordered pairs. Dropped: (2, 0), (2, 1), (3, 2), (0, 3), (1, 3).
    assert sorted(pairs) == [
        (0, 1, True),
        (0, 2, False),
        (1, 0, True),
        (1, 2, False),
        (2, 3, False),
        (3, 0, False),
        (3, 1, False),
    ]


def test_many_trials_are_sampled(monkeypatch):
    speakers = np.repeat(np.arange(10), 6)  # 300 targets, some 3000 non-targets
    interferers = (speakers + 1) % 10
    whole = all_trials(speakers, interferers, seed=0)
    assert whole.targets.sum() == 300 and len(whole.enrol) == 60 * 59 - 60 * 6
    for limit, targets in ((1000, 300), (400, 200)):
        monkeypatch.setattr(interference, "MOST_TRIALS", limit)
        trials, again, other = (all_trials(speakers, interferers, seed) for seed in (0, 0, 1))
        assert (len(trials.enrol), trials.targets.sum()) == (limit, targets)
        np.testing.assert_array_equal(trials.enrol, again.enrol)
        assert not np.array_equal(trials.enrol, other.enrol)
        assert len(set(zip(trials.enrol, trials.test, strict=True))) == limit
        np.testing.assert_array_equal(speakers[trials.enrol] == speakers[trials.test], trials.targets)
        assert not (speakers[trials.enrol] == interferers[trials.test]).any()


@pytest.mark.parametrize("streams", [2, 3])
def test_improvement_agrees_with_torchmetrics(streams):
    torch.manual_seed(0)
    sources = torch.randn(2, 4000)
    mixture = sources.sum(0)
    estimates = torch.randn(streams, 4000) * 0.2
    estimates[-1] += 3 * sources[0]
    estimates[0] += sources[1]
    ratio = scale_invariant_signal_noise_ratio
    best = max(
        (ratio(estimates[a], sources[0]) + ratio(estimates[b], sources[1])) / 2
        for a, b in permutations(range(streams), 2)
    )
    before = (ratio(mixture, sources[0]) + ratio(mixture, sources[1])) / 2
    mixed = Mixture(mixture.numpy(), sources.numpy(), *np.zeros((3, 2), dtype=np.int64))
    assert improvement_db(estimates, mixed) == pytest.approx(float(best - before), abs=1e-3)
    assert improvement_db(estimates.flip(0), mixed) == pytest.approx(float(best - before), abs=1e-3)


def test_a_real_encoder_is_evaluated_reproducibly(corpus):
    torch.manual_seed(0)
    config = SeparativeEncoderConfig(
        waveform_channels=16,
        window=64,
        channels=8,
        attention_heads=2,
        recurrent_channels=8,
        shared_blocks=1,
        memory="none",
    )
    model = SpeakerEncoder(SeparativeEncoder(config), RATE, "speaker")
    manifest, labels = corpus()
    results = evaluate(model, manifest, labels, sirs=(0.0,), seed=5, replicates=50)
    assert results == evaluate(model, manifest, labels, sirs=(0.0,), seed=5, replicates=50)
    for result in results:
        assert 0 <= result.eer_low <= result.eer <= result.eer_high <= 1
    assert np.isfinite(results[1].si_snri_db)
    assert results != evaluate(model, manifest, labels, sirs=(0.0,), seed=6, replicates=50)


def test_bad_input(corpus, tmp_path):
    model = ToneModel(separates=True)
    with pytest.raises(InputError, match="test.tsv: has 2 speakers, expected 3 or more"):
        evaluate(model, *corpus(speakers=2))
    with pytest.raises(InputError, match="test.tsv: has one recording of each speaker"):
        evaluate(model, *corpus(utterances=1))
    manifest, labels = corpus()
    with pytest.raises(InputError, match="cut to 0 s"):
        evaluate(model, manifest, labels, longest_seconds=0)
    manifest.frames[5] = 63
    with pytest.raises(InputError, match="test.tsv:7: s1_2.wav has 63 samples, expected 64 at least"):
        evaluate(model, manifest, labels)
    manifest.frames[5] = 10**6
    with pytest.raises(InputError, match="s1_2.wav: holds"):
        evaluate(model, manifest, labels)
