import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from csc_fairseq.data.augment import NoiseBank, RirBank
from csc_fairseq.data.fixed_mixtures import read_fixed_mixtures
from csc_fairseq.data.fixed_views import FixedViewPlan, FixedViews
from csc_fairseq.data.identities import sampling_entropy
from csc_fairseq.data.mixing_plans import MixingOptions
from csc_fairseq.data.mixture_dataset import MixtureDataset
from csc_fairseq.data.pool import RecordingError
from csc_fairseq.errors import InputError
from tests.making import voice, write_recording, write_recordings

VIEW = 4000
OPTIONS = MixingOptions(view_frames=VIEW, noise_probability=0.5, rir_probability=0.5)
LENGTHS = [[9000, 8000, 5000], [9000, 9000], [6000, 12000, 7000]]
TIMEOUT = 60  # seconds; a worker that hangs fails the test instead of stopping it


@pytest.fixture
def make_dataset(make_pool, make_manifest):
    def make(options=OPTIONS, lengths=LENGTHS, suffix="wav", domains=None, weights=None, **changes):
        rng = np.random.default_rng(0)
        noise = NoiseBank(make_manifest("noise", {"n.wav": rng.standard_normal(6000)}), 16000)
        rirs = RirBank(make_manifest("rir", {f"{i}.wav": np.eye(300)[i * 40] for i in range(3)}), 16000)
        pool = make_pool(lengths, suffix=suffix, domain_labels=domains, domain_weights=weights)
        return MixtureDataset(
            pool, options, **({"seed": 1, "split_key": "train", "noise": noise, "rirs": rirs} | changes)
        )

    return make


def loader(dataset, workers, persistent=False):
    """Batches of three items in the order of the files, in any epoch."""
    return DataLoader(
        dataset,
        batch_size=3,
        collate_fn=dataset.collater,
        num_workers=workers,
        timeout=TIMEOUT if workers else 0,
        persistent_workers=persistent,
    )


def epoch_bytes(batches):
    """All contents of an epoch, as bytes."""
    parts = []
    for batch in batches:
        tensors = [batch["id"], *batch["net_input"].values(), batch["sources"], batch["identities"], batch["present"]]
        parts += [tensor.numpy().tobytes() for tensor in tensors]
    return b"".join(parts)


def test_mixes_do_not_depend_on_the_number_of_workers_or_the_run(make_dataset):
    reference = epoch_bytes(loader(make_dataset(), 0))
    for workers in (0, 1, 2):
        assert epoch_bytes(loader(make_dataset(), workers)) == reference


@pytest.mark.parametrize("workers", [0, 2])
def test_epochs_differ_also_in_persistent_workers(make_dataset, workers):
    dataset = make_dataset()
    batches = loader(dataset, workers, persistent=workers > 0)
    epochs = {}
    for epoch in (1, 2, 3):
        dataset.set_epoch(epoch)
        epochs[epoch] = epoch_bytes(batches)
    assert len(set(epochs.values())) == 3
    dataset.set_epoch(2)
    assert epoch_bytes(batches) == epochs[2]
    fresh = make_dataset()
    fresh.set_epoch(3)
    assert epoch_bytes(loader(fresh, 0)) == epochs[3]


@pytest.mark.parametrize("change", [{"seed": 2}, {"split_key": "valid"}])
def test_seed_and_split_change_the_mixes(make_dataset, change):
    assert epoch_bytes(loader(make_dataset(), 0)) != epoch_bytes(loader(make_dataset(**change), 0))


def test_fixed_mixes_stay_and_have_the_final_share(make_dataset):
    options = replace(OPTIONS, single_talker_share=0.0, single_talker_share_start=1.0, curriculum_epochs=3)
    dataset = make_dataset(options, fixed=True)
    first = epoch_bytes(loader(dataset, 0))
    order = dataset.ordered_indices()
    dataset.set_epoch(5)
    assert epoch_bytes(loader(dataset, 0)) == first
    np.testing.assert_array_equal(order, np.arange(8))
    np.testing.assert_array_equal(dataset.ordered_indices(), order)
    assert all(len(plan.sources) == 2 for index in range(8) for plan in dataset.plans(index))


