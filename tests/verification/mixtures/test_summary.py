from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from csc_fairseq.data.fixed_mixtures import FixedMixtures
from csc_fairseq.data.manifest import Manifest
from csc_fairseq.data.texts import Labels, Names
from csc_fairseq.verification.mixtures.summary import summarise, table

PAIRS = ["".join(pair) for pair in combinations("abcdef", 2)]
VALUES = np.random.default_rng(0).normal(8, 4, (len(PAIRS), 2))


def mixtures(*speakers: str, count: int = 2, number: int = 6) -> FixedMixtures:
    """So many mixtures as there are names of talkers, "ab" for a and b; without names so many of unknown ones."""
    number = len(speakers) or number
    names = [f"{i}.wav" for i in range(number)]
    manifest = Manifest(Path("/m/test.tsv"), Path("/m"), names, np.ones(number, dtype=np.int64))
    labels = Labels.of(one for row in speakers for one in row) if speakers else None
    return FixedMixtures(manifest, count, Names.of(f"{i}" for i in range(number * count)), labels)


def replicates(weights) -> np.ndarray:
    """Percentiles of the means with the given weights of the mixtures, by replicate; those without any are left out."""
    weights = np.array([row for row in weights if sum(row)], dtype=float)
    means = weights @ VALUES[: weights.shape[1]] / weights.sum(1, keepdims=True)
    return np.percentile(means, [2.5, 97.5], axis=0)


def draws(count: int, seed: int = 0) -> list[np.ndarray]:
    """How often each of so many units was drawn, in 50 replicates."""
    rng = np.random.default_rng(seed)
    return [rng.multinomial(count, [1 / count] * count) for _ in range(50)]


def test_speakers_are_resampled():
    found = summarise("csc", mixtures(*PAIRS), VALUES, replicates=50, seed=3)
    assert [found.si_snri.value, found.sdri.value] == pytest.approx(VALUES.mean(0))
    assert found.resampled == "speakers"
    expected = replicates([[copies[a] * copies[b] for a, b in combinations(range(6), 2)] for copies in draws(6, 3)])
    assert [found.si_snri.low, found.si_snri.high] == pytest.approx(expected[:, 0])
    assert [found.sdri.low, found.sdri.high] == pytest.approx(expected[:, 1])


def test_somebody_who_talks_twice_in_a_mixture_counts_once():
    found = summarise("csc", mixtures("aa", "ba", "bb", "cc", "dd", "ee"), VALUES[:6], replicates=50)
    expected = replicates([(a, a * b, b, c, d, e) for a, b, c, d, e in draws(5)])
    assert [found.si_snri.low, found.si_snri.high] == pytest.approx(expected[:, 0])


def test_mixtures_are_resampled_where_the_speakers_are_not_known():
    found = summarise("csc", mixtures(), VALUES[:6], replicates=50)
    expected = replicates(draws(6))
    assert [found.si_snri.low, found.si_snri.high] == pytest.approx(expected[:, 0])
    assert found.resampled == "mixtures"


@pytest.mark.parametrize(
    "few",
    [
        mixtures("ab"),  # of two speakers: half of the replicates lack one, and all others are equal
        mixtures("ab", "ac", "bc", "ad", "bd", "cd"),  # of four, one less than enough
        mixtures("ab", "cd", "ef"),  # of six, but a fifth of all draws has no pair
        mixtures(number=4),
    ],
)
def test_no_interval_from_too_little(few: FixedMixtures):
    values = VALUES[: len(few)]
    found = summarise("csc", few, values, 200)
    for figure, expected in zip((found.si_snri, found.sdri), values.mean(0), strict=True):
        assert figure.value == pytest.approx(expected) and figure.low is figure.high is None
    assert f"{values[:, 0].mean():+.2f} (–)" in table([found]).text()


def test_table():
    found = summarise("csc", mixtures(*PAIRS), VALUES, 20)
    text = table([found]).text()
    assert "csc, /m/test.tsv" in text and "speakers" in text
    assert f"{VALUES[:, 0].mean():+.2f} ({found.si_snri.low:+.2f} to {found.si_snri.high:+.2f})" in text
