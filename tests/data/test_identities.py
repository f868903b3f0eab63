"""Numbering of identities and the entropy of the talkers that mixing draws."""

import math

import numpy as np
import pytest

from csc_fairseq.data.identities import distinct_numbers, identity_table, sampling_entropy
from csc_fairseq.errors import InputError


def test_table_is_sorted_and_distinct():
    assert identity_table(["b", "a", "b", "c"]) == ["a", "b", "c"]


@pytest.mark.parametrize("labels", [["a", "a"], []])
def test_one_identity_is_refused(labels):
    with pytest.raises(InputError, match="at least two identities"):
        identity_table(labels)


def entropy(targets, speech, known, sources, alone, **domain):
    """Of as many recordings as identities."""
    return sampling_entropy(np.arange(len(targets)), speech, targets, known, sources, alone, **domain)


def test_equal_identities_have_entropy_log_n():
    everyone = np.ones(7, dtype=bool)
    assert entropy(np.full(7, 3), np.full(7, 9), everyone, 2, 0.3) == pytest.approx(math.log(7))


def test_hand_computed_prior():
    """Targets 3:1 of two identities. The interferer is always the other one, so talkers are 1:1 in mixtures and 3:1 alone."""
    targets, speech, everyone = np.array([3, 1]), np.array([5, 90]), np.ones(2, dtype=bool)
    assert entropy(targets, speech, everyone, 2, 0.0) == pytest.approx(math.log(2))
    alone = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert entropy(targets, speech, everyone, 2, 1.0) == pytest.approx(alone)


def test_hand_computed_prior_of_three():
    """Only the first identity is a target. The others interfere 1:3, as their speech; the speech of the first has no effect."""
    prior = np.array([0.5, 0.125, 0.375])
    found = entropy(np.array([1, 0, 0]), np.array([50, 10, 30]), np.ones(3, dtype=bool), 2, 0.0)
    assert found == pytest.approx(-(prior * np.log(prior)).sum())


def test_only_known_identities_count():
    some = np.array([True, True, False, False, False])
    assert entropy(np.ones(5), np.ones(5), some, 2, 0.3) == pytest.approx(math.log(2))
    assert entropy(np.ones(2), np.ones(2), np.zeros(2, dtype=bool), 2, 0.3) == 0


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_prior_is_what_is_drawn(share):
    """Against 200 000 draws by hand: identity 0 speaks in two domains, and the last domain has one identity only."""
    groups, domains = np.array([0, 1, 1, 0, 2, 3, 4]), np.array([0, 0, 0, 1, 1, 1, 2])
    speech, targets = np.array([30, 10, 20, 5, 40, 10, 25]), np.array([1, 1, 0, 2, 1, 1, 1])
    rng = np.random.default_rng(0)
    counts = np.zeros(5)
    for target, times in enumerate(rng.multinomial(200_000, targets / targets.sum())):
        counts[groups[target]] += times
        others = groups != groups[target]
        of_the_domain = rng.binomial(times, share) if domains[target] != 2 else 0
        for chosen, draws in ((others & (domains == domains[target]), of_the_domain), (others, times - of_the_domain)):
            if draws:
                interferers = rng.choice(groups[chosen], draws, p=speech[chosen] / speech[chosen].sum())
                counts += np.bincount(interferers, minlength=5)
    drawn = -(counts / counts.sum() * np.log(counts / counts.sum())).sum()
    found = sampling_entropy(groups, speech, targets, np.ones(5, bool), 2, 0.0, domains, share)
    assert found == pytest.approx(drawn, abs=0.004)


@pytest.mark.parametrize("numbers", [[0], [3, 0, 3, 7], [10**12, 0, 10**12], [5] * 4])
def test_distinct_numbers(numbers):
    expected = np.unique(numbers, return_inverse=True)
    for one, other in zip(distinct_numbers(np.array(numbers)), expected, strict=True):
        assert one.tolist() == other.tolist()
