"""The training set: every recording is a target, in new mixtures in every epoch, reproducibly."""

from collections.abc import Sequence

import numpy as np

from csc_fairseq.data.augment import NoiseBank, RirBank
from csc_fairseq.data.fixed_views import FixedViewPlan, FixedViews
from csc_fairseq.data.identities import sampling_entropy
from csc_fairseq.data.mixing_plans import MixingOptions, MixingPlan, check_pool, draw_plans
from csc_fairseq.data.pool import RecordingPool
from csc_fairseq.data.rendering import Mixture, render
from csc_fairseq.data.rng import generator
from csc_fairseq.data.view_dataset import ViewDataset
from csc_fairseq.data.weighted_targets import WeightedTargets
from csc_fairseq.errors import InputError


class MixtureDataset(ViewDataset):
    """Items are target recordings, mixed with others of the pool.

    Where the pool has weights, recordings are targets as often as these say, other ones in every epoch and each time in other
    mixtures; a fixed dataset has every target once.

    Args:
        pool: of targets and interferers. noise, rirs: None for white noise, for no reverberation.
        fixed: see the base; the share of single talkers is then the final one. indices: recordings that are targets;
            interferers always come from the whole pool.
        given: fixed mixtures, parts of which take the place of so many items (given_share), others in every epoch. All other
            items stay as they are without them.

    Raises:
        InputError: the pool does not suffice for the options; given_share is no share.
    """

    def __init__(
        self,
        pool: RecordingPool,
        options: MixingOptions,
        seed: int,
        split_key: str,
        noise: NoiseBank | None = None,
        rirs: RirBank | None = None,
        fixed: bool = False,
        indices: Sequence[int] | None = None,
        skip_bad: bool = False,
        given: FixedViews | None = None,
        given_share: float = 0.0,
    ) -> None:
        check_pool(options, pool)
        if not 0 <= given_share <= 1:
            raise InputError(f"fixed_share is {given_share}, expected a share between 0 and 1")
        super().__init__(pool.manifest, options, seed, split_key, fixed, indices, skip_bad)
        self.pool = pool
        self.noise = noise
        self.rirs = rirs
        self._given = given
        self._given_share = given_share
        self._groups = pool.groups if given is None else np.append(pool.groups, _numbers(given.sources, pool))
        self._weighted = None
        if pool.weights is not None and not fixed:
            domains = pool.domains[self._targets]
            self._weighted = WeightedTargets(self._targets, domains, pool.weights, (seed, split_key))
        self.prior_entropy = self._prior_entropy()

    def _prior_entropy(self) -> float:
        """Of what is mixed here: only validation asks for it, where nothing is given."""
        pool, options = self.pool, self.options
        known = np.zeros(pool.group_count, dtype=bool)
        known[pool.groups[pool.identities >= 0]] = True
        once = np.bincount(self._targets, minlength=len(pool))
        return sampling_entropy(
            pool.groups,
            pool.amounts,
            once if self._weighted is None else self._weighted.expected(len(pool)),
            known,
            options.sources,
            options.single_talker_share,
            pool.domains,
            options.same_domain_share,
        )

    def __len__(self) -> int:
        return len(self._targets) if self._weighted is None else len(self._weighted)

    @property
    def targets(self) -> np.ndarray:
        """See the base."""
        return self._targets if self._weighted is None else self._weighted.of_epoch(self.epoch)[0]

    def _again(self, index: int) -> tuple[str, ...]:
        return () if self._weighted is None else (f"round {self._weighted.of_epoch(self.epoch)[1][index]}",)

    def _draw(
        self, target: int, rng: np.random.Generator, key: tuple[int | str, ...]
    ) -> tuple[MixingPlan, ...] | tuple[FixedViewPlan, ...]:
        if self._given is not None:
            # A generator of its own: what is mixed stays as it is without given mixtures.
            choice = generator(*key, "given")
            if choice.random() < self._given_share:
                return self._given.draw(int(choice.integers(len(self._given))), choice)
        share = self.options.single_talker_share if self.fixed else self.options.single_talker_share_at(self.epoch)
        return draw_plans(self.options, self.pool, target, rng, share, self.noise, self.rirs)

    def _render(self, plan: MixingPlan | FixedViewPlan) -> Mixture:
        if not isinstance(plan, FixedViewPlan):
            return render(plan, self.pool, self.noise, self.rirs)
        mixture = self._given.render(plan)
        mixture.recordings[mixture.present] += len(self.pool)
        return mixture

    def talkers(self, recordings: np.ndarray) -> np.ndarray:
        """See the base. Those of given mixtures have the number of the same identity in the pool, if it is there."""
        return self._groups[recordings]

    def keys(self, recordings: Sequence[int]) -> np.ndarray:
        """See the base."""
        if self._given is None:
            return self.pool.keys(recordings)
        numbers = np.asarray(recordings, dtype=np.int64)
        given = numbers >= len(self.pool)
        keys = np.empty(len(numbers), dtype=np.int64)
        keys[~given] = self.pool.keys(numbers[~given].tolist())
        keys[given] = self._given.sources.keys((numbers[given] - len(self.pool)).tolist())
        return keys

    def talker(self, recording: int) -> tuple[str, str]:
        """See the base."""
        pool, number = self._own(recording)
        return str(pool.group_labels[pool.groups[number]]), pool.manifest.names[number]

    def _own(self, recording: int) -> tuple[RecordingPool, int]:
        """The pool of a recording, and its number there: given ones follow those of the pool."""
        if recording < len(self.pool):
            return self.pool, recording
        return self._given.sources, recording - len(self.pool)


def _numbers(given: RecordingPool, pool: RecordingPool) -> np.ndarray:
    """Number of the identity of every given recording: that of the same label in the pool, otherwise one after all of these."""
    known = {label: number for number, label in enumerate(pool.group_labels)}
    numbers = [known.get(label, pool.group_count + new) for new, label in enumerate(given.group_labels)]
    return np.array(numbers, dtype=np.int64)[given.groups]
