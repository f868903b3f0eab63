"""The training set of speaker verification: mixtures of which the target's speaker is the label."""

from collections.abc import Sequence

import numpy as np
import torch

from csc_fairseq.data.augment import NoiseBank, RirBank
from csc_fairseq.data.mixing import MixingOptions
from csc_fairseq.data.mixture_dataset import MixtureDataset
from csc_fairseq.data.pool import RecordingPool
from csc_fairseq.data.rendering import Mixture
from csc_fairseq.data.rng import generator
from csc_fairseq.errors import InputError


class SpeakerDataset(MixtureDataset):
    """`MixtureDataset` with the recordings of the table's speakers as targets; anybody in the pool may interfere.

    The mixing is the augmentation: without noise and with single_talker_share 1 the targets are clean and alone.
    distinct_speakers: every batch holds items of different speakers, each item's views are different utterances, and
    another recording of the same speaker takes a bad one's place (losses that compare speakers within a batch).

    InputError: the pool cannot serve the options; distinct_speakers and a speaker with fewer recordings than views.
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
    ) -> None:
        if pool.group_count < options.sources:
            raise InputError(
                f"{pool.manifest.path}: has recordings of {pool.group_count} speakers, expected at least "
                f"{options.sources} for mixtures of {options.sources} talkers; add speakers, or lower task.sources"
            )
        targets = np.flatnonzero(pool.identities >= 0)
        if distinct_speakers:
            _require_utterances(pool, targets, options.views)
        super().__init__(pool, options, seed, split_key, noise, rirs, indices=targets, skip_bad=skip_bad)
        self.distinct_speakers = distinct_speakers

    def _substitute(self, target: int, rng: np.random.Generator) -> int:
        if not self.distinct_speakers:
            return super()._substitute(target, rng)
        return int(rng.choice(self.pool.members(int(self.pool.groups[target]))))

    def collater(self, samples: Sequence[tuple[int, list[Mixture]]]) -> dict:
        """`MixtureDataset`'s batch with net_input cut down to {source}, and two more entries; {} if there are no items.

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
        """Full batches of an epoch. InputError: distinct_speakers, and fewer speakers than a batch has items."""
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
        """Batches of the current epoch, each an int64 array of items; fairseq's own unless distinct_speakers.

        With distinct_speakers, every batch has exactly max_sentences (dataset.batch_size) items, of different speakers,
        whatever required_batch_size_multiple (our choice; these losses depend on how many speakers they compare).
        Speakers give equally many items, as far as they have them, and what no full batch can be made of is left out;
        of a speaker with more, those that come first in `indices`. Keyed by (seed, split_key, epoch).

        InputError: distinct_speakers without a batch size, or fewer speakers than it.
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
        """Row of every item's speaker in the table; InputError if a batch cannot be of different speakers."""
        speakers = self.pool.identities[self.targets[indices]]
        found = len(np.unique(speakers))
        if found < batch_size:
            raise InputError(
                f"{self.pool.manifest.path}: has {found} speakers, expected as many as a batch of different speakers has "
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
    """How many batches of `batch_size` items of different speakers can be made at most.

    The largest K with Σ min(counts, K) >= K · batch_size: no speaker is in a batch twice, so none can give more than K.

    Args:
        counts: int [S], items of every speaker.
    """
    low, high = 0, int(counts.sum()) // batch_size
    while low < high:  # what K leaves over, Σ min(counts, K) − K · batch_size, is concave in K and 0 at K = 0
        middle = (low + high + 1) // 2
        if np.minimum(counts, middle).sum() >= middle * batch_size:
            low = middle
        else:
            high = middle - 1
    return low


def even_quotas(counts: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """How many items every speaker gives of `total` <= Σ counts; int64 [S], as even as counts [S] allow.

    All give the same, or all that they have; who gives one more, if the total asks for it, is drawn.
    """
    level = 0
    while np.minimum(counts, level + 1).sum() <= total and level < counts.max():
        level += 1
    quotas = np.minimum(counts, level)
    more = rng.permutation(np.flatnonzero(counts > level))[: total - quotas.sum()]
    quotas[more] += 1
    return quotas


def draw_distinct_batches(quotas: np.ndarray, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Random batches of different speakers in which every speaker is as often as its quota says.

    Whoever has as many items left as there are batches left must be in the next one; the rest of a batch is drawn, the
    likelier the more items a speaker has left. That never fails: of K batches left, no speaker has to be in more than K.

    Args:
        quotas: int [S], sum K · batch_size, none larger than K.

    Returns:
        K arrays int64 [batch_size], numbers of speakers.
    """
    left = quotas.astype(np.int64)
    batches = []
    for remaining in range(int(left.sum()) // batch_size, 0, -1):
        # The largest keys are a draw without replacement with weights `left` (Efraimidis and Spirakis, 2006).
        keys = np.full(len(left), -np.inf)
        some = left > 0
        keys[some] = np.log1p(-rng.random(int(some.sum()))) / left[some]
        keys[left == remaining] = 1.0
        largest = np.argpartition(-keys, batch_size - 1)[:batch_size]
        batch = rng.permutation(np.sort(largest))  # sorted, since the order of a partition depends on the processor
        left[batch] -= 1
        batches.append(batch)
    return batches