# Three recordings of a, twice an epoch; five of b, half of them: round(2.5) is 2.
WEIGHTED = {"domains": list("aaabbbbb"), "weights": {"a": 2.0, "b": 0.5}}


def test_weights_say_how_often_recordings_are_targets(make_dataset):
    dataset = make_dataset(**WEIGHTED)
    heard = []
    for epoch in range(1, 6):
        dataset.set_epoch(epoch)
        targets = [dataset.plans(index)[0].sources[0].recording for index in range(len(dataset))]
        assert targets == dataset.targets.tolist()
        assert sorted(targets[:6]) == [0, 0, 1, 1, 2, 2] and len(set(targets[6:])) == 2
        heard += targets
    assert [heard.count(recording) for recording in range(8)] == [10] * 3 + [2] * 5
    expected = np.array([2.0] * 3 + [0.4] * 5)
    prior = sampling_entropy(
        dataset.pool.groups,
        dataset.pool.frames * np.array([2.0] * 3 + [0.5] * 5),
        expected,
        np.ones(3, dtype=bool),
        2,
        OPTIONS.single_talker_share,
    )
    assert dataset.prior_entropy == pytest.approx(prior)


def test_a_target_that_comes_twice_is_mixed_twice(make_dataset):
    dataset = make_dataset(**WEIGHTED)
    twice = [[plan for index in np.flatnonzero(dataset.targets == target) for plan in dataset.plans(int(index))]
             for target in (0, 1, 2)]  # fmt: skip
    assert all(len(plans) == 4 and len(set(plans)) == 4 for plans in twice)


def test_weighted_epochs_do_not_depend_on_workers_or_on_those_before(make_dataset):
    """As after a resume: the third epoch is the first that is asked for, or comes after two others in workers that live on."""
    dataset, fresh = make_dataset(**WEIGHTED), make_dataset(**WEIGHTED)
    batches = loader(dataset, 2, persistent=True)
    for epoch in (1, 2, 3):
        dataset.set_epoch(epoch)
        found = epoch_bytes(batches)
    fresh.set_epoch(3)
    assert epoch_bytes(loader(fresh, 0)) == found
    assert sorted(fresh.ordered_indices()) == list(range(8))


def test_fixed_mixes_have_no_weights(make_dataset):
    weighted, plain = make_dataset(**WEIGHTED, fixed=True), make_dataset(fixed=True)
    assert weighted.targets.tolist() == plain.targets.tolist() == list(range(8))


def test_curriculum_follows_the_epoch(make_dataset):
    options = replace(OPTIONS, single_talker_share=0.0, single_talker_share_start=1.0, curriculum_epochs=2)
    dataset = make_dataset(options)
    talkers = {}
    for epoch in (1, 3):
        dataset.set_epoch(epoch)
        talkers[epoch] = {len(plan.sources) for index in range(8) for plan in dataset.plans(index)}
    assert talkers == {1: {1}, 3: {2}}


