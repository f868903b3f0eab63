"""The training set: every recording is a target, in new mixtures in every epoch, reproducibly."""

import logging
from collections.abc import Sequence

import numpy as np
import torch
from fairseq.data import FairseqDataset

from csc_fairseq.data.augment import NoiseBank, RirBank
from csc_fairseq.data.identities import sampling_entropy
from csc_fairseq.data.mixing_plans import MixingOptions, MixingPlan, check_pool, draw_plans
from csc_fairseq.data.pool import RecordingError, RecordingPool
from csc_fairseq.data.rendering import Mixture, render
from csc_fairseq.data.rng import generator
from csc_fairseq.data.weighted_targets import WeightedTargets

logger = logging.getLogger(__name__)

MOST_ATTEMPTS = 10  # targets that skip_bad tries for one item; if all fail, the folder is missing, not one file bad


class MixtureDataset(FairseqDataset):
    """Items are target recordings. Each item is a list of options.views mixtures (our choice).

    All draws are keyed by (seed, split_key, epoch, recording). So they are the same for any number of workers, in a second
    run, and after a resume. Where the pool has weights, recordings are targets as often as these say, other ones in every epoch and
    each time in other mixtures; a fixed dataset has every target once.

    fixed: the same mixtures in every epoch, with the final single-talker share (for validation). indices: recordings that
    are targets (default: all); interferers always come from the whole pool. skip_bad: if a recording is unreadable or
    silent, mix another target and warn once per file and worker; the default is to raise.

    InputError if the pool does not suffice for the options.
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
    ) -> None:
        check_pool(options, pool)
        self.pool = pool
        self.options = options
        self.seed = seed
        self.split_key = split_key
        self.noise = noise
        self.rirs = rirs
        self.fixed = fixed
        self._targets = np.arange(len(pool)) if indices is None else np.asarray(indices, dtype=np.int64)
        self._weighted = None
        if pool.weights is not None and not fixed:
            domains = pool.domains[self._targets]
            self._weighted = WeightedTargets(self._targets, domains, pool.weights, (seed, split_key))
        self.skip_bad = skip_bad
        self.prior_entropy = self._prior_entropy()
        # Shared memory: fairseq's workers live for several epochs and would not see the change of a plain attribute.
        self._epoch = torch.ones(1, dtype=torch.long).share_memory_()
        self._reported: set[str] = set()

    def _prior_entropy(self) -> float:
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
        """The recording of every item in the current epoch; int64 [len]."""
        return self._targets if self._weighted is None else self._weighted.of_epoch(self.epoch)[0]

    @property
    def epoch(self) -> int:
        """Current epoch, from 1. All workers see it."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Change to the mixtures of `epoch`, also in running workers. No effect on a fixed dataset."""
        self._epoch.fill_(epoch)

    def plans(self, index: int, attempt: int = 0) -> tuple[MixingPlan, ...]:
        """Plans of item `index` in the current epoch. attempt: 0 for its own target, else a random target replaces it."""
        target = int(self.targets[index])
        epoch = "fixed" if self.fixed else self.epoch
        share = self.options.single_talker_share if self.fixed else self.options.single_talker_share_at(self.epoch)
        key: list[int | str] = [self.seed, self.split_key, epoch, target]
        if self._weighted is not None:  # a target may come twice in an epoch
            key.append(f"round {self._weighted.of_epoch(self.epoch)[1][index]}")
        rng = generator(*key, *([attempt] if attempt else []))
        if attempt:
            target = self._substitute(target, rng)
        return draw_plans(self.options, self.pool, target, rng, share, self.noise, self.rirs)

    def _substitute(self, target: int, rng: np.random.Generator) -> int:
        """The recording that takes the place of a bad target."""
        return int(rng.choice(self.targets))

    def __getitem__(self, index: int) -> tuple[int, list[Mixture]]:
        """(index, its mixtures). RecordingError for a bad recording; with skip_bad, for MOST_ATTEMPTS of them in a row.

        With skip_bad, another target replaces a bad one. So batches keep their size, which must be equal on all ranks.
        """
        for attempt in range(MOST_ATTEMPTS):
            try:
                return index, [render(plan, self.pool, self.noise, self.rirs) for plan in self.plans(index, attempt)]
            except RecordingError as error:
                if not self.skip_bad:
                    raise
                failure = error
                if str(error.path) not in self._reported:
                    self._reported.add(str(error.path))
                    logger.warning("skipped: %s", error)
        raise RecordingError(f"{failure} ({MOST_ATTEMPTS} targets in a row could not be mixed)", failure.path)

    def collater(self, samples: Sequence[tuple[int, list[Mixture]]]) -> dict:
        """A batch of B items with V views of T samples and C slots each; {} for no items. An item's views are neighbours.

        id: long [B]. net_input: source float32 [B·V, T], recordings long [B·V, C] (`RecordingPool.keys`, −1 where
        absent), groups long [B·V] (number of the item in the batch). sources: float32 [B·V, C, T]. identities: long
        [B·V, C], −1 where absent or not in the table. talkers: long [B·V, C], number of the identity in the manifest, −1 where
        absent. views: long [B·V], number of the view in its item. present: bool [B·V, C]. prior_entropy: H(k) of the dataset's
        talkers, nats. nsentences: B·V. ntokens: B·V·T, in samples.
        """
        if not samples:
            return {}
        mixtures = [mixture for _, views in samples for mixture in views]

        def stack(name: str) -> torch.Tensor:
            return torch.from_numpy(np.stack([getattr(mixture, name) for mixture in mixtures]))

        source = stack("samples")
        recordings = np.stack([mixture.recordings for mixture in mixtures])
        return {
            "id": torch.tensor([index for index, _ in samples]),
            "net_input": {
                "source": source,
                "recordings": torch.from_numpy(self._keys(recordings)),
                "groups": torch.arange(len(samples)).repeat_interleave(self.options.views),
            },
            "sources": stack("sources"),
            "identities": stack("identities"),
            "talkers": torch.from_numpy(np.where(recordings < 0, -1, self.pool.groups[recordings])),
            "views": torch.arange(self.options.views).repeat(len(samples)),
            "present": stack("present"),
            "prior_entropy": self.prior_entropy,
            "nsentences": len(mixtures),
            "ntokens": source.numel(),
        }

    def _keys(self, recordings: np.ndarray) -> np.ndarray:
        """Keys of recordings, int64 of their shape; −1 for −1."""
        keys = np.full(recordings.shape, -1, dtype=np.int64)
        keys[recordings >= 0] = self.pool.keys(recordings[recordings >= 0].tolist())
        return keys

    def num_tokens(self, index: int) -> int:
        """Samples of all views of an item; the same for every item."""
        return self.options.views * self.options.view_frames

    def num_tokens_vec(self, indices: np.ndarray) -> np.ndarray:
        """num_tokens of several items; int64 [len(indices)]."""
        return np.full(len(indices), self.num_tokens(0), dtype=np.int64)

    def size(self, index: int) -> int:
        """Same as num_tokens."""
        return self.num_tokens(index)

    def ordered_indices(self) -> np.ndarray:
        """Order of the items in the current epoch, int64 [len]: a keyed random permutation; if fixed, 0, 1, 2, …"""
        if self.fixed:
            return np.arange(len(self))
        return generator(self.seed, self.split_key, self.epoch, "order").permutation(len(self))

    def filter_indices_by_size(self, indices: np.ndarray, max_sizes: object) -> tuple[np.ndarray, list[int]]:
        """Keep all: all views have the same length."""
        return indices, []
