"""Numbering of identities, and the entropy of the identities that mixing draws."""

from collections.abc import Sequence

import numpy as np
from scipy.special import entr

from csc_fairseq.errors import InputError


def identity_table(labels: Sequence[str]) -> list[str]:
    """Distinct labels, sorted: the order of the rows of the speaker table.

    Raises:
        InputError: fewer than two identities, where there is nothing to contrast.
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
    """Entropy H(k) in nats of the identity of a talker of a mixture, given that the identity is known.

    Targets are drawn by recording, each further talker by speech among the identities not yet in the mixture (`mixing.py`).
    Exact for two talkers; of more, the third and later ones are taken to be distributed as the second.

    Args:
        targets: (groups,) target recordings of each identity. speech: (groups,) amount of speech of each.
        known: (groups,) bool, whether training has the identity.
        sources: C, talkers per mixture. single_talker_share: share of mixtures with the target alone.

    Returns:
        0 where no identity is known.
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
