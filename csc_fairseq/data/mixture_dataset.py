"""The training set: every recording is a target, mixed anew in every epoch, reproducibly."""

import logging
from collections.abc import Sequence

import numpy as np
import torch
from fairseq.data import FairseqDataset

from csc_fairseq.data.augment import NoiseBank, RirBank
from csc_fairseq.data.identities import sampling_entropy
from csc_fairseq.data.mixing import MixingOptions, MixingPlan, check_pool, draw_plans
from csc_fairseq.data.pool import RecordingError, RecordingPool
from csc_fairseq.data.rendering import Mixture, render
from csc_fairseq.data.rng import generator

logger = logging.getLogger(__name__)

MOST_ATTEMPTS = 10  # targets tried for one item before skip_bad gives up: the folder is gone rather than a file bad


class MixtureDataset(FairseqDataset):
    """Items are target recordings; each yields options.views mixtures (our choice).

    Everything random is keyed by (seed, split_key, epoch, recording): the same for any number of workers, on a rerun
    and after a resume. fixed: the same mixtures in every epoch, at the final single-talker share (validation). indices:
    recordings that serve as targets (all by default); interferers always come from the whole pool. skip_bad: in
    place of an item with an unreadable or silent recording, mix another target, with one warning per file and worker,
    where the default raises.
    InputError if the pool cannot serve the options.
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
        self.targets = np.arange(len(pool)) if indices is None else np.asarray(indices, dtype=np.int64)
        self.skip_bad = skip_bad
        self.prior_entropy = self._prior_entropy()
        # Shared memory: fairseq's workers live on from epoch to epoch and would never see a plain attribute change.
        self._epoch = torch.ones(1, dtype=torch.long).share_memory_()
        self._reported: set[str] = set()

    def _prior_entropy(self) -> float:
        targets = np.bincount(self.pool.groups[self.targets], minlength=self.pool.group_count)
        known = np.zeros(self.pool.group_count, dtype=bool)
        known[self.pool.groups[self.pool.identities >= 0]] = True
        return sampling_entropy(
            targets, self.pool.group_frames(), known, self.options.sources, self.options.single_talker_share
        )

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def epoch(self) -> int:
        """Current epoch, the first is 1; seen by all workers."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Mix anew from here on, also in workers that are already running. No effect on a fixed dataset."""
        self._epoch.fill_(epoch)

    def plans(self, index: int, attempt: int = 0) -> tuple[MixingPlan, ...]:
        """What item `index` will mix in the current epoch. attempt: 0 its own target, else a random one in its place."""
        target = int(self.targets[index])
        epoch = "fixed" if self.fixed else self.epoch
        share = self.options.single_talker_share if self.fixed else self.options.single_talker_share_at(epoch)
        rng = generator(self.seed, self.split_key, epoch, target, *([attempt] if attempt else []))
        if attempt:
            target = self._substitute(target, rng)
        return draw_plans(self.options, self.pool, target, rng, share, self.noise, self.rirs)

    def _substitute(self, target: int, rng: np.random.Generator) -> int:
        """The recording that takes the place of a bad target."""
        return int(rng.choice(self.targets))

    def __getitem__(self, index: int) -> tuple[int, list[Mixture]]:
        """(index, its mixtures). RecordingError for a bad recording; if skip_bad, for MOST_ATTEMPTS of them in a row.

        Another target takes a bad one's place, so that batches keep their size, alike on all ranks.
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
        """A batch of B items with V views of T samples and C slots each, an item's views side by side; {} if none.

        id: long [B]. net_input: source float32 [B·V, T], recordings long [B·V, C] (`RecordingPool.keys`, −1 where
        absent), groups long [B·V] (item within the batch). sources: float32 [B·V, C, T]. identities: long [B·V, C], −1
        where absent or not in the table. present: bool [B·V, C]. prior_entropy: H(k) of the dataset's talkers, nats.
        nsentences: B·V. ntokens: B·V·T, in samples.
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
                "recordings": torch.from_numpy(np.where(recordings < 0, -1, self.pool.keys[recordings])),
                "groups": torch.arange(len(samples)).repeat_interleave(self.options.views),
            },
            "sources": stack("sources"),
            "identities": stack("identities"),
            "present": stack("present"),
            "prior_entropy": self.prior_entropy,
            "nsentences": len(mixtures),
            "ntokens": source.numel(),
        }

    def num_tokens(self, index: int) -> int:
        """Samples in an item, all views together; the same for every item."""
        return self.options.views * self.options.view_frames

    def num_tokens_vec(self, indices: np.ndarray) -> np.ndarray:
        """num_tokens of several items; int64 [len(indices)]."""
        return np.full(len(indices), self.num_tokens(0), dtype=np.int64)

    def size(self, index: int) -> int:
        """Same as num_tokens."""
        return self.num_tokens(index)

    def ordered_indices(self) -> np.ndarray:
        """Items in the order of the current epoch: a keyed random permutation, or as they are if fixed; int64 [len]."""
        if self.fixed:
            return np.arange(len(self))
        return generator(self.seed, self.split_key, self.epoch, "order").permutation(len(self))

    def filter_indices_by_size(self, indices: np.ndarray, max_sizes: object) -> tuple[np.ndarray, list[int]]:
        """Keep all: views are equally long, however long their recordings are."""
        return indices, []
