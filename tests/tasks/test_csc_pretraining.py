"""The task without a trainer: identities at every level, fixed validation mixes, and what it refuses."""

from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from csc_fairseq.cli.main import main
from csc_fairseq.errors import InputError
from csc_fairseq.models.csc import CscConfig, CscModel, unwrapped
from csc_fairseq.tasks.csc_pretraining import CscPretrainingConfig, CscPretrainingTask, evenly_spaced
from tests.corpora.trees import librimix
from tests.making import tiny


def build(voices: Path, **options: object) -> CscPretrainingTask:
    return CscPretrainingTask(replace(CscPretrainingConfig(data=str(voices), view_seconds=0.5), **options))


@pytest.mark.parametrize(("level", "identities"), [("speaker", 8), ("session", 8), ("utterance", 32), ("cluster", 3)])
def test_identity_levels(voices, level, identities):
    """Sessions fall back to the folder; clusters come from a file of pseudo-labels."""
    (voices / "train.cluster").write_text("".join(f"c{line % 3}\n" for line in range(32)))
    task = build(voices, identity=level)
    task.load_dataset("train")
    assert len(task.identities) == identities
    batch = task.dataset("train").collater([task.dataset("train")[index] for index in range(4)])
    found = batch["identities"][batch["present"]]
    assert 0 <= found.min() and found.max() < identities
    overlapped = batch["identities"][batch["present"].all(1)]
    assert (overlapped[:, 0] != overlapped[:, 1]).all()


def test_validation_is_fixed_and_training_is_not(voices):
    task = build(voices, valid_recordings=5)
    for split in ("train", "valid"):
        task.load_dataset(split)
        first = task.dataset(split)[3][1][0].samples
        task.dataset(split).set_epoch(2)
        assert (first == task.dataset(split)[3][1][0].samples).all() == (split == "valid")
    assert len(task.dataset("valid")) == 5


def test_weights_of_domains_are_for_training_alone(voices):
    """Domains are the top folders, four recordings of each speaker; as fairseq has the option, and as Hydra hands it on."""
    weights = {"s00": 3.0, "s01": 0.5}
    task = CscPretrainingTask(OmegaConf.merge(OmegaConf.structured(CscPretrainingConfig), {
        "data": str(voices), "view_seconds": 0.5, "valid_recordings": 0, "domain_weights": weights,
    }))  # fmt: skip
    for split in ("train", "valid"):
        task.load_dataset(split)
    train, valid = task.dataset("train"), task.dataset("valid")
    counts = np.bincount(train.pool.groups[train.targets])
    assert counts.tolist() == [12, 2, *[4] * 6] and len(train) == 38
    assert (len(valid), valid.pool.weights) == (len(valid.pool), None)
    with pytest.raises(InputError, match=r"train.tsv: task.domain_weights has 'vox', .* expected some of 's00', 's01'"):
        build(voices, domain_weights={"vox": 2.0}).load_dataset("train")


def test_weighted_targets_on_two_ranks_and_after_a_stop(voices):
    """Two ranks share the mixtures of one, and who begins in the middle of the second epoch gets what is left of it."""

    def batches(ranks: int = 1, rank: int = 0, done: int = 0) -> list[bytes]:
        task = build(voices, domain_weights={"s00": 3.0, "s01": 0.5})
        task.load_dataset("train")
        options = {"max_sentences": 4, "num_shards": ranks, "shard_id": rank, "epoch": 2}
        iterator = task.get_batch_iterator(task.dataset("train"), **options)
        if done:
            iterator.load_state_dict({"epoch": 2, "iterations_in_epoch": done, "shuffle": True, "len": len(iterator)})
        return [batch["net_input"]["source"].numpy().tobytes() for batch in iterator.next_epoch_itr()]

    whole = batches()
    assert len(set(whole)) == len(whole) == 10  # 38 targets
    assert batches(done=7) == whole[7:]
    assert [batches(2, rank) for rank in (0, 1)] == [whole[0::2], whole[1::2]]


def test_strangers_in_validation_are_told_of(voices, caplog):
    task = build(voices)
    task.load_dataset("test")
    assert "12 of 12 recordings have an identity that is not in training" in caplog.text
    batch = task.dataset("test").collater([task.dataset("test")[0]])
    assert (batch["identities"] == -1).all() and batch["present"].any() and batch["prior_entropy"] == 0


def test_state_is_all_that_loading_needs(voices, tmp_path):
    saved = build(voices).state_dict()
    elsewhere = build(tmp_path / "gone")
    elsewhere.load_state_dict(saved)
    assert elsewhere.identities == [f"s{number:02d}" for number in range(8)]
    assert saved["sample_rate"] == 16000 and saved["identity_level"] == "speaker"


def test_evenly_spaced():
    assert evenly_spaced(10, 4) == [0, 2, 5, 7]
    assert evenly_spaced(10, 10) is evenly_spaced(10, 0) is None


