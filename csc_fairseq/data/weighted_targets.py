"""Which recordings are the targets of an epoch, where those of some domains come more or less often than once.

Our choice: each domain goes round by round through its recordings, in another order every round, and an epoch takes up where the
one before ended. So a weight of 2 is two rounds an epoch, and one of 0.5 half a round: over the epochs no recording falls behind.
"""

from collections.abc import Sequence

import numpy as np

from csc_fairseq.data.rng import generator


class WeightedTargets:
    """Targets of every epoch. Drawn by a generator keyed by `key`, the domain and the round: any epoch can be asked for first.

    recordings: int64 [n], those that are targets. domains: int64 [n], of each. weights: float [domains], how often a recording is a
    target in an epoch, on average. key: as of `rng.generator`.
    """

    def __init__(
        self, recordings: np.ndarray, domains: np.ndarray, weights: np.ndarray, key: Sequence[int | str]
    ) -> None:
        self._members = [recordings[domains == domain] for domain in range(len(weights))]
        # Of an epoch; a small domain has one at least.
        self._counts = [
            max(1, round(float(weight) * len(members))) if len(members) else 0
            for members, weight in zip(self._members, weights, strict=True)
        ]
        self._key = key
        self._latest: tuple[int, np.ndarray, np.ndarray] | None = None

    def __len__(self) -> int:
        return sum(self._counts)

    def of_epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Targets of an epoch, from 1: recordings, int64 [len], and the round of each, int64 [len].

        A recording is there once a round, so that both together are a new key whenever it comes again.
        """
        if self._latest is None or self._latest[0] != epoch:
            parts = [self._of_domain(domain, epoch) for domain in range(len(self._counts)) if self._counts[domain]]
            recordings, rounds = (np.concatenate(column) for column in zip(*parts, strict=True))
            self._latest = epoch, recordings, rounds
        return self._latest[1:]

    def expected(self, total: int) -> np.ndarray:
        """How often each of `total` recordings is a target in an epoch, on average; float64 [total]."""
        times = np.zeros(total)
        for members, count in zip(self._members, self._counts, strict=True):
            if count:
                times[members] = count / len(members)
        return times

    def _of_domain(self, domain: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        members, count = self._members[domain], self._counts[domain]
        rounds, positions = np.divmod(np.arange((epoch - 1) * count, epoch * count), len(members))
        recordings = np.empty(count, dtype=np.int64)
        for number in range(int(rounds[0]), int(rounds[-1]) + 1):
            order = generator(*self._key, "targets", domain, number).permutation(members)
            chosen = rounds == number
            recordings[chosen] = order[positions[chosen]]
        return recordings, rounds
