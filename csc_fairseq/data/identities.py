"""The order of identities, and the entropy of the identities that mixing draws."""

from collections.abc import Sequence

import numpy as np
from scipy.special import entr

from csc_fairseq.errors import InputError


def identity_table(labels: Sequence[str]) -> list[str]:
    """The distinct labels, sorted: the order of the rows in the identity table.

    Raises:
        InputError: fewer than two identities, so there is nothing to contrast.
    """
    names = sorted(set(labels))
    if len(names) < 2:
        found = f"only {names[0]!r}" if names else "none"
        raise InputError(
            f"contrastive training needs at least two identities, found {found}; add speakers or choose another task.identity"
        )
    return names


def sampling_entropy(
    targets: np.ndarray, speech: np.ndarray, known: np.ndarray, sources: int, single_talker_share: float
) -> float:
    """Entropy H(k), in nats, of the identity of a talker in a mixture, given that the identity is known.

    Mixing draws targets by recording. It draws each further talker by amount of speech, among the identities that are not
    yet in the mixture (`mixing_plans.py`). The result is exact for two talkers. With more talkers, the third and later ones
    are assumed to be distributed as the second.

    Args:
        targets: (groups,) number of target recordings of each identity.
        speech: (groups,) amount of speech of each identity, in any unit.
        known: (groups,) bool, whether the identity has a row in the identity table.
        sources: C, talkers per mixture.
        single_talker_share: share of mixtures in which the target talks alone.

    Returns:
        The entropy, or 0 if no identity is known.
    """
    target = targets / targets.sum()
    share = speech / speech.sum()
    # p(interferer h) = Σ over targets g ≠ h of p(g) · share(h) / (1 − share(g)).
    odds = target / np.maximum(1 - share, 1e-12)
    interferer = share * (odds.sum() - odds)
    prior = (target + (1 - single_talker_share) * (sources - 1) * interferer)[known]
    if not len(prior):
        return 0.0
    return float(entr(prior / prior.sum()).sum())
