"""The speaker bootstrap against an explicit one, its pairing, and its coverage in a simulation."""

import tracemalloc

import numpy as np
import pytest

from csc_fairseq.errors import InputError
from csc_fairseq.verification.metrics import bootstrap
from csc_fairseq.verification.metrics.bootstrap import SpeakerBootstrap, interval
from csc_fairseq.verification.metrics.error_rates import eer, min_dcf


def make_trials(speakers=7, utterances=3, seed=0, noises=(1.0,)):
    """Scores of all ordered pairs: cosine-like, with speakers that differ in difficulty.

    Returns a score vector for each of `noises`, the deviation of a system within speakers; then targets and speakers.
    """
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(speakers), utterances)
    spread = rng.uniform(0.3, 2, speakers)[labels]
    voices, within = rng.normal(size=(speakers, 4))[labels], spread[:, None] * rng.normal(size=(len(labels), 4))
    enrol, test = np.nonzero(~np.eye(len(labels), dtype=bool))
    scores = []
    for noise in noises:
        vectors = voices + noise * within
        scores.append(np.einsum("ij,ij->i", vectors[enrol], vectors[test]))
    return *scores, labels[enrol] == labels[test], labels[enrol], labels[test]


def explicit(scores, targets, enrol, test, replicates, seed, measure):
    """Every drawn copy of a speaker becomes a separate speaker, and the trials are written out one by one."""
    speakers = len(np.unique(np.r_[enrol, test]))
    values = []
    for copies in np.random.default_rng(seed).multinomial(speakers, np.full(speakers, 1 / speakers), size=replicates):
        counts = copies[enrol] * np.where(targets, 1, copies[test])
        resampled = [np.repeat(scores[kind], counts[kind]) for kind in (targets, ~targets)]
        values.append(measure(*resampled) if all(map(len, resampled)) else np.nan)
    return np.array(values)


METRICS = [
    ("eer", eer),
    (("min_dcf", 0.05), lambda *sides: min_dcf(*sides, 0.05)),
    (("min_dcf", 0.3), lambda *sides: min_dcf(*sides, 0.3)),
]


@pytest.mark.parametrize("entries", [256, 5, 1])
@pytest.mark.parametrize("decimals", [9, 0, -1])  # 0: many ties; -1: three distinct scores
@pytest.mark.parametrize(("metric", "measure"), METRICS)
def test_equals_an_explicit_one(metric, measure, decimals, entries, monkeypatch):
    monkeypatch.setattr(bootstrap, "ENTRIES_PER_BIN", entries)
    scores, *labels = make_trials()
    scores = scores.round(decimals)
    found = SpeakerBootstrap(*labels, replicates=100, seed=11).replicates(scores, metric)
    expected = explicit(scores, *labels, 100, 11, measure)
    assert expected.std() > (0.01 if decimals >= 0 else 0)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("metric", [metric for metric, _ in METRICS])
def test_does_not_depend_on_blocks_order_or_names(metric, monkeypatch):
    scores, targets, enrol, test = make_trials(seed=1)
    whole = SpeakerBootstrap(targets, enrol, test, replicates=50).replicates(scores, metric)
    monkeypatch.setattr(bootstrap, "CELLS_PER_BLOCK", 3 * 49)
    assert (SpeakerBootstrap(targets, enrol, test, replicates=50).replicates(scores, metric) == whole).all()
    order = np.random.default_rng(2).permutation(len(scores))
    names = np.array([f"speaker {i}" for i in range(7)])
    shuffled = SpeakerBootstrap(targets[order], names[enrol[order]], names[test[order]], replicates=50)
    assert (shuffled.replicates(scores[order], metric) == whole).all()


def test_draws_depend_on_speakers_and_seed_alone():
    """Half of the trials of the same speakers: replicates rise and fall with those of the whole list."""
    scores, *labels = make_trials(12, 4, seed=2)
    half = np.arange(len(scores)) % 2 == 0
    found = SpeakerBootstrap(*(column[half] for column in labels), 30, 5).replicates(scores[half], "eer")
    whole = SpeakerBootstrap(*labels, 30, 5).replicates(scores, "eer")
    assert np.corrcoef(found, whole)[0, 1] > 0.9
    assert (SpeakerBootstrap(*labels, 60, 5).replicates(scores, "eer")[:30] == whole).all()
    assert (SpeakerBootstrap(*labels, 30, 6).replicates(scores, "eer") != whole).any()