def test_batch_shapes_and_contents(make_dataset):
    dataset = make_dataset(replace(OPTIONS, sources=3, views=2))
    items = [dataset[index] for index in (4, 1, 7)]
    batch = dataset.collater(items)
    assert batch["id"].tolist() == [4, 1, 7]
    assert batch["net_input"]["groups"].tolist() == [0, 0, 1, 1, 2, 2]
    assert batch["net_input"]["source"].shape == (6, VIEW)
    assert batch["sources"].shape == (6, 3, VIEW)
    for tensor in (batch["identities"], batch["present"], batch["net_input"]["recordings"]):
        assert tensor.shape == (6, 3)
    assert batch["net_input"]["source"].dtype == batch["sources"].dtype == torch.float32
    assert batch["identities"].dtype == batch["net_input"]["recordings"].dtype == batch["id"].dtype == torch.int64
    assert batch["present"].dtype == torch.bool
    assert (batch["nsentences"], batch["ntokens"]) == (6, 6 * VIEW)
    mixture = items[1][1][1]  # second item, second view
    np.testing.assert_array_equal(batch["net_input"]["source"][3], mixture.samples)
    np.testing.assert_array_equal(batch["sources"][3], mixture.sources)
    recordings = batch["net_input"]["recordings"]
    assert (recordings[0] == dataset.pool.keys([4])[0]).any()
    np.testing.assert_array_equal(recordings >= 0, batch["present"])
    keys = dataset.pool.keys(range(len(dataset.pool))).tolist()
    found = [keys.index(key) for key in recordings[batch["present"]].tolist()]
    np.testing.assert_array_equal(dataset.pool.identities[found], batch["identities"][batch["present"]])


def test_views_of_an_item_share_the_identity(make_dataset):
    dataset = make_dataset()
    for index in range(len(dataset)):
        identity = dataset.pool.identities[index]
        _, views = dataset[index]
        assert all(identity in view.identities for view in views)


def test_nothing_to_collate(make_dataset):
    dataset = make_dataset()
    assert dataset.collater([]) == {}


def test_subset_of_targets(make_dataset):
    dataset = make_dataset(replace(OPTIONS, views=1), indices=[6, 2])
    assert len(dataset) == 2
    assert [dataset.plans(index)[0].sources[0].recording for index in (0, 1)] == [6, 2]
    assert dataset.plans(0) == make_dataset(replace(OPTIONS, views=1)).plans(6)  # keyed by the recording


def test_sizes_and_order_for_fairseq(make_dataset):
    dataset = make_dataset(lengths=[[5000] * 20, [5000] * 20])
    assert dataset.num_tokens(3) == dataset.size(3) == 2 * VIEW
    assert dataset.num_tokens_vec(np.array([1, 2, 3])).tolist() == [2 * VIEW] * 3
    indices = np.array([3, 1])
    kept, ignored = dataset.filter_indices_by_size(indices, 10)
    assert (kept.tolist(), ignored) == ([3, 1], [])
    first = dataset.ordered_indices()
    assert sorted(first) == list(range(40))
    np.testing.assert_array_equal(first, dataset.ordered_indices())
    dataset.set_epoch(2)
    assert (first != dataset.ordered_indices()).any()
    batches = dataset.batch_by_size(first, max_tokens=6 * VIEW)
    assert [len(batch) for batch in batches] == [3] * 13 + [1]


def test_unusable_pools_are_refused_at_once(make_dataset):
    with pytest.raises(InputError, match="1 identity"):
        make_dataset(lengths=[[9000, 9000]])
    with pytest.raises(InputError, match="view_seconds"):
        make_dataset(replace(OPTIONS, view_frames=16000))


@pytest.fixture
def corrupt_dataset(make_dataset):
    """One of eight recordings is damaged in the middle; its header is intact. No interferers, so only one item is bad."""

    def make(**changes):
        dataset = make_dataset(replace(OPTIONS, views=1, single_talker_share=1.0), suffix="flac", **changes)
        path = dataset.pool.path(4)
        content = bytearray(path.read_bytes())
        first, end = len(content) // 3, 2 * len(content) // 3
        content[first:end] = bytes(end - first)
        path.write_bytes(content)
        return dataset, path

    return make


@pytest.mark.parametrize("workers", [0, 2])
def test_corrupt_file_is_named(corrupt_dataset, workers):
    dataset, path = corrupt_dataset()
    with pytest.raises(RecordingError, match=str(path)):
        list(loader(dataset, workers))


