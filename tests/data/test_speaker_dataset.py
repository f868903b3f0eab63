"""Batches for verification: labels, slots, keys, and batches of different speakers."""

from collections import Counter
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
import torch
from fairseq.data.iterators import EpochBatchIterator
from torch.utils.data import DataLoader

from csc_fairseq.data.augment import power
from csc_fairseq.data.mixing_plans import MixingOptions
from csc_fairseq.data.quotas import even_quotas
from csc_fairseq.data.speaker_dataset import (
    SpeakerDataset,
    draw_distinct_batches,
    most_distinct_batches,
)
from csc_fairseq.errors import InputError

VIEW = 4000
CLEAN = MixingOptions(view_frames=VIEW, views=1, single_talker_share=1.0, noise_probability=0.0, rir_probability=0.0)
MIXED = replace(CLEAN, views=2, single_talker_share=0.3, noise_probability=0.5)
LENGTHS = [[9000, 8000, 5000], [9000, 9000], [6000, 12000, 7000, 5000], [8000, 8000]]
TIMEOUT = 60  # seconds; a worker that hangs fails the test instead of stopping it


@pytest.fixture
def make_dataset(make_pool):
    def make(options=MIXED, lengths=LENGTHS, known=None, suffix="wav", **changes):
        pool = make_pool(lengths, known=known, suffix=suffix)
        return SpeakerDataset(pool, options, **({"seed": 1, "split_key": "train"} | changes))

    return make


def speakers_of(dataset, batch):
    return dataset.pool.groups[dataset.targets[batch]].tolist()


# What a batch holds


def test_the_label_is_the_speaker_of_the_target_and_the_slot_is_where_it_sits(make_dataset):
    """Against the plans, where sources[0] is the target, and against levels: a target has RMS 0.05."""
    dataset = make_dataset(replace(MIXED, sources=3, single_talker_share=0.2, noise_probability=0.0))
    order = [7, 0, 4, 10]
    batch = dataset.collater([dataset[index] for index in order])
    plans = [plan for index in order for plan in dataset.plans(index)]
    assert set(batch["net_input"]) == {"source"} and batch["net_input"]["source"].shape == (8, VIEW)
    assert batch["target_slots"].dtype == batch["speakers"].dtype == torch.int64
    assert batch["target_slots"].tolist() == [plan.order[0] for plan in plans]
    assert len(set(batch["target_slots"].tolist())) > 1
    assert batch["speakers"].tolist() == [2, 2, 0, 0, 1, 1, 3, 3]
    for view, slot in enumerate(batch["target_slots"].tolist()):
        heard = batch["sources"][view, slot].numpy()
        assert power(np.trim_zeros(heard)) == pytest.approx(0.05**2, rel=1e-3)
        assert batch["identities"][view, slot] == batch["speakers"][view] and batch["present"][view, slot]
    assert dataset.collater([]) == {}


def test_clean_alone_is_the_recording_itself(make_dataset):
    dataset = make_dataset(CLEAN, lengths=[[VIEW], [VIEW]])
    batch = dataset.collater([dataset[1]])
    original = torch.from_numpy(dataset.pool.crop(1, 0, VIEW))
    original = original - original.mean()
    torch.testing.assert_close(batch["net_input"]["source"][0], 0.05 * original / original.square().mean().sqrt())
    assert batch["present"].sum() == 1 and batch["speakers"].tolist() == [1]


def test_speakers_without_a_row_interfere_but_are_no_targets(make_dataset):
    dataset = make_dataset(replace(MIXED, single_talker_share=0.0), known=2)
    assert dataset.targets.tolist() == [0, 1, 2, 3, 4] and len(dataset) == 5
    heard = set()
    for index in range(5):
        batch = dataset.collater([dataset[index]])
        assert batch["speakers"].tolist() == [0, 0] if index < 3 else [1, 1]
        heard |= set(dataset.pool.groups[[s.recording for plan in dataset.plans(index) for s in plan.sources]].tolist())
    assert heard > {0, 1}


def epoch_bytes(batches):
    return b"".join(
        tensor.numpy().tobytes()
        for batch in batches
        for tensor in (
            batch["id"],
            batch["net_input"]["source"],
            batch["sources"],
            batch["target_slots"],
            batch["speakers"],
        )
    )


