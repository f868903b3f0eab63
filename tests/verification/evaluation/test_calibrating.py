"""Calibrating a model: against scores one trial at a time, and what it must refuse."""

from datetime import date
from functools import cache

import numpy as np
import pytest

from csc_fairseq.data.manifest import read_manifest
from csc_fairseq.decisions.model_identity import ModelIdentity
from csc_fairseq.digests import file_digest
from csc_fairseq.inference.loading import load_model
from csc_fairseq.inference.model_digest import model_digest
from csc_fairseq.verification.evaluation import calibrating
from csc_fairseq.verification.evaluation.calibrating import CalibrationOptions, calibrate_model
from csc_fairseq.verification.evaluation.evaluation_set import LabelledTrials
from csc_fairseq.verification.metrics.calibration import Calibration, cllr
from csc_fairseq.verification.metrics.error_rates import eer
from tests.making import bundled, csc_checkpoint, fails, saved, speaker_encoder

CLEAN = "- {name: clean}\n"
TWO = CLEAN + "- {name: talker 10 dB, talkers: 1, sir_db: 10}\n"


@pytest.fixture
def options(data, tmp_path):
    """options(conditions, **others): of a tiny model on the development recordings."""
    path = bundled(speaker_encoder(5), tmp_path / "csc.pt")

    def make(conditions: str = CLEAN, **others) -> CalibrationOptions:
        (tmp_path / "conditions.yaml").write_text(conditions)
        values = {"model": path, "manifest": data / "dev.tsv", "conditions": tmp_path / "conditions.yaml"}
        return CalibrationOptions(**{**values, **others})

    return make


@pytest.mark.parametrize("utterances", [1, 2])
def test_scores_are_those_that_a_user_gets(options, data, utterances):
    """With one trial after the other by the model itself, the same map and figures."""
    given = options(enrol_utterances=utterances, seed=5)
    found = calibrate_model(given)
    model, manifest = load_model(given.model), read_manifest(given.manifest)
    trials = LabelledTrials.development(manifest, 5, utterances).trials
    scores = []
    embed, embed_sources = cache(model.embed), cache(model.embed_sources)
    for enrol, test in zip(trials.enrol, trials.test, strict=True):
        files = [manifest.file(recording) for recording in trials.models[enrol]]
        assert len(files) == utterances
        voice = np.mean([embed(file) for file in files], axis=0)
        voice /= np.linalg.norm(voice)
        scores.append((embed_sources(manifest.file(test)) @ voice).max())
        if utterances == 1 and len(scores) < 5:
            assert scores[-1] == pytest.approx(model.score(files[0], manifest.file(test)), abs=1e-5)
    scores = np.array(scores)
    sides = scores[trials.targets], scores[~trials.targets]
    expected = Calibration.fit(*sides)
    assert found.map.scale == pytest.approx(expected.scale, rel=1e-3)
    assert found.map.offset == pytest.approx(expected.offset, rel=1e-3)
    assert found.quality == found.by_condition["clean"]
    assert found.quality.eer == pytest.approx(eer(*sides), abs=1e-6)
    assert found.quality.cllr == pytest.approx(cllr(*map(expected.llr, sides)), abs=1e-4)
    assert (found.domain.targets, found.domain.nontargets) == tuple(map(len, sides))
    assert found.domain.enrol_utterances == utterances


def test_one_map_for_all_conditions(options, data):
    clean, both = calibrate_model(options()), calibrate_model(options(TWO, seconds=0.4))
    assert list(both.by_condition) == ["clean", "talker 10 dB"] and both.map != clean.map
    assert both.domain.targets == 2 * clean.domain.targets
    assert both.by_condition["talker 10 dB"] != both.by_condition["clean"]
    rates = [quality.eer for quality in both.by_condition.values()]
    assert min(rates) <= both.quality.eer <= max(rates)


def test_the_domain_is_told(options, data):
    given = options(TWO + "- {name: street 5 dB, noise: other, snr_db: 5}\n- {name: room, rir: true}\n", seed=2)
    noise, rir = data / "noise.tsv", data / "rir.tsv"
    found = calibrate_model(options(given.conditions.read_text(), noises={"other": noise}, rir=rir, seed=2))
    domain = found.domain
    assert found.model == ModelIdentity.of(load_model(given.model), "csc.pt") and found.identity_level == "speaker"
    assert (domain.manifest, domain.digest) == ("dev.tsv", file_digest(data / "dev.tsv"))
    assert (domain.speakers, domain.seed, domain.seconds, domain.identity) == (5, 2, 10.0, "speaker")
    assert [condition["name"] for condition in domain.conditions] == list(found.by_condition)
    assert domain.conditions[1]["sir_db"] == 10
    assert domain.noises == {"noise.tsv": file_digest(noise)} and domain.rir == {"rir.tsv": file_digest(rir)}
    assert date.fromisoformat(found.date)


def test_processes_are_those_of_the_evaluation(options, monkeypatch):
    """With the same file; that their number changes no embedding is tested where they run."""
    seen = []

    class Enough(Exception):
        pass

    def runner(encoder, material, workers, progress):
        seen.append(workers)
        raise Enough

    monkeypatch.setattr(calibrating, "EmbeddingRunner", runner)
    for jobs in (1, 3):
        with pytest.raises(Enough):
            calibrate_model(options(jobs=jobs))
    assert seen[0] is None and seen[1].jobs == 3
    assert model_digest(load_model(seen[1].spec)) == model_digest(load_model(options().model))


def test_speakers_of_the_training_are_refused(options, tmp_path):
    state = csc_checkpoint(speaker_encoder(5).network, identities=["s11", "x"], identity_level="speaker")
    path = saved(state, tmp_path / "trained.pt")
    message = fails(calibrate_model, options(model=path))
    assert "dev.tsv: 1 of its 5 speakers are those of " in message and message.endswith("choose others, or --force")
    assert calibrate_model(options(model=path, force=True)).model.name == "trained.pt"


def test_refusals(options, data, tmp_path):
    for change, message in (
        ({"manifest": tmp_path / "gone.tsv"}, "gone.tsv: cannot be read"),
        ({"manifest": data / "noise.tsv"}, "noise.spk: no such file"),
        ({"conditions": "- {name: room, rir: true}\n"}, "condition 'room': needs room impulse responses"),
        ({"enrol_utterances": 9}, "dev.tsv: "),
    ):
        assert message in fails(calibrate_model, options(**change))
    for change, message in (
        ({"seconds": 0}, "--seconds 0: recordings cannot be cut to that"),
        ({"jobs": 0}, "--jobs 0: expected at least 1"),
        ({"noises": {"babble": data}}, "--noise babble=…: expected stationary or other"),
    ):
        assert message in fails(lambda change=change: options(**change))


def test_scores_the_wrong_way_round_are_refused(options, monkeypatch):
    monkeypatch.setattr(calibrating, "calibrate", lambda *_: Calibration(-3.0, 0.0))
    assert "higher scores of " in fails(calibrate_model, options())
