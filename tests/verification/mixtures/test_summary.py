from pathlib import Path

import numpy as np
import pytest

from csc_fairseq.data.fixed_mixtures import FixedMixtures
from csc_fairseq.data.manifest import Manifest
from csc_fairseq.data.texts import Labels, Names
from csc_fairseq.verification.mixtures.summary import summarise, table
from tests.making import fails

VALUES = np.array([[0.0, 1.0], [6.0, 2.0], [12.0, 6.0]])


def mixtures(*speakers: str, count: int = 2) -> FixedMixtures:
    """So many mixtures as there are names of talkers, "ab" for a and b; without names three of nobody knows whom."""
    number = len(speakers) or 3
    names = [f"{i}.wav" for i in range(number)]
    manifest = Manifest(Path("/m/test.tsv"), Path("/m"), names, np.ones(number, dtype=np.int64))
    labels = Labels.of(one for row in speakers for one in row) if speakers else None
    return FixedMixtures(manifest, count, Names.of(f"{i}" for i in range(number * count)), labels)


def replicates(weights) -> np.ndarray:
    """Percentiles of the means with the given weights of the mixtures, by replicate; those without any are left out."""
    weights = np.array([row for row in weights if sum(row)], dtype=float)
    return np.percentile(weights @ VALUES / weights.sum(1, keepdims=True), [2.5, 97.5], axis=0)


def test_speakers_are_resampled():
    found = summarise("csc", mixtures("ab", "ac", "bc"), VALUES, replicates=50, seed=3)
    assert (found.si_snri.value, found.sdri.value, found.resampled) == (6.0, 3.0, "speakers")
    rng = np.random.default_rng(3)
    copies = [rng.multinomial(3, [1 / 3] * 3) for _ in range(50)]
    expected = replicates([(a * b, a * c, b * c) for a, b, c in copies])
    assert [found.si_snri.low, found.si_snri.high] == pytest.approx(expected[:, 0])
    assert [found.sdri.low, found.sdri.high] == pytest.approx(expected[:, 1])


def test_somebody_who_talks_twice_in_a_mixture_counts_once():
    found = summarise("csc", mixtures("aa", "ba", "bb"), VALUES, replicates=50)
    rng = np.random.default_rng(0)
    expected = replicates([(a, a * b, b) for a, b in (rng.multinomial(2, [0.5] * 2) for _ in range(50))])
    assert [found.si_snri.low, found.si_snri.high] == pytest.approx(expected[:, 0])


def test_mixtures_are_resampled_where_nobody_knows_the_speakers():
    found = summarise("csc", mixtures(), VALUES, replicates=50)
    rng = np.random.default_rng(0)
    expected = replicates([rng.multinomial(3, [1 / 3] * 3) for _ in range(50)])
    assert [found.si_snri.low, found.si_snri.high] == pytest.approx(expected[:, 0])
    assert found.resampled == "mixtures"


def test_too_few_speakers():
    """One mixture of two speakers: half of all replicates lack one of them."""
    one = mixtures("ab")
    seed = next(seed for seed in range(9) if 0 in np.random.default_rng(seed).multinomial(2, [0.5] * 2))
    message = fails(summarise, "csc", one, VALUES[:1], 1, seed)
    assert message.startswith("/m/test.tsv: has too few speakers for 1 replicates")
    assert summarise("csc", one, VALUES[:1], 20, seed).si_snri.high == 0.0


def test_table():
    text = table([summarise("csc", mixtures("ab", "ac", "bc"), VALUES, 20)]).text()
    assert "csc, /m/test.tsv" in text and "+6.00 (" in text and "speakers" in text
