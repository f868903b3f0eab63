"""Fixed mixtures as a whole data set, to validate and test on, or to train on without mixing."""

from collections.abc import Sequence

import numpy as np
from scipy.special import entr

from csc_fairseq.data.fixed_mixtures import FixedMixtures
from csc_fairseq.data.fixed_views import FixedViewPlan, FixedViews
from csc_fairseq.data.rendering import Mixture
from csc_fairseq.data.view_dataset import ViewDataset


class FixedMixtureDataset(ViewDataset):
    """Items are fixed mixtures, one of whose sources is the target.

    Args:
        mixtures: whose lines are the items. views: of them. Others: see the base.
    """

    def __init__(
        self,
        mixtures: FixedMixtures,
        views: FixedViews,
        seed: int,
        split_key: str,
        fixed: bool = False,
        indices: Sequence[int] | None = None,
        skip_bad: bool = False,
    ) -> None:
        super().__init__(mixtures.manifest, views.options, seed, split_key, fixed, indices, skip_bad)
        self._views = views
        self.prior_entropy = self._prior_entropy()

    def _prior_entropy(self) -> float:
        """Of identities in the table as often as they are among the sources, nats; 0 if there are none."""
        known = self._views.sources.identities
        counts = np.bincount(known[known >= 0])
        return float(entr(counts / counts.sum()).sum()) if len(counts) else 0.0

    def _draw(self, target: int, rng: np.random.Generator, key: tuple[int | str, ...]) -> tuple[FixedViewPlan, ...]:
        return self._views.draw(target, rng)

    def _render(self, plan: FixedViewPlan) -> Mixture:
        return self._views.render(plan)

    def talkers(self, recordings: np.ndarray) -> np.ndarray:
        """See the base."""
        return self._views.sources.groups[recordings]

    def keys(self, recordings: Sequence[int]) -> np.ndarray:
        """See the base."""
        return self._views.sources.keys(recordings)

    def talker(self, recording: int) -> tuple[str, str]:
        """See the base."""
        pool = self._views.sources
        return str(pool.group_labels[pool.groups[recording]]), pool.manifest.names[recording]
