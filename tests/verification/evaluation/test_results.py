"""Figures of a result against the metrics themselves, kinds of trials by hand, and differences that are paired."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from csc_fairseq.errors import InputError
from csc_fairseq.verification.evaluation.evaluation_set import LabelledTrials
from csc_fairseq.verification.evaluation.results import differences, measure, read_result
from csc_fairseq.verification.evaluation.scoring import Scores
from csc_fairseq.verification.metrics.bootstrap import SpeakerBootstrap, interval
from csc_fairseq.verification.metrics.calibration import Calibration, actual_dcf, cllr
from csc_fairseq.verification.metrics.error_rates import eer, min_dcf
from csc_fairseq.verification.trials.drawing import build_trials

REPLICATES = 60
SPEAKERS = np.repeat([f"s{i:02d}" for i in range(12)], 4)
GENDERS = np.repeat(["f", "m", "f", "m", "f", "m", "f", "m", "f", "m", "m", ""], 4)


@pytest.fixture(scope="module")
def labelled():
    return LabelledTrials(build_trials(SPEAKERS.tolist()), SPEAKERS, {})


def noisy_scores(labelled, distance, seed):
    """float32 [n]: targets lie `distance` deviations above non-targets; trials of one pair of speakers are alike."""
    rng = np.random.default_rng(seed)
    of_pair = rng.standard_normal((12, 12))
    numbers = np.unique(SPEAKERS, return_inverse=True)[1]
    pairs = of_pair[numbers[labelled.enrol_recordings], numbers[labelled.trials.test]]
    own = rng.standard_normal(len(pairs))
    return (distance * labelled.trials.targets + pairs + own).astype(np.float32)


def plain(best, **others):
    return Scores(**{"best": best, **dict.fromkeys(("normalised", "oracle", "wrong", "si_snri", "sdri")), **others})


def values(estimate):
    return estimate.value, estimate.low, estimate.high


def interval_of(scores, targets, enrolled, tested, seed=0):
    """Interval of the EER of one system."""
    return interval(SpeakerBootstrap(targets, enrolled, tested, REPLICATES, seed).replicates(scores, "eer"))


def rate_of(scores, labelled, seed=0):
    """EER and interval of the trials that have a score, from the metrics and the bootstrap."""
    valid = ~np.isnan(scores)
    targets, own = labelled.trials.targets[valid], scores[valid]
    enrolled = [SPEAKERS[labelled.trials.models[model][0]] for model in labelled.trials.enrol[valid]]
    tested = SPEAKERS[labelled.trials.test[valid]]
    return eer(own[targets], own[~targets]), *interval_of(own, targets, enrolled, tested, seed)


def test_a_result_holds_the_figures_of_its_scores(labelled):
    best, normalised = noisy_scores(labelled, 2.0, 0), noisy_scores(labelled, 3.0, 1)
    best[::7] = normalised[::7] = np.nan  # spoilt by a mixed enrolment
    calibration = Calibration(2.5, -3.0)
    found = {"clean": plain(noisy_scores(labelled, 4.0, 2)), "mixed": plain(best, normalised=normalised, si_snri=5.5)}
    (clean, mixed), drawn = measure("ours", found, labelled, REPLICATES, seed=4, calibration=calibration)
    targets = labelled.trials.targets
    valid = ~np.isnan(best)
    assert (clean.encoder, clean.condition, mixed.condition) == ("ours", "clean", "mixed")
    assert (clean.targets, clean.nontargets) == (targets.sum(), (~targets).sum())
    assert (mixed.targets, mixed.nontargets) == ((targets & valid).sum(), (~targets & valid).sum())
    assert values(clean.eer) == rate_of(found["clean"].best, labelled, seed=4)
    assert values(mixed.eer) == rate_of(best, labelled, seed=4) and 0.02 < mixed.eer.value < 0.4
    assert values(mixed.normalised) == rate_of(normalised, labelled, seed=4)
    assert clean.normalised is None

    one, other = best[valid & targets], best[valid & ~targets]
    speakers = SPEAKERS[labelled.enrol_recordings[valid]], SPEAKERS[labelled.trials.test[valid]]
    bootstrap = SpeakerBootstrap(targets[valid], *speakers, REPLICATES, 4)
    assert list(mixed.min_dcf) == list(mixed.actual_dcf) == ["0.01", "0.05"]
    for prior in (0.01, 0.05):
        costs = interval(bootstrap.replicates(best[valid], ("min_dcf", prior)))
        assert values(mixed.min_dcf[str(prior)]) == (min_dcf(one, other, prior), *costs)
        assert mixed.actual_dcf[str(prior)] == actual_dcf(2.5 * one - 3.0, 2.5 * other - 3.0, prior)
    assert mixed.cllr == pytest.approx(cllr(2.5 * one.astype(float) - 3, 2.5 * other.astype(float) - 3))
    assert (mixed.si_snri, mixed.sdri, mixed.oracle, mixed.wrong_stream, mixed.groups) == (5.5, None, None, None, {})
    np.testing.assert_array_equal(drawn["mixed"], bootstrap.replicates(best[valid], "eer"))
    assert measure("ours", {"clean": found["clean"]}, labelled, REPLICATES)[0][0].cllr is None


def test_results_come_back_from_json(labelled):
    labelled = replace(labelled, attributes={"gender": GENDERS})
    best = noisy_scores(labelled, 2.0, 0)
    found = plain(best, normalised=best, oracle=best, wrong=best - 1, si_snri=1.5, sdri=2.5)
    for calibration in (None, Calibration(1.0, 0.5)):
        (result,), _ = measure("ours", {"talker": found}, labelled, REPLICATES, calibration=calibration)
        assert result.groups and result.oracle
        assert read_result(json.loads(json.dumps(asdict(result)))) == result
    (result,), _ = measure("ours", {"clean": plain(best)}, replace(labelled, attributes={}), REPLICATES)
    assert read_result(json.loads(json.dumps(asdict(result)))) == result


def test_rates_of_kinds_are_those_of_their_trials(labelled):
    labelled = replace(labelled, attributes={"gender": GENDERS})
    best = noisy_scores(labelled, 2.0, 3)
    best[::5] = np.nan
    (result,), _ = measure("ours", {"mixed": plain(best)}, labelled, REPLICATES)
    one, other = GENDERS[labelled.enrol_recordings], GENDERS[labelled.trials.test]
    same = one == other
    chosen = {
        "same gender": same & (one != ""),
        "cross gender": (labelled.trials.targets | ~same) & (one != "") & (other != ""),
        "gender=f": same & (one == "f"),
        "gender=m": same & (one == "m"),
    }
    assert list(result.groups) == list(chosen)
    for name, mask in chosen.items():
        assert values(result.groups[name]) == rate_of(np.where(mask, best, np.nan), labelled)
    # A kind of which a condition leaves no non-targets is left out there.
    best[chosen["gender=f"] & ~labelled.trials.targets] = np.nan
    (result,), _ = measure("ours", {"mixed": plain(best)}, labelled, REPLICATES)
    assert list(result.groups) == ["same gender", "cross gender", "gender=m"]


def test_the_wrong_stream_is_that_of_the_same_mixture(labelled):
    """Against the oracle's stream, for the enrolled voices that are there: non-target trials do not count."""
    trials = labelled.trials
    oracle, wrong = noisy_scores(labelled, 2.0, 4), noisy_scores(labelled, 0.0, 5)
    best = np.maximum(oracle, wrong)
    (result,), _ = measure("ours", {"talker": plain(best, oracle=oracle, wrong=wrong)}, labelled, REPLICATES)
    assert values(result.oracle) == rate_of(oracle, labelled)
    own, others = oracle[trials.targets], wrong[trials.targets]
    enrolled = SPEAKERS[labelled.enrol_recordings[trials.targets]]
    interfering = SPEAKERS[trials.interferers[trials.test[trials.targets], 0]]
    # One after the other, target by target; the bootstrap does not mind the order.
    scores = np.stack([own, others], axis=1).ravel()
    sides = np.repeat(enrolled, 2), np.stack([enrolled, interfering], axis=1).ravel()
    expected = interval_of(scores, np.tile([True, False], len(own)), *sides)
    assert values(result.wrong_stream) == (eer(own, others), *expected)
    # What changes nothing: scores of non-targets, and of trials without a stream of the interferer, which are left out.
    spoilt = np.where(trials.targets, wrong, 99).astype(np.float32)
    spoilt[np.flatnonzero(trials.targets)[::3]] = np.nan
    (result,), _ = measure("ours", {"talker": plain(best, oracle=oracle, wrong=spoilt)}, labelled, REPLICATES)
    kept = np.arange(len(own)) % 3 > 0
    assert result.wrong_stream.value == eer(own[kept], others[kept])
    # Streams that are alike are told apart by chance.
    (result,), _ = measure("ours", {"talker": plain(best, oracle=oracle, wrong=oracle)}, labelled, REPLICATES)
    assert result.wrong_stream.value == 0.5