def test_replicates_without_trials_of_a_kind_are_left_out():
    """Of three speakers only the first has targets: it is missing from 8/27 of the draws, others lack non-targets."""
    targets = np.array([True, False, False])
    found = SpeakerBootstrap(targets, [0, 0, 0], [0, 1, 2], replicates=500).replicates([1.0, 0.0, 2.0], "eer")
    copies = np.random.default_rng(0).multinomial(3, np.full(3, 1 / 3), size=500)
    np.testing.assert_array_equal(np.isnan(found), (copies[:, 0] == 0) | (copies[:, 0] == 3))
    low, high = interval(found)
    assert (low, high) == (0, 1)
    assert interval(found, 0.0)[0] == interval(found, 0.0)[1] == np.nanmedian(found)


def test_interval_is_that_of_percentiles():
    replicates = np.r_[np.arange(101), np.nan]
    assert interval(replicates) == pytest.approx((2.5, 97.5))
    assert interval(replicates, 0.8) == pytest.approx((10, 90))
    with pytest.raises(InputError, match="none of 2 bootstrap replicates"):
        interval([np.nan, np.nan])


def test_intervals_cover_what_they_estimate():
    """Sixty lists of 24 speakers each: intervals of two systems and of their difference, about as wide as they must be."""
    noises = (1.0, 1.3)
    *many, targets, _, _ = make_trials(900, 3, seed=99, noises=noises)
    truth = [eer(scores[targets], scores[~targets]) for scores in many]
    truth.append(truth[1] - truth[0])
    values, intervals = [], []
    for seed in range(60):
        *scores, targets, enrol, test = make_trials(24, 3, seed=seed, noises=noises)
        speakers = SpeakerBootstrap(targets, enrol, test, replicates=200, seed=seed)
        drawn = [speakers.replicates(system, "eer") for system in scores]
        rates = [eer(system[targets], system[~targets]) for system in scores]
        values.append([*rates, rates[1] - rates[0]])
        intervals.append([interval(replicates) for replicates in (*drawn, drawn[1] - drawn[0])])
    low, high = np.moveaxis(np.array(intervals), -1, 0)
    coverage = ((low <= truth) & (truth <= high)).mean(axis=0)
    assert (coverage > 0.85).all(), coverage
    # Of normal estimates, 95 % lie within 3.92 deviations. Counting trials between copies of a speaker gives 1.5 here.
    width = (high - low).mean(axis=0) / (3.92 * np.std(values, axis=0))
    assert ((0.75 < width) & (width < 1.25)).all(), width
    # The interval of the difference is narrow because replicates are paired.
    assert (high - low)[:, 2].mean() < 0.6 * (high - low)[:, :2].mean()


def test_interval_narrows_with_more_speakers():
    widths = []
    for speakers in (8, 60):
        scores, *labels = make_trials(speakers, 4, seed=5)
        low, high = interval(SpeakerBootstrap(*labels, replicates=300).replicates(scores, "eer"))
        widths.append(high - low)
    assert widths[1] < 0.7 * widths[0]


def test_memory_is_bounded():
    """Also if a third of all trials have one score, and if every trial has a different pair of speakers."""
    few_scores, *one = make_trials(40, 7)
    many_scores, *other = make_trials(280, 1)
    keep = np.random.default_rng(0).permutation(len(many_scores))[:70_000]
    targets = np.r_[[True] * 280, np.zeros(len(keep), dtype=bool)]  # one target per speaker
    enrol, test = (np.r_[np.arange(280), side[keep]] for side in other[1:])
    cases = [(few_scores.round(-1), one), (np.r_[np.ones(280), many_scores[keep]], [targets, enrol, test])]
    for scores, labels in cases:
        assert len(scores) > 70_000
        speakers = SpeakerBootstrap(*labels, replicates=500)
        for metric in ("eer", ("min_dcf", 0.01)):
            tracemalloc.start()
            speakers.replicates(scores, metric)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 0.3e9  # an array of trials times replicates would have 0.28 GB


def test_bad_input():
    scores, targets, enrol, test = make_trials()
    speakers = SpeakerBootstrap(targets, enrol, test, replicates=10)
    with pytest.raises(InputError, match="10 scores for 420 trials"):
        speakers.replicates(scores[:10], "eer")
    with pytest.raises(InputError, match="1 of 420 scores are NaN"):
        speakers.replicates(np.r_[np.nan, scores[1:]], "eer")
    with pytest.raises(InputError, match="p_target is 2"):
        speakers.replicates(scores, ("min_dcf", 2))
    with pytest.raises(InputError, match=r"lengths \[420, 10, 420\]"):
        SpeakerBootstrap(targets, enrol[:10], test)
    with pytest.raises(InputError, match="1 trials are marked"):
        SpeakerBootstrap(np.r_[~targets[:1], targets[1:]], enrol, test)
    with pytest.raises(InputError, match="0 target and 0 non-target"):
        SpeakerBootstrap([], [], [])
