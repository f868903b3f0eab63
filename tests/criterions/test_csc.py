"""The criterion on real batches of synthetic voices: sums, alignment, masks, and what it must not learn from noise."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from fairseq import metrics

from csc_fairseq.criterions.csc import CscCriterion, Terms
from csc_fairseq.data.manifest import identity_labels, read_manifest
from csc_fairseq.data.mixing_plans import MixingOptions
from csc_fairseq.data.mixture_dataset import MixtureDataset
from csc_fairseq.data.pool import RecordingPool
from csc_fairseq.errors import InputError
from csc_fairseq.models.csc import CscConfig, CscModel

SIZES = dict(
    sources=2, waveform_channels=32, window=256, channels=24, segment_frames=8, segment_summaries=4, recurrent_channels=16,
    attention_heads=2, shared_blocks=1, stream_channels=32, embedding_channels=32, memory_size=64, memory_heads=2,
)  # fmt: skip
OPTIONS = MixingOptions(view_frames=8000, single_talker_share=0.25, rir_probability=0.0)


def dataset(voices, split: str = "train", options: MixingOptions = OPTIONS, fixed: bool = False) -> MixtureDataset:
    manifest = read_manifest(voices / f"{split}.tsv")
    table = {f"s{number:02d}": number for number in range(8)}
    return MixtureDataset(
        RecordingPool(manifest, identity_labels(manifest, "speaker"), table, 16000), options, 1, split, fixed=fixed
    )


def build(
    memory: str = "bank", seed: int = 0, global_vectors: str = "table", **criterion: float
) -> tuple[CscModel, CscCriterion]:
    torch.manual_seed(seed)
    config = CscConfig(**SIZES | {"memory": memory}, global_vectors=global_vectors)
    model = CscModel(config, identities=[f"s{number:02d}" for number in range(8)])
    options = {"contrastive_weight": 3.0, "contrastive_warmup": 0} | criterion
    return model, CscCriterion(SimpleNamespace(), **options)


@pytest.fixture
def batch(voices) -> dict:
    mixes = dataset(voices)
    return mixes.collater([mixes[index] for index in range(6)])


def test_loss_is_a_sum_over_mixtures(voices):
    """Two batches add up to one: nothing depends on how a global batch is cut."""
    mixes = dataset(voices)
    model, criterion = build()
    together, size, _ = criterion(model, mixes.collater([mixes[0], mixes[1], mixes[2]]))
    first, some, _ = criterion(model, mixes.collater([mixes[0]]))
    second, rest, _ = criterion(model, mixes.collater([mixes[1], mixes[2]]))
    assert size == some + rest == 6
    torch.testing.assert_close(together, first + second, rtol=1e-5, atol=1e-4)


def test_order_of_the_sources_does_not_matter(batch):
    model, criterion = build()
    flipped = batch | {name: batch[name].flip(1) for name in ("sources", "identities", "present")}
    torch.testing.assert_close(criterion(model, batch)[0], criterion(model, flipped)[0])


def test_level_does_not_matter(batch):
    model, criterion = build()
    louder = batch | {
        "sources": 10 * batch["sources"],
        "net_input": batch["net_input"] | {"source": 10 * batch["net_input"]["source"]},
    }
    torch.testing.assert_close(criterion(model, batch)[0], criterion(model, louder)[0], rtol=1e-3, atol=1e-2)


def test_embeddings_follow_the_permutation_of_the_waveforms(batch):
    """Swapping the two outputs of both heads leaves every term as it is."""
    model, criterion = build()
    output = model(**batch["net_input"])
    swapped = output._replace(
        estimates=output.estimates.flip(1), queries=output.queries.flip(1), attended=output.attended.flip(1)
    )
    straight, turned = (criterion._terms(model, one, batch) for one in (output, swapped))
    torch.testing.assert_close(straight.identification, turned.identification)
    torch.testing.assert_close(straight.separation, turned.separation)
    half = criterion._terms(model, output._replace(queries=output.queries.flip(1)), batch)
    assert not torch.isclose(straight.query_loss.sum(), half.query_loss.sum())


def test_unknown_talkers_count_for_separation_only(batch):
    model, criterion = build()
    strangers = batch | {"identities": torch.full_like(batch["identities"], -1)}
    loss, _, logging = criterion(model, strangers)
    assert logging["talkers"] == 0 and logging["query_loss"] == 0
    torch.testing.assert_close(loss, logging["separation_loss"])
    loss.backward()
    assert model.encoder.bottleneck.weight.grad.isfinite().all()


def test_warm_up_of_the_contrastive_weight(batch):
    model, criterion = build(contrastive_warmup=100)
    logged = []
    for update in (0, 50, 100, 400):
        model.set_num_updates(update)
        loss, _, logging = criterion(model, batch)
        logged.append(float(loss.detach() - logging["separation_loss"]))
    assert logged[0] == pytest.approx(0, abs=1e-4)
    assert logged[1] == pytest.approx(logged[2] / 2, rel=0.05) and logged[3] > 0


def test_negative_options_are_refused():
    for name in ("contrastive_weight", "contrastive_warmup"):
        with pytest.raises(InputError, match=f"criterion: .*{name}.* must not be negative"):
            build(**{name: -1})


def test_training_stages_queries_and_validation_does_not(batch):
    model, criterion = build()
    for module in (model, criterion):
        module.eval()
    with torch.no_grad():
        criterion(model, batch)
    model.encoder.memory.commit()
    assert model.encoder.memory.filled == 0
    for module in (model, criterion):
        module.train()
    criterion(model, batch)
    model.encoder.memory.commit()
    assert model.encoder.memory.filled == batch["present"].sum()


def test_the_stream_that_got_a_talker_is_the_voiced_one():
    """Of three outputs, source 0 got the last, source 1 the first; the second was for the absent third source."""
    others = {name: torch.empty(0) for name in Terms._fields if name != "permutation"}
    terms = Terms(permutation=torch.tensor([[2, 0, 1]]), **others)
    assert terms.voiced(torch.tensor([[True, True, False]])).tolist() == [[True, False, True]]
    assert terms.voiced(torch.tensor([[False, True, False]])).tolist() == [[True, False, False]]


def test_validation_figures(voices):
    mixes = dataset(voices, "valid", replace(OPTIONS, single_talker_share=0.0), fixed=True)
    model, criterion = build()
    for module in (model, criterion):
        module.eval()
    with torch.no_grad():
        _, _, logging = criterion(model, mixes.collater([mixes[index] for index in range(8)]))
    assert logging["overlapped"] == logging["talkers"] == 32
    assert logging["gradient_batches"] == 1 and 0 < float(logging["gradient_ratio"]) < math.inf
    assert logging["prior_entropy"] / 32 == pytest.approx(math.log(8))
    assert 1 <= logging["rank_q"] / 32 <= 32
    assert all(parameter.grad is None for parameter in model.parameters())


def test_views_need_no_table(batch):
    """Who is in the table does not matter, and identities may be numbered in any way."""
    model, criterion = build("none", global_vectors="views")
    loss, _, logging = criterion(model, batch)
    talkers = torch.where(batch["talkers"] >= 0, 1000 - 7 * batch["talkers"], -1)
    other = batch | {"identities": torch.full_like(batch["identities"], -1), "talkers": talkers}
    torch.testing.assert_close(criterion(model, other)[0], loss)
    # Targets are heard in both views; a few others are, by chance.
    assert len(batch["talkers"]) <= logging["talkers"] <= batch["present"].sum()
    loss.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters() if parameter.grad is not None)


def test_views_are_validated_with_speakers_that_training_lacks(voices):
    mixes = dataset(voices, "test", replace(OPTIONS, single_talker_share=0.0), fixed=True)
    model, criterion = build("none", global_vectors="views")
    for module in (model, criterion):
        module.eval()
    batches = [mixes.collater([mixes[index] for index in part]) for part in (range(6), range(6, 12))]
    with torch.no_grad():
        logs = [criterion(model, batch)[2] for batch in batches]
    assert all((batch["identities"] == -1).all() for batch in batches)
    assert not criterion.logging_outputs_can_be_summed() and "prior_entropy" not in logs[0]
    with metrics.aggregate() as aggregated:
        for log in logs:
            CscCriterion.reduce_metrics([log])
    shown = aggregated.get_smoothed_values()
    loss = sum(float(log["query_loss"]) for log in logs) / sum(int(log["talkers"]) for log in logs)
    assert shown["bound"] == pytest.approx(shown["bound_cap"] - loss, abs=2e-3) and shown["bound_cap"] <= math.log(4)
    assert 0 <= shown["view_accuracy"] <= 1 and 0 <= shown["view_eer"] <= 100
    pairs = sum(log["view_histogram"] for log in logs).sum(1)
    expected = [0, 0]
    for batch in batches:
        numbers, views = batch["talkers"].flatten(), batch["views"].repeat_interleave(2)
        apart = views.unsqueeze(1) != views
        same = numbers.unsqueeze(1) == numbers
        expected = [expected[0] + int((apart & ~same).sum()), expected[1] + int((apart & same).sum())]
    assert pairs.tolist() == expected


@pytest.mark.parametrize("name", ["global_vectors", "view_aggregate"])
def test_an_unknown_kind_is_named(name):
    with pytest.raises(InputError, match=f"model.{name} is 'x'; choose one of"):
        CscModel(CscConfig(**SIZES, **{name: "x"}), identities=["a", "b"])


def test_running_means_learn_after_the_step(batch):
    model, criterion = build(global_vectors="table_mean")
    loss, _, logging = criterion(model, batch)
    assert logging["talkers"] == 0
    model.commit()
    heard = batch["identities"][batch["present"]].unique()
    assert model.table.visited.nonzero().flatten().tolist() == heard.tolist()
    model.set_num_updates(1)
    _, _, logging = criterion(model, batch)
    assert logging["talkers"] == batch["present"].sum()
    assert "table.weight" in model.state_dict() and "table.weight" not in dict(model.named_parameters())


def noise_loss(voices, memory: str, global_vectors: str = "table") -> float:
    """Trains where the first view of every item is replaced by noise, and returns ℓ(s) in nats of such views on fresh mixes.

    What is left to learn from is the noise itself, which tells nothing, and the memory.
    """
    mixes = dataset(voices, options=replace(OPTIONS, single_talker_share=1.0, noise_probability=0.0, view_frames=4000))
    model, criterion = build(memory, global_vectors=global_vectors, contrastive_weight=30.0)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    noise = torch.Generator().manual_seed(0)

    def terms(update: int) -> torch.Tensor:
        mixes.set_epoch(1 + update // 2)
        half = [index for index in range(len(mixes)) if index % 2 == update % 2]
        batch = mixes.collater([mixes[index] for index in half])
        source = batch["net_input"]["source"]
        source[::2] = 0.05 * torch.randn(source[::2].shape, generator=noise)
        batch["sources"][::2] = torch.where(batch["present"][::2].unsqueeze(-1), source[::2].unsqueeze(1), 0.0)
        output = model(**batch["net_input"])
        losses = criterion._terms(model, output, batch)
        voiced = losses.voiced(batch["present"])
        model.encoder.memory.stage(output.queries, batch["net_input"]["recordings"], voiced)
        return losses

    for update in range(120):
        model.set_num_updates(update + 1)
        optimiser.zero_grad()
        losses = terms(update)
        (losses.separation + 30 * losses.identification).backward()
        optimiser.step()
        model.encoder.memory.commit()
    model.eval()
    with torch.no_grad():
        fresh = torch.cat([terms(update).attended_loss[::2] for update in range(400, 412)])
    return float(fresh.mean())


@pytest.mark.slow  # two trainings
def test_noise_lowers_nothing_with_the_bank_and_much_with_label_chosen_keys(voices):
    """Eight identities, equally frequent. The label-chosen memory answers for noise what only the other view could know."""
    assert noise_loss(voices, "bank") > math.log(8) - 0.05
    assert noise_loss(voices, "conditions") < 0.75 * math.log(8)


@pytest.mark.slow  # a training
def test_noise_lowers_nothing_with_views(voices):
    """The other view has speech, and all that are compared with it are made of as many views: nothing gives it away."""
    assert noise_loss(voices, "none", "views") > math.log(8) - 0.05
