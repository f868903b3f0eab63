"""Numbering of identities, and the entropy of the identities that mixing draws."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

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


def sampling_entropy(labels: Sequence[str], known: Sequence[str], sources: int, single_talker_share: float) -> float:
    """Entropy H(k) in nats of the identity of a talker drawn from the mixes of a split, given that it is one of `known`.

    Targets are drawn by recording, each further talker uniformly from the identities other than the target's (`data/mixing.py`).

    Args:
        labels: one label per target recording.
        known: identities of the training table.
        sources: C, talkers per mixture. single_talker_share: share of mixtures with the target alone.
    """
    counts = Counter(labels)
    target = np.array([counts[name] for name in sorted(counts)], dtype=np.float64)
    target /= target.sum()
    interferer = (1 - target) / max(len(target) - 1, 1)
    prior = target + (1 - single_talker_share) * (sources - 1) * interferer
    kept = prior[np.isin(sorted(counts), list(known))]
    if not kept.sum():
        return 0.0
    kept = kept / kept.sum()
    return float(-(kept * np.log(kept)).sum())
