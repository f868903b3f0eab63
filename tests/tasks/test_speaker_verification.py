"""The task without a trainer: speakers, batches through fairseq's iterator, validation trials, and what it refuses."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from fairseq.tasks import FairseqTask

from csc_fairseq.checkpoints.checkpoint import PRETRAINING_SPEAKERS
from csc_fairseq.criterions.speaker import CONDITION_NAMES
from csc_fairseq.data.manifest import read_lines, write_lines
from csc_fairseq.data.speaker_dataset import SpeakerDataset
from csc_fairseq.errors import InputError
from csc_fairseq.tasks.speaker_verification import SpeakerVerificationConfig, SpeakerVerificationTask
from csc_fairseq.verification.trials.trial_dataset import TrialDataset


def build(folder, **options):
    config = SpeakerVerificationConfig(data=str(folder), view_seconds=0.5, valid_trials=40, valid_seconds=1.0)
    return SpeakerVerificationTask(replace(config, **options))


def copy_split(source, folder, split, lines, name=None):
    """A split of another folder with some of its recordings; the audio stays where it is."""
    for suffix, header in (("tsv", 1), ("spk", 0)):
        content = read_lines(source / f"{split}.{suffix}")
        write_lines(folder / f"{name or split}.{suffix}", content[:header] + [content[header + line] for line in lines])


def batch_iterator(task, split, size, **options):
    dataset = task.dataset(split)
    return task.get_batch_iterator(dataset, max_sentences=size, num_shards=1, required_batch_size_multiple=1, **options)


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("distinct", [False, True])
def test_two_epochs_through_fairseqs_iterator(voices, views, distinct):
    """Batches differ from epoch to epoch, though fairseq keeps the iterator and its workers."""
    task = build(voices, views=views, distinct_speakers=distinct)
    task.load_dataset("train")
    assert isinstance(task.dataset("train"), SpeakerDataset)
    iterator = batch_iterator(task, "train", 4, num_workers=2)
    seen = []
    for _ in range(2):
        batches = list(iterator.next_epoch_itr())
        iterator = batch_iterator(
            task, "train", 4, num_workers=2, epoch=iterator.next_epoch_idx
        )  # as fairseq's train.py
        speakers = [batch["speakers"].tolist() for batch in batches]
        assert [len(labels) for labels in speakers] == [4 * views] * 8
        items = np.concatenate([batch["id"].numpy() for batch in batches])
        assert sorted(items) == list(range(32))
        assert [label for labels in speakers for label in labels[::views]] == [item // 4 for item in items]
        assert all(labels[::views] == labels[views - 1 :: views] for labels in speakers)
        if distinct:
            assert all(len(set(labels)) == 4 for labels in speakers)
        seen.append([frozenset(batch["id"].tolist()) for batch in batches])
    assert set(seen[0]) != set(seen[1])


def test_speakers_with_few_recordings_are_no_targets_but_interfere(voices, tmp_path, caplog):
    """Of eight speakers with four recordings, s01 keeps one and s06 two."""
    copy_split(voices, tmp_path, "train", [i for i in range(32) if i not in (4, 5, 6, 24, 25)])
    task = build(tmp_path, least_recordings=3, single_talker_share=0.0)
    with caplog.at_level(logging.INFO):
        task.load_dataset("train")
    assert "2 of 8 speakers, with 3 of 27 recordings, are left out as targets" in caplog.text
    assert task.identities == ["s00", "s02", "s03", "s04", "s05", "s07"]
    dataset = task.dataset("train")
    assert len(dataset) == 24
    heard = set()
    for index in range(24):
        batch = dataset.collater([dataset[index]])
        assert task.identities[batch["speakers"].item()] == read_lines(tmp_path / "train.spk")[dataset.targets[index]]
        heard |= {dataset.pool.group_labels[dataset.pool.groups[s.recording]] for s in dataset.plans(index)[0].sources}
    assert heard > set(task.identities)


def test_validation_has_trials_of_unseen_speakers_in_two_conditions(voices):
    task = build(voices)
    task.load_dataset("test")
    dataset = task.dataset("test")
    assert isinstance(dataset, TrialDataset)
    assert [(c.talkers, c.sir_db) for c in dataset.conditions] == [(0, None), (1, 0.0)]
    assert [condition.name.split()[0] for condition in dataset.conditions] == list(CONDITION_NAMES)
    batches = list(batch_iterator(task, "test", 6).next_epoch_itr(shuffle=False))
    targets = np.concatenate([batch["targets"].numpy() for batch in batches])
    conditions = np.concatenate([batch["conditions"].numpy() for batch in batches])
    assert len(targets) == 80 and np.bincount(conditions).tolist() == [40, 40]
    assert targets[conditions == 0].sum() == targets[conditions == 1].sum() == 20
    assert max(batch["test"]["source"].shape[1] for batch in batches) == 16000
    quiet = build(voices, valid_sir_db=40.0)
    quiet.load_dataset("test")
    one, other = (some.dataset("test")[1].waveform for some in (task, quiet))
    clean = dataset[0].waveform
    assert np.abs(one - clean).max() > 10 * np.abs(other - clean).max() > 0


def test_state_is_all_that_loading_needs(voices, tmp_path):
    saved = build(voices).state_dict()
    assert saved == {"identities": [f"s{n:02d}" for n in range(8)], "identity_level": "speaker", "sample_rate": 16000}
    elsewhere = build(tmp_path / "gone")
    elsewhere.load_state_dict(saved)
    assert elsewhere.identities == saved["identities"]


def test_state_keeps_what_a_model_adds(voices):
    task = build(voices)
    task.state.add_factory("encoder_settings", lambda: {"kind": "xvector"})
    assert task.state.encoder_settings == {"kind": "xvector"}
    assert task.state_dict()["encoder_settings"] == {"kind": "xvector"} and len(task.state_dict()) == 4


def test_a_dummy_batch_after_validation_is_one_of_training(voices, monkeypatch):
    """fairseq hands a rank without data the first batch that it saw last, which after a validation holds trials."""
    task = build(voices)
    for split in ("train", "test"):
        task.load_dataset(split)
    mixtures, trials = (next(batch_iterator(task, split, 4).next_epoch_itr()) for split in ("train", "test"))
    assert "trial_test" in trials and "trial_test" not in mixtures
    trained = []

    def step(self, sample, *_, ignore_grad):
        trained.append((sample, ignore_grad))
        return torch.zeros(()), 1, {}

    monkeypatch.setattr(
        FairseqTask, "train_step", lambda self, sample, *others: step(self, sample, ignore_grad=others[-1])
    )
    task.train_step(mixtures, None, None, None, 1)
    task.train_step(trials, None, None, None, 2, ignore_grad=True)
    assert [(sample is mixtures, ignored) for sample, ignored in trained] == [(True, False), (True, True)]


def test_missing_validation_manifest_names_the_remedy(voices):
    with pytest.raises(InputError, match="dev.tsv: not found; .*dataset.valid_subset.*disable_validation"):
        build(voices).load_dataset("dev")
    with pytest.raises(InputError, match="combine_valid_subsets"):
        build(voices).load_dataset("test", combine=True)


def test_speakers_of_training_cannot_be_validated(voices, tmp_path):
    """Not even one that training leaves out as a target: it is heard there."""
    with pytest.raises(InputError, match=r"valid.tsv: speaker 's00' is in train.tsv too \(8 such"):
        build(voices).load_dataset("valid")
    copy_split(voices, tmp_path, "train", [0, 1, 4, 5, 8])
    copy_split(voices, tmp_path, "train", [9, 10, 12, 13, 16, 17, 20, 21], name="dev")
    with pytest.raises(InputError, match=r"dev.tsv: speaker 's02' is in train.tsv too \(1 such"):
        build(tmp_path, least_recordings=2).load_dataset("dev")


def test_fewer_than_two_speakers(voices, tmp_path):
    copy_split(voices, tmp_path, "train", [0, 1, 2])
    with pytest.raises(
        InputError, match="train.tsv: expected two speakers at least .* found only 's00'; add speakers$"
    ):
        build(tmp_path).load_dataset("train")
    copy_split(voices, tmp_path, "train", [0, 4, 8])
    with pytest.raises(InputError, match="2 recordings or more each, found none; .*lower task.least_recordings"):
        build(tmp_path, least_recordings=2).load_dataset("train")
    with pytest.raises(InputError, match="found none; add speakers or recordings, or take a loss .*criterion.loss=aam"):
        build(tmp_path, least_recordings=2, views=2).load_dataset("train")


def test_speakers_of_pre_training_are_told(voices, caplog):
    task = build(voices)
    task.state.merge_state_dict({PRETRAINING_SPEAKERS: ["s08", "s09", "elsewhere"]})
    with caplog.at_level("WARNING", logger="csc_fairseq.tasks.speaker_verification"):
        task.load_dataset("test")
    assert "speaker 's08' was heard in pre-training, as 2 were by their labels" in caplog.text


def test_a_corpus_with_one_utterance_of_a_speaker(voices, tmp_path):
    copy_split(voices, tmp_path, "train", [0, 1, 4, 8, 9])
    with pytest.raises(InputError, match="train.tsv:4: speaker 's01' has 1 recordings, .*task.least_recordings=2"):
        build(tmp_path, views=2, distinct_speakers=True).load_dataset("train")
    build(tmp_path, views=2, distinct_speakers=True, least_recordings=2).load_dataset("train")


def test_too_few_batches(voices):
    """Eight batches of four different speakers; fairseq drops the last one if it is asked to."""
    task = build(voices, distinct_speakers=True)
    task.load_dataset("train")
    batch_iterator(task, "train", 4, skip_remainder_batch=True)
    with pytest.raises(
        InputError, match="32 target recordings make 8 batches of 4, expected 10 at least .*dataset.batch_size"
    ):
        task.get_batch_iterator(task.dataset("train"), max_sentences=4, num_shards=5, skip_remainder_batch=True)
    with pytest.raises(InputError, match="has 8 speakers, .* lower dataset.batch_size"):
        batch_iterator(task, "train", 9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"least_recordings": 0}, "task.least_recordings is 0"),
        ({"valid_trials": 1}, "task.valid_trials is 1"),
        ({"valid_seconds": 0.0}, "task.valid_seconds is 0.0"),
    ],
)
def test_options_out_of_range(voices, options, message):
    with pytest.raises(InputError, match=message):
        build(voices, **options)


def test_two_crops_of_a_recording_are_an_identity_without_labels(voices, tmp_path):
    """As SimCLR has it: no .spk is read, every recording is its own speaker, and its views do not overlap."""
    copy_split(voices, tmp_path, "train", range(32))
    (tmp_path / "train.spk").unlink()
    task = build(tmp_path, identity="utterance", views=2, distinct_speakers=True, single_talker_share=1.0)
    task.load_dataset("train")
    dataset = task.dataset("train")
    assert len(task.identities) == len(dataset) == 32 and task.state_dict()["identity_level"] == "utterance"
    for index in (0, 17):
        first, second = (plan.sources[0] for plan in dataset.plans(index))
        assert first.recording == second.recording == index
        taken = sorted((start, start + source.frames) for source in (first, second) for start in source.starts)
        stretches = [[s for s in taken if s[0] in source.starts] for source in (first, second)]
        assert max(end for _, end in min(stretches)) <= min(start for start, _ in max(stretches))
    (batch,) = list(batch_iterator(task, "train", 32).next_epoch_itr())
    assert batch["speakers"][::2].tolist() == batch["speakers"][1::2].tolist()
    assert len(set(batch["speakers"].tolist())) == 32


def test_an_unknown_identity_level_is_refused(tmp_path):
    with pytest.raises(
        InputError, match="task.identity is 'voice'; choose one of speaker, session, utterance, cluster"
    ):
        build(tmp_path, identity="voice")