def test_differences_are_paired(labelled):
    """On the same draws: far narrower than those of two systems that were drawn apart."""
    shared = noisy_scores(labelled, 2.0, 6)
    rng = np.random.default_rng(0)
    scores = {"a": shared, "b": shared + 0.3 * rng.standard_normal(len(shared)).astype(np.float32), "c": shared}
    drawn, measured = {}, []
    for name, best in scores.items():
        conditions = {"clean": plain(best)} if name == "c" else {"clean": plain(best), "talker": plain(best - 1)}
        own, drawn[name] = measure(name, conditions, labelled, 200)
        measured += own
    found = {(one.encoder, one.other, one.condition): one for one in differences(drawn, measured)}
    pairs = [(one, other) for one in "abc" for other in "abc" if one != other]
    assert set(found) == {(*pair, "clean") for pair in pairs} | {("a", "b", "talker"), ("b", "a", "talker")}
    rates = {result.encoder: result.eer for result in measured if result.condition == "clean"}
    one = found["a", "b", "clean"]
    assert one.eer.value == rates["a"].value - rates["b"].value
    assert (one.eer.low, one.eer.high) == interval(drawn["a"]["clean"] - drawn["b"]["clean"])
    assert one.relative == pytest.approx(rates["a"].value / rates["b"].value - 1)
    assert one.eer.high - one.eer.low < 0.5 * (rates["a"].high - rates["a"].low)
    other = found["b", "a", "clean"]
    np.testing.assert_allclose(values(other.eer), (-one.eer.value, -one.eer.high, -one.eer.low), atol=1e-12)
    assert values(found["a", "c", "clean"].eer) == (0, 0, 0) and found["a", "c", "clean"].relative == 0


def test_nothing_is_relative_to_a_perfect_encoder(labelled):
    perfect = plain(labelled.trials.targets.astype(np.float32))
    other = plain(noisy_scores(labelled, 2.0, 7))
    (one,), drawn = measure("perfect", {"clean": perfect}, labelled, REPLICATES)
    (two,), drawn_too = measure("other", {"clean": other}, labelled, REPLICATES)
    found = differences({"perfect": drawn, "other": drawn_too}, [one, two])
    assert values(one.eer) == (0, 0, 0)
    assert [(each.encoder, each.relative) for each in found] == [("perfect", -1), ("other", None)]


@pytest.mark.parametrize("kind", [True, False])
def test_a_condition_without_trials_of_a_kind_is_named(labelled, kind):
    best = noisy_scores(labelled, 2.0, 8)
    best[labelled.trials.targets == kind] = np.nan
    with pytest.raises(InputError, match="condition 'both sides': too few speakers .* add speakers, or leave"):
        measure("ours", {"both sides": plain(best)}, labelled, REPLICATES)
