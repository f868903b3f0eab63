"""What fairseq trains on: items of several views of one target, drawn by key, rendered, and collated to batches."""

import logging
from collections.abc import Sequence

import numpy as np
import torch
from fairseq.data import FairseqDataset

from csc_fairseq.data.manifest import Manifest
from csc_fairseq.data.mixing_plans import MixingOptions
from csc_fairseq.data.pool import RecordingError
from csc_fairseq.data.rendering import Mixture
from csc_fairseq.data.rng import generator

logger = logging.getLogger(__name__)

MOST_ATTEMPTS = 10  # targets that skip_bad tries for one item; if all fail, the folder is missing, not one file bad


class ViewDataset(FairseqDataset):
    """Items are targets. Each item is a list of options.views mixtures (our choice).

    All draws are keyed by (seed, split_key, epoch, target). So they are the same for any number of workers, in a second
    run, and after a resume. A subclass draws plans (`_draw`), renders them, and knows who is in them.

    Args:
        manifest: whose lines are targets. options: of the views.
        fixed: the same mixtures in every epoch (for validation). indices: lines that are targets (default: all).
        skip_bad: if a recording is unreadable or silent, take another target and warn once per file and worker; the default is to
            raise.
    """

    prior_entropy: float
    """H(k) of the dataset's talkers, nats."""

    def __init__(
        self,
        manifest: Manifest,
        options: MixingOptions,
        seed: int,
        split_key: str,
        fixed: bool = False,
        indices: Sequence[int] | None = None,
        skip_bad: bool = False,
    ) -> None:
        self.manifest = manifest
        self.options = options
        self.seed = seed
        self.split_key = split_key
        self.fixed = fixed
        self._targets = np.arange(len(manifest)) if indices is None else np.asarray(indices, dtype=np.int64)
        self.skip_bad = skip_bad
        # Shared memory: fairseq's workers live for several epochs and would not see the change of a plain attribute.
        self._epoch = torch.ones(1, dtype=torch.long).share_memory_()
        self._reported: set[str] = set()

    def _draw(self, target: int, rng: np.random.Generator, key: tuple[int | str, ...]) -> tuple:
        """Plans of the views of a target. key: of rng."""
        raise NotImplementedError

    def _render(self, plan) -> Mixture:
        """The mixture of a plan; its recordings are numbers that `talkers`, `keys` and `talker` take."""
        raise NotImplementedError

    def talkers(self, recordings: np.ndarray) -> np.ndarray:
        """Number of the identity of every recording, int64 of their shape; anything for −1."""
        raise NotImplementedError

    def keys(self, recordings: Sequence[int]) -> np.ndarray:
        """`RecordingPool.keys` of recordings."""
        raise NotImplementedError

    def talker(self, recording: int) -> tuple[str, str]:
        """Identity and name of a recording."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self._targets)

    @property
    def targets(self) -> np.ndarray:
        """The target of every item in the current epoch; int64 [len]."""
        return self._targets

    def _again(self, index: int) -> tuple[str, ...]:
        """What tells an item from others of its target in the epoch; nothing where there are none."""
        return ()

    @property
    def epoch(self) -> int:
        """Current epoch, from 1. All workers see it."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Change to the mixtures of `epoch`, also in running workers. No effect on a fixed dataset."""
        self._epoch.fill_(epoch)

    def plans(self, index: int, attempt: int = 0) -> tuple:
        """Plans of item `index` in the current epoch. attempt: 0 for its own target, else a random target replaces it."""
        target = int(self.targets[index])
        epoch = "fixed" if self.fixed else self.epoch
        key = (self.seed, self.split_key, epoch, target, *self._again(index), *([attempt] if attempt else []))
        rng = generator(*key)
        if attempt:
            target = self._substitute(target, rng)
        return self._draw(target, rng, key)

    def _substitute(self, target: int, rng: np.random.Generator) -> int:
        """The target that takes the place of a bad one."""
        return int(rng.choice(self.targets))

    def __getitem__(self, index: int) -> tuple[int, list[Mixture]]:
        """(index, its mixtures). RecordingError for a bad recording; with skip_bad, for MOST_ATTEMPTS of them in a row.

        With skip_bad, another target replaces a bad one. So batches keep their size, which must be equal on all ranks.
        """
        for attempt in range(MOST_ATTEMPTS):
            try:
                return index, [self._render(plan) for plan in self.plans(index, attempt)]
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
        [B·V, C], −1 where absent or not in the table. talkers: long [B·V, C], number of the identity, −1 where absent.
        views: long [B·V], number of the view in its item. present: bool [B·V, C]. prior_entropy: H(k) of the dataset's
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
            "talkers": torch.from_numpy(np.where(recordings < 0, -1, self.talkers(recordings))),
            "views": torch.arange(self.options.views).repeat(len(samples)),
            "present": stack("present"),
            "prior_entropy": self.prior_entropy,
            "nsentences": len(mixtures),
            "ntokens": source.numel(),
        }

    def _keys(self, recordings: np.ndarray) -> np.ndarray:
        """Keys of recordings, int64 of their shape; −1 for −1."""
        keys = np.full(recordings.shape, -1, dtype=np.int64)
        keys[recordings >= 0] = self.keys(recordings[recordings >= 0].tolist())
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