def test_batches_do_not_depend_on_the_number_of_workers(make_dataset):
    def loaded(workers, **changes):
        dataset = make_dataset(**changes)
        timeout = TIMEOUT if workers else 0
        return epoch_bytes(
            DataLoader(dataset, batch_size=3, collate_fn=dataset.collater, num_workers=workers, timeout=timeout)
        )

    reference = loaded(0)
    assert loaded(1) == loaded(2) == reference
    assert loaded(0, seed=2) != reference and loaded(0, split_key="other") != reference


# Batches of different speakers


def test_fairseq_iterates_over_new_batches_of_distinct_speakers_in_every_epoch(make_dataset):
    """As in fairseq's training: its own iterator, workers that live for several epochs, new batches, shuffled."""

    def epochs(workers, numbers, skip=0):
        dataset = make_dataset(distinct_speakers=True, lengths=[[5000] * 4] * 6)

        def batches(dataset, epoch):
            return dataset.batch_by_size(dataset.ordered_indices(), max_sentences=4)

        dataset.set_epoch(numbers[0])
        iterator = EpochBatchIterator(
            dataset,
            dataset.collater,
            batches,
            num_workers=workers,
            epoch=numbers[0],
            timeout=TIMEOUT if workers else 0,
            reuse_dataloader=True,
        )
        if skip:
            iterator.load_state_dict({"epoch": numbers[0], "iterations_in_epoch": skip, "shuffle": True})
        return {number: list(iterator.next_epoch_itr(shuffle=True)) for number in numbers}

    reference = epochs(0, (1, 2))
    for batches in reference.values():
        assert len(batches) == 6
        assert all(len(set(batch["speakers"][::2].tolist())) == 4 for batch in batches)
        items = [item for batch in batches for item in batch["id"].tolist()]
        assert sorted(items) == list(range(24))
    compositions = [{frozenset(batch["id"].tolist()) for batch in batches} for batches in reference.values()]
    assert not compositions[0] & compositions[1]
    with_workers = epochs(2, (1, 2))
    assert {n: epoch_bytes(batches) for n, batches in with_workers.items()} == {
        n: epoch_bytes(batches) for n, batches in reference.items()
    }
    resumed = epochs(0, (2,), skip=4)
    assert epoch_bytes(resumed[2]) == epoch_bytes(reference[2][4:])


@pytest.mark.parametrize("counts", [[4, 4, 4, 4], [9, 3, 3, 2, 1], [50, 1, 1, 1], [7, 6, 5, 5, 5, 1, 1, 1, 2, 30]])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_batches_are_full_distinct_balanced_and_as_many_as_can_be(make_dataset, counts, size):
    dataset = make_dataset(CLEAN, lengths=[[VIEW] * count for count in counts], distinct_speakers=True)
    batches = dataset.batch_by_size(dataset.ordered_indices(), max_sentences=size, required_batch_size_multiple=8)
    # The greedy choice of the speakers with most items left is known to make the largest number of batches.
    left, possible = np.array(counts), 0
    while (left > 0).sum() >= size:
        left[np.argsort(-left)[:size]] -= 1
        possible += 1
    assert len(batches) == possible == dataset.batch_count(size)
    assert all(len(batch) == len(set(speakers_of(dataset, batch))) == size for batch in batches)
    used = np.concatenate(batches)
    assert len(set(used.tolist())) == len(used)
    given = np.bincount(speakers_of(dataset, used), minlength=len(counts))
    for one, other in product(range(len(counts)), repeat=2):
        # Numbers differ by the one drawn item at most, unless a speaker has no more items.
        assert given[one] >= given[other] - 1 or given[one] == counts[one]


def test_the_most_batches_against_all_ways_to_make_them():
    for counts in product(range(1, 5), repeat=4):
        for size in (2, 3, 4):
            possible = [k for k in range(1, 17) if sum(min(count, k) for count in counts) >= k * size]
            assert most_distinct_batches(np.array(counts), size) == max(possible)


def test_even_quotas_level_out_what_speakers_have():
    rng = np.random.default_rng(0)
    assert even_quotas(np.array([9, 3, 1]), 7, rng).tolist() == [3, 3, 1]
    assert even_quotas(np.array([9, 3, 1]), 13, rng).tolist() == [9, 3, 1]
    drawn = [tuple(even_quotas(np.array([5, 5, 1]), 4, rng).tolist()) for _ in range(40)]
    assert set(drawn) == {(2, 1, 1), (1, 2, 1)}


