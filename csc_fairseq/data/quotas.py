"""How many items each identity gives, where some have more than others."""

import numpy as np


def even_quotas(counts: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """How many of `total` <= Σ counts items each identity gives: int64 [S], as equal as counts [S] allow.

    All identities give the same number, or all that they have. If the total needs more, those that give one more item are drawn.
    """
    level = 0
    while np.minimum(counts, level + 1).sum() <= total and level < counts.max():
        level += 1
    quotas = np.minimum(counts, level)
    more = rng.permutation(np.flatnonzero(counts > level))[: total - quotas.sum()]
    quotas[more] += 1
    return quotas
