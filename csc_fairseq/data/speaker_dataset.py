"""The training set of speaker verification: mixtures labelled with the speaker of their target."""

from collections.abc import Sequence

import numpy as np
import torch

from csc_fairseq.data.augment import NoiseBank, RirBank
from csc_fairseq.data.mixing_plans import MixingOptions
from csc_fairseq.data.mixture_dataset import MixtureDataset
from csc_fairseq.data.pool import RecordingPool
from csc_fairseq.data.quotas import even_quotas
from csc_fairseq.data.rendering import Mixture
from csc_fairseq.data.rng import generator
from csc_fairseq.errors import InputError


class SpeakerDataset(MixtureDataset):
    """`MixtureDataset` whose targets are the recordings of speakers in the table. All speakers of the pool may interfere.

    The mixing is the augmentation: without noise and with single_talker_share 1, targets are clean and alone.

    distinct_speakers (for losses that compare speakers within a batch): every batch has items of different speakers, and a bad
    recording is replaced by another one of the same speaker, or of anybody where that was the only one.
    distinct_recordings: the views of an item are different recordings; otherwise disjoint crops of one will do.

    InputError: the pool does not suffice for the options; or distinct_recordings, and a speaker has fewer recordings than
    views.
    """

    def __init__(
        self,
        pool: RecordingPool,
        options: MixingOptions,
        seed: int,
        split_key: str,
        noise: NoiseBank | None = None,
        rirs: RirBank | None = None,
        skip_bad: bool = False,
        distinct_speakers: bool = False,
        distinct_recordings: bool = False,
    ) -> None:
        if pool.group_count < options.sources:
            raise InputError(
                f"{pool.manifest.path}: has recordings of {pool.group_count} speakers, expected at least "
                f"{options.sources} for mixtures of {options.sources} talkers; add speakers, or lower task.sources"
            )
        targets = np.flatnonzero(pool.identities >= 0)
        if distinct_recordings:
            _require_utterances(pool, targets, options.views)
        super().__init__(pool, options, seed, split_key, noise, rirs, indices=targets.tolist(), skip_bad=skip_bad)
        self.distinct_speakers = distinct_speakers

    def _substitute(self, target: int, rng: np.random.Generator) -> int:
        members = self.pool.members(int(self.pool.groups[target]))
        if not self.distinct_speakers or len(members) == 1:
            return super()._substitute(target, rng)
        return int(rng.choice(members))

    def collater(self, samples: Sequence[tuple[int, list[Mixture]]]) -> dict:
        """The batch of `MixtureDataset`, but net_input has only `source`, and there are two more entries; {} for no items.

        target_slots: long [B·V], the slot of the target in `sources`. speakers: long [B·V], row of the target's speaker
        in the table.
        """
        if not samples:
            return {}
        batch = super().collater(samples)
        batch["net_input"] = {"source": batch["net_input"]["source"]}
        slots = torch.tensor([mixture.target_slot for _, views in samples for mixture in views])
        batch["target_slots"] = slots
        batch["speakers"] = batch["identities"].gather(1, slots[:, None]).squeeze(1)
        return batch

    def batch_count(self, batch_size: int) -> int:
        """Number of full batches in an epoch. InputError: distinct_speakers, and fewer speakers than items in a batch."""
        if not self.distinct_speakers:
            return len(self) // batch_size
        return most_distinct_batches(np.bincount(self._speakers(np.arange(len(self)), batch_size)), batch_size)

    def batch_by_size(
        self,
        indices: np.ndarray,
        max_tokens: int | None = None,
        max_sentences: int | None = None,
        required_batch_size_multiple: int = 1,
    ) -> list[np.ndarray]:
        """Batches of the current epoch, each an int64 array of items. Without distinct_speakers, fairseq makes them.

        With distinct_speakers, every batch has exactly max_sentences (dataset.batch_size) items of different speakers;
        required_batch_size_multiple is ignored (our choice: these losses depend on the number of speakers they compare).
        All speakers give the same number of items, or all that they have. Items that make no full batch are left out. From
        a speaker with more items than needed, the first ones in `indices` are used. Keyed by (seed, split_key, epoch).

        InputError: distinct_speakers without a batch size, or with fewer speakers than the batch size.
        """
        if not self.distinct_speakers:
            return super().batch_by_size(indices, max_tokens, max_sentences, required_batch_size_multiple)
        if max_sentences is None:
            raise InputError("dataset.batch_size is not set, expected the number of different speakers in a batch")
        speakers = self._speakers(indices, max_sentences)
        counts = np.bincount(speakers)
        rng = generator(self.seed, self.split_key, self.epoch, "batches")
        batches = most_distinct_batches(counts, max_sentences)
        chosen = draw_distinct_batches(even_quotas(counts, batches * max_sentences, rng), max_sentences, rng)
        order = np.argsort(speakers, kind="stable")  # items speaker by speaker, each in the order of `indices`
        taken = np.concatenate([[0], np.cumsum(counts)])[:-1]
        result = []
        for batch in chosen:
            result.append(indices[order[taken[batch]]])
            taken[batch] += 1
        return result

    def _speakers(self, indices: np.ndarray, batch_size: int) -> np.ndarray:
        """Row of every item's speaker in the table. InputError if there are fewer speakers than items in a batch."""
        speakers = self.pool.identities[self.targets[indices]]
        found = len(np.unique(speakers))
        if found < batch_size:
            raise InputError(
                f"{self.pool.manifest.path}: has {found} speakers, expected at least as many as a batch has "
                f"items ({batch_size}); lower dataset.batch_size or add speakers"
            )
        return speakers


