"""The order of identities, and the entropy of the identities that mixing draws."""

from collections.abc import Sequence

import numpy as np
from scipy.special import entr

from csc_fairseq.data.texts import Labels
from csc_fairseq.errors import InputError


def identity_table(labels: Sequence[str]) -> list[str]:
    """The distinct labels, sorted: the order of the rows in the identity table.

    Raises:
        InputError: fewer than two identities, so there is nothing to contrast.
    """
    names = list(Labels.of(labels).values)
    if len(names) < 2:
        found = f"only {names[0]!r}" if names else "none"
        raise InputError(
            f"contrastive training needs at least two identities, found {found}; add speakers or choose another task.identity"
        )
    return names


def distinct_numbers(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Those of int [n], not negative, ascending, and the position of each among them, as `np.unique` finds them.

    Unlike that, it does not sort where the numbers are hardly larger than there are many: 10 million recordings take memory.
    """
    if numbers.max() > 4 * len(numbers):
        values, positions = np.unique(numbers, return_inverse=True)
        return values, positions
    there = np.zeros(int(numbers.max()) + 1, dtype=bool)
    there[numbers] = True
    return np.flatnonzero(there), (np.cumsum(there) - 1)[numbers]


def sampling_entropy(
    groups: np.ndarray,
    frames: np.ndarray,
    targets: np.ndarray,
    known: np.ndarray,
    sources: int,
    single_talker_share: float,
    domains: np.ndarray | None = None,
    same_domain_share: float = 0.0,
) -> float:
    """Entropy H(k), in nats, of the identity of a talker in a mixture, given that the identity is known.

    Mixing draws targets by recording. It draws each further talker by amount of speech, among the identities that are not
    yet in the mixture, in a share of the mixtures within the target's domain (`mixing_plans.py`). The result is exact for two
    talkers. With more talkers, the third and later ones are assumed to be distributed as the second.

    Args:
        groups: (n,) long, number of every recording's identity. frames: (n,) amount of speech of every recording, in any unit.
        targets: (n,) how often every recording is a target.
        known: (identities,) bool, whether the identity has a row in the identity table.
        sources: C, talkers per mixture.
        single_talker_share: share of mixtures in which the target talks alone.
        domains: (n,) long, number of every recording's domain; None: there is one. same_domain_share: see `MixingOptions`.

    Returns:
        The entropy, or 0 if no identity is known.
    """
    count = len(known)
    domains = np.zeros(len(groups), dtype=np.int64) if domains is None else domains
    # What matters of an identity is what it has in each domain: `pairs` of both, as many as there are, not all possible ones.
    pairs, pair = distinct_numbers(groups * (domains.max() + 1) + domains)
    group, domain = np.divmod(pairs, domains.max() + 1)
    speech = np.bincount(pair, frames)
    target = np.bincount(pair, targets) / targets.sum()
    near = same_domain_share * (np.bincount(domain) >= sources)[domain]  # fewer identities: anybody interferes

    def interferers(target: np.ndarray, domain: np.ndarray, pair_group: np.ndarray, speech: np.ndarray) -> np.ndarray:
        """p(h) = Σ over targets g ≠ h of p(g)·speech(h) / (speech of the domain − speech(g)), by identity."""
        odds = target / np.maximum(np.bincount(domain, speech)[domain] - speech, 1e-12)
        return np.bincount(pair_group, speech * (np.bincount(domain, odds)[domain] - odds), minlength=count)

    everybody = interferers(
        np.bincount(group, target * (1 - near), minlength=count),
        np.zeros(count, dtype=np.int64),
        np.arange(count),
        np.bincount(group, speech, minlength=count),
    )
    interferer = everybody + interferers(target * near, domain, group, speech)
    prior = np.bincount(group, target, minlength=count) + (1 - single_talker_share) * (sources - 1) * interferer
    prior = prior[known]
    if not len(prior):
        return 0.0
    return float(entr(prior / prior.sum()).sum())