@pytest.mark.parametrize("workers", [0, 2])
def test_another_target_takes_the_place_of_a_corrupt_file_if_asked(corrupt_dataset, workers):
    dataset, _ = corrupt_dataset(skip_bad=True)
    batches = list(loader(dataset, workers))
    assert [batch["id"].tolist() for batch in batches] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    heard = torch.cat([batch["net_input"]["recordings"] for batch in batches])
    assert (heard >= 0).sum() == 8
    assert not (heard == int(dataset.pool.keys([4])[0])).any()
    assert epoch_bytes(loader(corrupt_dataset(skip_bad=True)[0], 0)) == epoch_bytes(batches)


def test_skipped_file_is_reported_once(corrupt_dataset, caplog):
    dataset, path = corrupt_dataset(skip_bad=True)
    with caplog.at_level(logging.WARNING):
        dataset[4], dataset[4]
    assert [str(path) in record.getMessage() for record in caplog.records] == [True]


def test_a_corpus_that_is_gone_is_not_skipped(corrupt_dataset):
    dataset, path = corrupt_dataset(skip_bad=True)
    for file in path.parents[1].rglob("*.flac"):
        file.unlink()
    with pytest.raises(RecordingError, match=r"no such file.*10 targets in a row"):
        dataset[0]


@pytest.fixture
def given(tmp_path):
    """Views of two fixed mixtures: of spk0 and a stranger, and of spk2 and spk0."""
    path = write_recordings(
        tmp_path / "given.tsv", {f"{i}.wav": voice(7, i, 0.6) + voice(8, i, 0.6) for i in (0, 1)}
    ).path
    for i in (0, 1):
        for speaker in (7, 8):
            write_recording(path.with_suffix("") / f"{speaker}_{i}.wav", voice(speaker, i, 0.6))
    path.with_suffix(".sources").write_text("7_0.wav\t8_0.wav\n7_1.wav\t8_1.wav\n")
    path.with_suffix(".speakers").write_text("spk0\tstranger\nspk2\tspk0\n")
    mixtures = read_fixed_mixtures(path)
    return FixedViews(mixtures, mixtures.speakers, {"spk0": 0, "spk1": 1, "spk2": 2}, OPTIONS)


def test_given_mixtures_take_the_place_of_some_items_and_change_no_others(make_dataset, given):
    plain, dataset = make_dataset(), make_dataset(given=given, given_share=0.5)
    replaced = [isinstance(dataset.plans(index)[0], FixedViewPlan) for index in range(len(dataset))]
    assert 0 < sum(replaced) < len(dataset)
    for index in range(len(dataset)):
        if not replaced[index]:
            assert dataset.plans(index) == plain.plans(index)
            np.testing.assert_array_equal(dataset[index][1][0].samples, plain[index][1][0].samples)
    assert epoch_bytes(loader(make_dataset(given=given, given_share=0.0), 0)) == epoch_bytes(loader(plain, 0))
    assert epoch_bytes(loader(dataset, 2)) == epoch_bytes(loader(dataset, 0))
    drawn = [dataset.plans(index) for index in range(len(dataset))]
    dataset.set_epoch(2)
    assert drawn != [dataset.plans(index) for index in range(len(dataset))]


def test_talkers_of_given_mixtures_are_those_of_the_pool(make_dataset, given):
    dataset = make_dataset(given=given, given_share=1.0)
    batch = dataset.collater([dataset[index] for index in range(len(dataset))])
    pairs = set(zip(batch["talkers"].flatten().tolist(), batch["identities"].flatten().tolist(), strict=True))
    assert pairs == {(0, 0), (2, 2), (5, -1)}  # the stranger has a number beyond those of the pool
    keys = set(batch["net_input"]["recordings"].flatten().tolist())
    assert keys == set(given.sources.keys(range(4)).tolist())
    assert dataset.talker(len(dataset.pool) + 1) == ("stranger", "8_0.wav")
    with pytest.raises(InputError, match="fixed_share is 1.5"):
        make_dataset(given=given, given_share=1.5)