def _require_utterances(pool: RecordingPool, targets: np.ndarray, views: int) -> None:
    few = targets[pool.group_sizes()[pool.groups[targets]] < views]
    if len(few):
        first = int(few[0])
        group = int(pool.groups[first])
        raise InputError(
            f"{pool.place(first)}: speaker {pool.group_labels[group]!r} has {pool.group_sizes()[group]} recordings, expected "
            f"{views}, a different one for each view ({len(np.unique(pool.groups[few]))} such speakers); set "
            f"task.least_recordings={views} to leave them out, or add recordings"
        )


def most_distinct_batches(counts: np.ndarray, batch_size: int) -> int:
    """The largest possible number of batches of `batch_size` items of different speakers.

    It is the largest K with Σ min(counts, K) >= K · batch_size. No speaker is in a batch twice, so no speaker can give more
    than K items.

    Args:
        counts: int [S], items of every speaker.
    """
    low, high = 0, int(counts.sum()) // batch_size
    while low < high:  # the items left over, Σ min(counts, K) − K · batch_size, are concave in K and 0 at K = 0
        middle = (low + high + 1) // 2
        if np.minimum(counts, middle).sum() >= middle * batch_size:
            low = middle
        else:
            high = middle - 1
    return low


def draw_distinct_batches(quotas: np.ndarray, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Random batches of different speakers. Every speaker is in as many batches as its quota.

    A speaker with as many items left as there are batches left must be in the next batch. The rest of the batch is drawn;
    speakers with more items left are more likely. This never fails: with K batches left, no speaker must be in more than K.

    Args:
        quotas: int [S], sum K · batch_size, none larger than K.

    Returns:
        K arrays int64 [batch_size], numbers of speakers.
    """
    left = quotas.astype(np.int64)
    batches = []
    for remaining in range(int(left.sum()) // batch_size, 0, -1):
        # The largest keys are a draw without replacement, weighted by `left` (Efraimidis and Spirakis, 2006).
        keys = np.full(len(left), -np.inf)
        some = left > 0
        keys[some] = np.log1p(-rng.random(int(some.sum()))) / left[some]
        keys[left == remaining] = 1.0
        largest = np.argpartition(-keys, batch_size - 1)[:batch_size]
        batch = rng.permutation(np.sort(largest))  # sorted, because the order of a partition depends on the processor
        left[batch] -= 1
        batches.append(batch)
    return batches