def test_who_shares_a_batch_is_random():
    """12 speakers with 6 items each: a pair would miss all 18 batches with probability (60/66)^18 = 0.18."""
    batches = draw_distinct_batches(np.full(12, 6), 4, np.random.default_rng(0))
    meetings = Counter(pair for batch in batches for pair in combinations(sorted(batch.tolist()), 2))
    assert len(batches) == 18 and np.bincount(np.concatenate(batches)).tolist() == [6] * 12
    assert len(meetings) >= 48 and max(meetings.values()) <= 6  # of 66 pairs, 54 expected
    assert len({frozenset(batch.tolist()) for batch in batches}) >= 17


def test_a_speaker_with_as_many_items_as_there_are_batches_is_in_all():
    for seed in range(20):
        batches = draw_distinct_batches(np.array([5, 1, 1, 1, 1, 1]), 2, np.random.default_rng(seed))
        assert len(batches) == 5 and all(0 in batch and len(set(batch.tolist())) == 2 for batch in batches)


def test_distinct_batches_are_keyed(make_dataset):
    def composition(epoch, **changes):
        dataset = make_dataset(CLEAN, lengths=[[VIEW] * 5] * 6, distinct_speakers=True, **changes)
        dataset.set_epoch(epoch)
        return [batch.tolist() for batch in dataset.batch_by_size(np.arange(30), max_sentences=3)]

    assert composition(1) == composition(1)
    others = [composition(2), composition(1, seed=2), composition(1, split_key="other")]
    assert all(other != composition(1) for other in others)


def test_views_of_distinct_speakers_are_different_utterances(make_dataset):
    dataset = make_dataset(distinct_speakers=True)
    for index in range(len(dataset)):
        first, second = (plan.sources[plan.target].recording for plan in dataset.plans(index))
        assert first == dataset.targets[index] != second
        assert dataset.pool.groups[first] == dataset.pool.groups[second]


def test_without_the_option_batches_are_fairseqs(make_dataset):
    dataset = make_dataset()
    batches = dataset.batch_by_size(np.arange(11), max_sentences=4)
    assert [batch.tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
    assert dataset.batch_count(4) == 2


@pytest.mark.parametrize("distinct", [True, False])
def test_a_bad_recording_gives_way_to_the_same_speaker_where_batches_need_it(make_dataset, distinct):
    dataset = make_dataset(
        CLEAN, lengths=[[6000] * 6, [6000] * 3, [6000] * 3], suffix="flac", skip_bad=True, distinct_speakers=distinct
    )
    content = dataset.pool.path(4).read_bytes()
    dataset.pool.path(4).write_bytes(content[: len(content) // 2])
    speakers = set()
    for epoch in range(1, 13):
        dataset.set_epoch(epoch)
        batch = dataset.collater([dataset[4]])
        assert batch["id"].tolist() == [4]
        speakers |= set(batch["speakers"].tolist())
    assert (speakers == {0}) == distinct


# Errors


def test_fewer_speakers_than_a_batch_has_items(make_dataset):
    dataset = make_dataset(distinct_speakers=True)
    with pytest.raises(InputError, match=r"has 4 speakers, .* items \(5\); lower dataset.batch_size"):
        dataset.batch_by_size(np.arange(11), max_sentences=5)
    with pytest.raises(InputError, match="lower dataset.batch_size"):
        dataset.batch_count(5)
    with pytest.raises(InputError, match="dataset.batch_size is not set"):
        dataset.batch_by_size(np.arange(11), max_tokens=10 * VIEW)


def test_a_speaker_with_one_utterance_cannot_serve_two_views(make_dataset):
    lengths = [[9000] * 2, [9000], [9000] * 2, [9000]]
    with pytest.raises(
        InputError, match=r"speech.tsv:4: speaker 'spk1' has 1 recordings, .*2 such .*least_recordings=2"
    ):
        make_dataset(lengths=lengths, distinct_speakers=True, distinct_recordings=True)
    make_dataset(lengths=lengths)  # losses that do not compare speakers within a batch can use two crops of it
    make_dataset(lengths=lengths, known=1, distinct_speakers=True, distinct_recordings=True)
    make_dataset(CLEAN, lengths=lengths, distinct_speakers=True, distinct_recordings=True)


def test_fewer_speakers_than_talkers_of_a_mixture(make_dataset):
    with pytest.raises(InputError, match="4 speakers, expected at least 5 .* lower task.sources"):
        make_dataset(replace(MIXED, sources=5))
