"""Trials as batches: the audio of the conditions, the trials of the list, padding, keys, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader

from csc_fairseq.data.manifest import read_labels, read_manifest, write_labels, write_manifest
from csc_fairseq.data.pool import RecordingError, RecordingPool
from csc_fairseq.errors import InputError
from csc_fairseq.verification.trials.conditions import CLEAN, Condition
from csc_fairseq.verification.trials.material import Material
from csc_fairseq.verification.trials.trial_dataset import TrialDataset, draw_trials

RATE = 16000
LONGEST = 4000
TALKER = Condition("talker 3 dB", talkers=1, sir_db=3.0)


def frames_of(recording):
    return 2400 + 400 * (recording % 7)


@pytest.fixture
def manifest(tmp_path):
    """Five speakers with four recordings each of 0.15 to 0.3 s, of different levels."""
    entries = []
    for recording in range(20):
        samples = 0.01 * (1 + recording) * np.random.default_rng(recording).standard_normal(frames_of(recording))
        name = f"{recording}.wav"
        (tmp_path / "speech").mkdir(exist_ok=True)
        soundfile.write(tmp_path / "speech" / name, samples, RATE, subtype="FLOAT")
        entries.append((name, len(samples)))
    write_manifest(tmp_path / "dev.tsv", tmp_path / "speech", entries)
    write_labels(tmp_path / "dev.spk", [f"s{recording // 4}" for recording in range(20)])
    return read_manifest(tmp_path / "dev.tsv")


def material_of(manifest, trials, seed=0):
    pool = RecordingPool(manifest, read_labels(manifest, "spk"), {}, RATE)
    return Material(pool, trials.interferers, {}, None, LONGEST, seed)


def dataset_of(manifest, count=60, seed=0):
    trials = draw_trials(manifest, count, seed)
    return trials, TrialDataset(material_of(manifest, trials, seed), trials, (CLEAN, TALKER))


def batches_of(dataset, size=6, workers=0):
    return list(DataLoader(dataset, batch_size=size, collate_fn=dataset.collater, num_workers=workers))


def at_rms(samples, rms=0.05):
    samples = samples - samples.mean()
    return samples * rms / np.sqrt(np.mean(np.square(samples, dtype=np.float64)))


def row(part, index):
    """One recording of a padded part. Padding must be zeros."""
    padding = part["padding_mask"][index]
    length = int((~padding).sum())
    assert not padding[:length].any() and padding[length:].all() and not part["source"][index, length:].any()
    return part["source"][index, :length].numpy()


def test_batches_hold_every_trial_of_the_list_once_per_condition(manifest):
    """Clean audio identifies the recordings. The trials found in this way must be those of the list."""
    trials, dataset = dataset_of(manifest)
    original = [manifest.file(recording) for recording in range(20)]
    original = [at_rms(soundfile.read(path)[0][:LONGEST]) for path in original]

    def recording_of(samples):
        (found,) = [
            i
            for i, other in enumerate(original)
            if len(other) == len(samples) and np.allclose(samples, other, atol=1e-5)
        ]
        return found

    tests = dataset.tests.repeat(2)
    found = {0: set(), 1: set()}
    for batch in batches_of(dataset):
        assert batch["nsentences"] == len(batch["targets"]) == len(batch["trial_enrol"]) == len(batch["conditions"])
        assert batch["ntokens"] == sum(int((~batch[side]["padding_mask"]).sum()) for side in ("enrol", "test"))
        enrolled = [recording_of(row(batch["enrol"], i)) for i in range(len(batch["enrol"]["source"]))]
        assert len(set(enrolled)) == len(enrolled) and set(batch["trial_enrol"].tolist()) == set(range(len(enrolled)))
        heard = [tests[item] for item in batch["id"].tolist()]
        for enrol, test, target, condition in zip(
            *(batch[key].tolist() for key in ("trial_enrol", "trial_test", "targets", "conditions")), strict=True
        ):
            if condition == 0:
                assert recording_of(row(batch["test"], test)) == heard[test]
            trial = (enrolled[enrol], int(heard[test]), target)
            assert trial not in found[condition]
            found[condition].add(trial)
    enrol = [trials.models[model][0] for model in trials.enrol]
    expected = set(zip(enrol, trials.test.tolist(), trials.targets.tolist(), strict=True))
    assert found == {0: expected, 1: expected} and len(expected) == 60
    assert sum(target for *_, target in expected) == 30
    assert all((enrolled // 4 == test // 4) == target for enrolled, test, target in expected)


def test_the_other_talker_lies_at_the_level_of_the_condition(manifest):
    trials, dataset = dataset_of(manifest)
    for place, recording in enumerate(dataset.tests.tolist()):
        clean, mixed = (dataset[2 * place + condition] for condition in (0, 1))
        assert (clean.condition, mixed.condition) == (0, 1)
        assert (clean.enrol == mixed.enrol).all() and (clean.targets == mixed.targets).all()
        other = mixed.waveform - clean.waveform
        extent = np.flatnonzero(np.abs(other) > 1e-6)
        other = other[extent[0] : extent[-1] + 1]
        ratio = 10 * np.log10(np.mean(clean.waveform**2) / np.mean(other**2))
        assert ratio == pytest.approx(3.0, abs=0.05)
        interferer = trials.interferers[recording, 0]
        assert len(other) == pytest.approx(min(frames_of(recording), frames_of(interferer), LONGEST), abs=3)


def test_dtypes_and_shapes(manifest):
    _, dataset = dataset_of(manifest)
    batch = dataset.collater([dataset[index] for index in (0, 1, 4)])
    longest = int(dataset.sizes[[0, 1, 4]].max())
    assert batch["test"]["source"].shape == batch["test"]["padding_mask"].shape == (3, longest)
    assert batch["test"]["source"].dtype == batch["enrol"]["source"].dtype == torch.float32
    assert batch["test"]["padding_mask"].dtype == batch["targets"].dtype == torch.bool
    for key in ("id", "trial_enrol", "trial_test", "conditions"):
        assert batch[key].dtype == torch.int64
    assert batch["id"].tolist() == [0, 1, 4] and set(batch["trial_test"].tolist()) == {0, 1, 2}
    assert dataset.collater([]) == {}


def test_the_same_in_every_epoch_and_for_any_number_of_workers_but_not_for_another_seed(manifest):
    def everything(dataset, workers=0):
        return b"".join(
            tensor.numpy().tobytes()
            for batch in batches_of(dataset, workers=workers)
            for tensor in (
                batch["id"],
                batch["test"]["source"],
                batch["enrol"]["source"],
                batch["targets"],
                batch["trial_enrol"],
            )
        )

    reference = everything(dataset_of(manifest)[1])
    _, dataset = dataset_of(manifest)
    dataset.set_epoch(2)
    np.testing.assert_array_equal(dataset.ordered_indices(), np.arange(len(dataset)))
    assert everything(dataset, workers=2) == reference
    assert everything(dataset_of(manifest, seed=1)[1]) != reference


def test_sizes_for_fairseq(manifest):
    _, dataset = dataset_of(manifest)
    lengths = [min(frames_of(recording), LONGEST) for recording in dataset.tests for _ in range(2)]
    assert len(dataset) == len(lengths) and max(lengths) == LONGEST
    assert [dataset.num_tokens(i) for i in range(len(dataset))] == lengths
    assert [dataset.size(i) for i in range(len(dataset))] == [len(dataset[i].waveform) for i in range(len(dataset))]
    assert dataset.num_tokens_vec(np.array([3, 0])).tolist() == [lengths[3], lengths[0]]
    kept, ignored = dataset.filter_indices_by_size(np.array([2, 1]), 10)
    assert (kept.tolist(), ignored) == ([2, 1], [])
    batches = dataset.batch_by_size(dataset.ordered_indices(), max_sentences=4)
    assert np.concatenate(batches).tolist() == list(range(len(dataset)))


def test_targets_are_across_sessions_only_if_a_speaker_has_several(manifest):
    write_labels(manifest.path.with_suffix(".session"), [f"s{i // 4}-{i % 2}" for i in range(20)])
    across = draw_trials(manifest, 60, 0)
    enrol = np.array([recordings[0] for recordings in across.models])[across.enrol]
    assert (enrol[across.targets] % 2 != across.test[across.targets] % 2).all()
    write_labels(manifest.path.with_suffix(".session"), [f"s{i // 4}" for i in range(20)])
    assert draw_trials(manifest, 60, 0).targets.sum() == 30


def test_what_is_refused(manifest, tmp_path):
    def labelled(labels):
        write_labels(manifest.path.with_suffix(".spk"), labels)
        return manifest

    with pytest.raises(InputError, match="dev.tsv: has 2 speakers, expected at least 3"):
        draw_trials(labelled([f"s{i % 2}" for i in range(20)]), 60, 0)
    with pytest.raises(InputError, match="dev.tsv: has no target trial"):
        draw_trials(labelled([f"s{i}" for i in range(20)]), 60, 0)
    with pytest.raises(InputError, match="dev.tsv: makes 15 target and 15 non-target trials, expected 20 of each"):
        draw_trials(labelled([f"s{i // 4}" for i in range(20)]), 30, 0)
    trials = draw_trials(manifest, 60, 0)
    nobody = replace(trials, interferers=np.full((20, 2), -1))
    with pytest.raises(InputError, match="0 speakers can interfere"):
        TrialDataset(material_of(manifest, nobody), nobody, (CLEAN, TALKER))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_enrolment_is_named(manifest, workers):
    _, dataset = dataset_of(manifest)
    first = dataset[0]
    path = manifest.file(int(first.enrol[0]))
    path.write_bytes(b"nothing")
    with pytest.raises(RecordingError, match=str(path)):
        batches_of(dataset, size=1, workers=workers)