def test_too_few_recordings_for_two_batches(voices):
    task = build(voices)
    task.load_dataset("train")
    with pytest.raises(InputError, match=r"32 recordings, fewer than two batches .* lower dataset.batch_size"):
        task.get_batch_iterator(task.dataset("train"), max_sentences=17, num_shards=1)


def test_missing_validation_manifest_names_the_remedy(voices, tmp_path):
    for name in ("train.tsv", "train.spk"):
        (tmp_path / name).write_text((voices / name).read_text())
    with pytest.raises(InputError, match="valid.tsv: not found; .*--valid-per-speaker"):
        build(tmp_path).load_dataset("valid")


@pytest.fixture(scope="module")
def mixtures(once) -> Path:
    """Folder with train.tsv and dev.tsv of a small Libri2Mix."""

    def fill(folder: Path) -> None:
        root = librimix(folder / "Libri2Mix", seconds=1.1)
        assert main(["prepare", "librimix", str(root), "--out", str(folder), "--subsets", "train-100", "dev"]) == 0

    return once("mixtures_to_train_on", fill)


def test_validation_on_fixed_mixtures(voices, mixtures, tmp_path, caplog):
    for name in ("train.tsv", "train.spk"):
        (tmp_path / name).write_text((voices / name).read_text())
    for suffix in ("tsv", "sources", "speakers"):
        (tmp_path / f"valid.{suffix}").write_text((mixtures / f"train.{suffix}").read_text())
    task = build(tmp_path, valid_recordings=2, fixed_mixtures=str(mixtures / "dev.tsv"), fixed_share=0.3)
    task.load_dataset("valid")
    assert "6 of 6 recordings have an identity that is not in training" in caplog.text
    valid = task.dataset("valid")
    assert len(valid) == 2 and {plan.mixture for plan in valid.plans(1)} & {1}
    before = valid[1][1][0].samples
    valid.set_epoch(3)
    assert (valid[1][1][0].samples == before).all()
    task.load_dataset("train")
    kinds = [type(task.dataset("train").plans(index)[0]).__name__ for index in range(32)]
    assert 3 <= kinds.count("FixedViewPlan") <= 16 and kinds.count("MixingPlan") == 32 - kinds.count("FixedViewPlan")


def test_training_on_fixed_mixtures_alone(mixtures):
    task = build(mixtures)
    assert task.identities == [f"librispeech/{number}" for number in (103, 1235, 27)]
    task.load_dataset("train")
    batch = task.dataset("train").collater([task.dataset("train")[index] for index in range(3)])
    assert batch["present"].all() and sorted(set(batch["identities"].flatten().tolist())) == [0, 1, 2]
    assert len(build(mixtures, identity="utterance").identities) == 6
    with pytest.raises(InputError, match="nothing is mixed; leave task.fixed_mixtures out"):
        build(mixtures, fixed_mixtures=str(mixtures / "dev.tsv")).load_dataset("train")


def test_weights_of_other_identities_are_not_taken(voices):
    sizes = dict(sources=2, waveform_channels=8, window=16, channels=8, recurrent_channels=4, attention_heads=2)
    task = build(voices)
    torch.manual_seed(0)
    ours, same = CscModel(CscConfig(**sizes), task.identities), CscModel(CscConfig(**sizes), task.identities)
    same.load_state_dict(ours.state_dict())
    task.begin_epoch(1, same)
    assert torch.equal(same.table.weight, ours.table.weight)
    others = CscModel(CscConfig(**sizes), [f"t{number:02d}" for number in range(8)])
    others.load_state_dict(ours.state_dict())
    with pytest.raises(InputError, match="train.tsv: its 8 identities differ from the checkpoint's 8"):
        task.begin_epoch(1, others)


def test_unwrapped_finds_the_model_inside_two_wrappers(voices):
    model = CscModel(CscConfig(sources=2), ["a", "b"])
    wrapper = torch.nn.DataParallel(torch.nn.DataParallel(model))
    assert unwrapped(wrapper) is unwrapped(model) is model


@pytest.mark.parametrize("gradient", [1.0, torch.inf], ids=["a step", "an overflow"])
def test_an_overflow_of_mixed_precision_puts_nothing_into_the_bank(voices, gradient):
    """fairseq calls the step either way, and then gives the same batch again."""
    task = build(voices, identity="speaker")
    model = CscModel(CscConfig(**asdict(tiny(memory="bank"))), task.identities)
    weights = list(model.parameters())
    scaler, sgd = torch.amp.GradScaler("cpu", init_scale=4.0), torch.optim.SGD(weights, lr=0.1)
    scaler.scale(sum(weight.sum() for weight in weights)).backward()
    weights[0].grad.fill_(gradient)

    def step() -> None:
        scaler.step(sgd)
        scaler.update()

    model.encoder.memory.stage(torch.ones(1, 2, 12), torch.zeros(1, 2).long(), torch.ones(1, 2).bool())
    task.optimizer_step(SimpleNamespace(scaler=scaler, step=step), model, 0)
    assert model.encoder.memory.filled == (2 if gradient == 1.0 else 0)
