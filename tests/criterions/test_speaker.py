"""The criterion on made-up outputs: the target's stream, sums, margins, gradients, and error rates over all batches."""

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from fairseq import metrics
from fairseq.criterions import build_criterion
from omegaconf import OmegaConf
from sklearn.metrics import roc_curve
from torch import nn

from csc_fairseq.criterions.speaker import (
    LOSSES,
    SpeakerCriterion,
    SpeakerCriterionConfig,
    best_stream_cosines,
    condition_error_rate,
)
from csc_fairseq.errors import InputError
from csc_fairseq.losses.margin import margin_softmax_loss, speaker_cosines
from csc_fairseq.losses.metric import ge2e_cosines, own_speaker_loss, prototype_cosines
from csc_fairseq.models.speaker_verifier import VerifierOutput

CHANNELS, SAMPLES, SPEAKERS = 6, 400, [f"s{number}" for number in range(5)]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Played(nn.Module):
    """In place of the model: answers what it was given, whatever it hears."""

    def __init__(self, embeddings: torch.Tensor, estimates: torch.Tensor | None = None, updates: int = 0) -> None:
        super().__init__()
        self.features = nn.Parameter(embeddings.clone())
        self.estimates = None if estimates is None else nn.Parameter(estimates.clone())
        self.num_updates = updates
        self.frozen = False

    def forward(self, source: torch.Tensor, padding_mask: torch.Tensor | None = None) -> VerifierOutput:
        return VerifierOutput(F.normalize(self.features, dim=-1), self.estimates)


class Heard(nn.Module):
    """In place of the model: samples 0 to 3 of a recording are stream 0, also as its embedding, samples 4 to 7 stream 1."""

    def forward(self, source: torch.Tensor, padding_mask: torch.Tensor) -> VerifierOutput:
        halves = source[:, :8].unflatten(1, (2, 4))
        estimates = torch.zeros(len(source), 2, source.shape[1])
        estimates[:, 0, :4], estimates[:, 1, 4:] = halves[:, 0], source[:, 4:]
        return VerifierOutput(F.normalize(halves, dim=-1), estimates)


def task(views: int = 2, identities: list[str] = SPEAKERS) -> SimpleNamespace:
    cfg = SimpleNamespace(views=views, distinct_speakers=views > 1, data="corpus")
    return SimpleNamespace(identities=identities, cfg=cfg)


def build(
    loss: str = "aam", views: int = 2, identities: list[str] = SPEAKERS, **options: float | None
) -> SpeakerCriterion:
    torch.manual_seed(0)
    cfg = SpeakerCriterionConfig(loss=loss, embedding_channels=CHANNELS, **options)
    return SpeakerCriterion(cfg, task(views, identities))


def batch(views: int = 6, slots: list[int] | None = None) -> dict:
    """Mixtures of two talkers each; the views of an item are of one speaker, items of different ones."""
    sources = noise(views, 2, SAMPLES, seed=7)
    target_slots, speakers = torch.tensor(slots or [0] * views), torch.arange(views) // 2
    return {
        "net_input": {"source": sources.sum(1)},
        "sources": sources,
        "present": torch.ones(views, 2, dtype=torch.bool),
        "identities": torch.full((views, 2), -1).scatter(1, target_slots[:, None], speakers[:, None]),
        "target_slots": target_slots,
        "speakers": speakers,
    }


def cut(sample: dict, rows: slice) -> dict:
    return {
        name: {"source": value["source"][rows]} if name == "net_input" else value[rows]
        for name, value in sample.items()
    }


def separated(sample: dict) -> torch.Tensor:
    """Sources as a decent separator gives them, in mixtures 0, 3, 4, ... in the order of the sources, in 1 and 2 swapped."""
    estimates = sample["sources"] + 0.1 * noise(*sample["sources"].shape, seed=9)
    estimates[1:3] = estimates[1:3].flip(1)
    return estimates


def test_the_targets_stream_is_the_one_that_separation_gave_it():
    """With the target in slot 0, 1, 0, 1 and outputs swapped in mixtures 1 and 2: streams 0, 0, 1, 1."""
    sample, embeddings = batch(4, slots=[0, 1, 0, 1]), noise(4, 2, CHANNELS)
    criterion, model = build("am", separation_weight=0.0), Played(embeddings, separated(sample))
    loss, _, _ = criterion(model, sample)
    heard = F.normalize(embeddings[[0, 1, 2, 3], [0, 0, 1, 1]], dim=-1)
    cosines = speaker_cosines(heard, criterion.classifier.weight)
    torch.testing.assert_close(loss, margin_softmax_loss(cosines, sample["speakers"], "am", 0.2, 30.0).sum())
    loss.backward()
    assert model.features.grad[[0, 1, 2, 3], [0, 0, 1, 1]].any(-1).all()
    assert not model.features.grad[[0, 1, 2, 3], [1, 1, 0, 0]].any()


def test_a_margin_loss_hears_all_known_talkers():
    """Streams 0, 1, 1, 0 hold the sources 0. A mixture's loss is the mean of its known and present talkers'."""
    sample, embeddings = batch(4, slots=[0, 1, 0, 1]), noise(4, 2, CHANNELS)
    sample["identities"] = torch.tensor([[0, 3], [4, 0], [1, -1], [2, 1]])
    sample["present"][3, 0] = False
    criterion, model = build("am", separation_weight=0.0), Played(embeddings, separated(sample))
    loss, _, logged = criterion(model, sample)
    voices = F.normalize(embeddings, dim=-1)[[0, 0, 1, 1, 2, 3], [0, 1, 1, 0, 1, 1]]
    speakers = torch.tensor([0, 3, 4, 0, 1, 1])
    cosines = speaker_cosines(voices, criterion.classifier.weight)
    each = margin_softmax_loss(cosines, speakers, "am", 0.2, 30.0)
    torch.testing.assert_close(loss, (each * torch.tensor([0.5, 0.5, 0.5, 0.5, 1, 1])).sum())
    assert logged["queries"] == 6 and logged["nsentences"] == 4
    targets = build("ge2e", separation_weight=0.0)(Played(embeddings, separated(sample)), sample)[0]
    alone = build("ge2e")(Played(F.normalize(embeddings, dim=-1)[[0, 1, 2, 3], [0, 0, 1, 1]].unsqueeze(1)), sample)[0]
    torch.testing.assert_close(targets, alone)


@pytest.mark.parametrize("loss", LOSSES)
def test_order_of_the_sources_and_of_the_streams_does_not_matter(loss):
    sample, embeddings = batch(slots=[0, 1, 0, 1, 1, 0]), noise(6, 2, CHANNELS)
    estimates = separated(sample)
    expected = build(loss)(Played(embeddings, estimates), sample)[0]
    torch.testing.assert_close(build(loss)(Played(embeddings.flip(1), estimates.flip(1)), sample)[0], expected)
    flipped = sample | {name: sample[name].flip(1) for name in ("sources", "identities")}
    flipped["target_slots"] = 1 - sample["target_slots"]
    torch.testing.assert_close(build(loss)(Played(embeddings, estimates), flipped)[0], expected)


def test_margin_loss_is_a_sum_over_views():
    """Two batches add up to one: nothing depends on how a global batch is cut."""
    sample, embeddings, criterion = batch(), noise(6, 1, CHANNELS), build(separation_weight=0.0)
    together, size, logged = criterion(Played(embeddings), sample)
    parts = [criterion(Played(embeddings[rows]), cut(sample, rows)) for rows in (slice(0, 2), slice(2, 6))]
    assert size == sum(part[1] for part in parts) == 6
    torch.testing.assert_close(together, parts[0][0] + parts[1][0])
    assert logged["correct"] == parts[0][2]["correct"] + parts[1][2]["correct"]


@pytest.mark.parametrize(("loss", "queries"), [("ge2e", 6), ("prototypical", 3)])
def test_metric_losses_take_a_batch_as_speakers_by_views(loss, queries):
    """The mean over queries times the number of views, so that fairseq's division leaves the mean."""
    embeddings = noise(6, 1, CHANNELS)
    total, size, logged = build(loss)(Played(embeddings), batch())
    grouped = F.normalize(embeddings, dim=-1).view(3, 2, CHANNELS)
    cosines = {"ge2e": ge2e_cosines, "prototypical": prototype_cosines}[loss](grouped)
    torch.testing.assert_close(total / size, own_speaker_loss(10 * cosines - 5).mean())
    assert size == 6 and logged["queries"] == queries
    assert logged["scale"] / size == pytest.approx(10, rel=1e-5)
    nearest = cosines.argmax(-1) == torch.arange(3).unsqueeze(1)
    assert logged["correct"] == nearest.sum()


@pytest.mark.parametrize("loss", LOSSES)
def test_accuracy_of_voices_that_are_told_apart_is_whole(loss):
    """Embeddings of a speaker coincide; the classifier's centres are there too."""
    criterion, voices = build(loss), torch.eye(CHANNELS)[[0, 0, 1, 1, 2, 2]]
    if loss in ("am", "aam"):
        criterion.classifier.weight.data = torch.eye(CHANNELS)[:5].unsqueeze(1)
    _, _, logged = criterion(Played(voices.unsqueeze(1)), batch())
    assert logged["correct"] == logged["queries"]


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_reach_the_embeddings_and_what_the_loss_learns(loss):
    criterion, model = build(loss), Played(noise(6, 1, CHANNELS))
    criterion(model, batch())[0].backward()
    assert model.features.grad.isfinite().all() and model.features.grad.any()
    for parameter in criterion.parameters():  # each of them: several ranks wait for the gradients of all
        assert parameter.grad is not None and parameter.grad.isfinite().all()


def test_the_margin_rises_with_the_updates():
    sample, embeddings = batch(), noise(6, 1, CHANNELS)
    criterion = build("aam", margin=0.4, margin_warmup=100)
    logged = [criterion(Played(embeddings, updates=updates), sample)[2] for updates in (0, 50, 100, 900)]
    assert [log["margin"] / 6 for log in logged] == pytest.approx([0.0, 0.2, 0.4, 0.4])
    plain = build("aam", margin=0.0)(Played(embeddings), sample)[2]["loss"]
    torch.testing.assert_close(logged[0]["loss"], plain)
    assert logged[0]["loss"] < logged[1]["loss"] < logged[2]["loss"] == logged[3]["loss"]


def test_separation_adds_to_the_loss_and_reaches_the_waveforms_only_where_it_is_weighed():
    sample, embeddings = batch(), noise(6, 2, CHANNELS)
    estimates = separated(sample)
    off, on = Played(embeddings, estimates), Played(embeddings, estimates)
    plain, _, logged = build(separation_weight=0.0)(off, sample)
    weighed, _, _ = build(separation_weight=0.25)(on, sample)
    torch.testing.assert_close(weighed - plain, 0.25 * logged["separation_loss"])
    by_itself = build()(Played(embeddings, estimates), sample)[0]
    torch.testing.assert_close(by_itself - plain, 0.33 * logged["separation_loss"])
    assert logged["separation_loss"] / 6 == pytest.approx(-20, abs=1), "noise at a tenth of the sources' amplitude"
    for loss in (plain, weighed):
        loss.backward()
    assert off.estimates.grad is None and on.estimates.grad.any()


def test_a_frozen_encoder_trains_the_head():
    """Its waveforms come without gradients, also where separation is weighed, if it rests for some updates only."""
    sample = batch()
    model = Played(noise(6, 2, CHANNELS), separated(sample))
    model.estimates.requires_grad_(False)
    for weight in (None, 0.0, 0.25):
        build(separation_weight=weight)(model, sample)[0].backward()
    assert model.features.grad.any() and model.estimates.grad is None
    model.frozen = True
    torch.testing.assert_close(build()(model, sample)[0], build(separation_weight=0.0)(model, sample)[0])
    with pytest.raises(InputError, match="separation_weight is 0.25, which trains an encoder that model.frozen=true"):
        build(separation_weight=0.25)(model, sample)


def test_what_ranks_log_is_alike_also_for_a_dummy_batch():
    """fairseq adds up tensors and plain numbers in separate exchanges, and zeroes the loss of a dummy batch in place."""
    for loss in LOSSES:
        criterion = build(loss)
        logs = []
        for seed in (0, 1):
            total, _, logged = criterion(Played(noise(6, 1, CHANNELS, seed=seed)), batch())
            total *= 0
            total.backward()
            logs.append({name: torch.is_tensor(value) for name, value in logged.items()})
        assert logs[0] == logs[1]
        assert all(not value.requires_grad for value in logged.values() if torch.is_tensor(value))


def test_half_precision_criterion_and_autocast_keep_the_loss_in_float32():
    """fairseq halves the criterion's parameters too; embeddings come in float32 from the model."""
    for loss in LOSSES:
        model = Played(noise(6, 1, CHANNELS))
        exact = build(loss)(model, batch())[0]
        halved = build(loss).half()(model, batch())[0]
        assert halved.dtype == torch.float32
        torch.testing.assert_close(halved, exact, rtol=5e-3, atol=5e-2)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.testing.assert_close(build(loss)(model, batch())[0], exact, rtol=1e-5, atol=1e-5)


def validation(enrol: torch.Tensor, test: torch.Tensor, trials: list[tuple[int, int, bool, int]]) -> dict:
    """trials: (row of enrol, row of test, target, condition)."""
    rows = list(zip(*trials, strict=True))
    return {
        "enrol": {"source": enrol, "padding_mask": torch.zeros(enrol.shape, dtype=torch.bool)},
        "test": {"source": test, "padding_mask": torch.zeros(test.shape, dtype=torch.bool)},
        "trial_enrol": torch.tensor(rows[0]),
        "trial_test": torch.tensor(rows[1]),
        "targets": torch.tensor(rows[2]),
        "conditions": torch.tensor(rows[3]),
        "nsentences": len(trials),
        "ntokens": enrol.numel() + test.numel(),
    }


def test_validation_scores_the_loudest_stream_of_the_enrolment_against_the_best_of_the_test():
    east, north, both = torch.eye(4)[0], torch.eye(4)[1], torch.tensor([0.6, 0.8, 0.0, 0.0])
    enrol = torch.stack([torch.cat([2 * east, north]), torch.cat([east, 3 * north])])  # heard: east, north
    test = torch.stack([torch.cat([north, both]), torch.cat([-east, -north])])
    criterion = build().eval()
    trials = [(0, 0, True, 0), (1, 0, False, 0), (0, 1, False, 1), (1, 1, True, 1)]
    with torch.no_grad():
        loss, size, logged = criterion(Heard(), validation(enrol, test, trials))
    torch.testing.assert_close(logged["scores"], torch.tensor([0.6, 1.0, 0.0, 0.0]))
    assert logged["targets"].tolist() == [True, False, False, True] and logged["conditions"].tolist() == [0, 0, 1, 1]
    assert loss == 0 and size == 4 and logged["nsentences"] == 4
    assert not criterion.logging_outputs_can_be_summed() and criterion.train().logging_outputs_can_be_summed()


def test_best_stream_is_the_largest_cosine():
    enrolled, tests = F.normalize(noise(7, 5), dim=-1), F.normalize(noise(7, 3, 5, seed=1), dim=-1)
    expected = torch.stack([torch.stack([enrolled[i] @ tests[i, c] for c in range(3)]).max() for i in range(7)])
    torch.testing.assert_close(best_stream_cosines(enrolled, tests), expected)


def logs(trials: int, seed: int, conditions: list[int]) -> dict:
    """One batch's output: targets score 1 higher on average in condition 0, 0.5 in condition 1."""
    targets = torch.arange(trials) % 2 == 0
    numbers = torch.tensor(conditions).repeat_interleave(2).repeat(trials)[:trials]
    scores = noise(trials, seed=seed) + targets * torch.where(numbers == 0, 1.0, 0.5)
    return {
        "scores": scores,
        "targets": targets,
        "conditions": numbers.to(torch.uint8),
        "nsentences": trials,
        "ntokens": 10 * trials,
        "sample_size": trials,
    }


def reduced(batches: list[list[dict]]) -> dict:
    """What fairseq reports after the batches, each with the outputs of several ranks."""
    with metrics.aggregate(new_root=True) as meters:
        for outputs in batches:
            SpeakerCriterion.reduce_metrics(outputs)
    return meters.get_smoothed_values()


def reference_eer(scores: torch.Tensor, targets: torch.Tensor) -> float:
    false_alarms, hits, _ = roc_curve(targets.numpy(), scores.numpy(), drop_intermediate=False)
    after = int((false_alarms >= 1 - hits).argmax())
    (fa, fa_next), (miss, miss_next) = false_alarms[after - 1 : after + 1], 1 - hits[after - 1 : after + 1]
    share = (miss - fa) / (miss - fa + fa_next - miss_next)
    return 100 * (fa + share * (fa_next - fa))


def test_error_rates_are_those_of_all_trials_of_all_batches_and_ranks():
    outputs = [logs(81, seed, [0, 1]) for seed in range(5)]
    figures = reduced([outputs[:2], outputs[2:3], outputs[3:]])
    pooled = {name: torch.cat([log[name] for log in outputs]) for name in ("scores", "targets", "conditions")}
    rates = []
    for number, name in enumerate(("eer_clean", "eer_talker")):
        chosen = pooled["conditions"] == number
        rates.append(reference_eer(pooled["scores"][chosen], pooled["targets"][chosen]))
        assert figures[name] == pytest.approx(rates[-1], abs=2e-3)
    assert 20 < rates[0] < rates[1] < 50
    assert figures["eer"] == figures["loss"] == pytest.approx(sum(rates) / 2, abs=2e-3)
    assert set(figures) == {"eer_clean", "eer_talker", "eer", "loss"}


def test_too_few_trials_give_no_rate():
    assert math.isnan(reduced([[logs(60, 0, [0, 1])]])["eer_clean"])
    assert not math.isnan(reduced([[logs(80, 0, [0, 1])]])["eer"])
    lopsided = condition_error_rate(torch.rand(100), torch.arange(100) < 19)
    assert math.isnan(lopsided)


def test_a_validation_without_interferers_reports_the_clean_rate():
    figures = reduced([[logs(100, 0, [0])]])
    assert figures["eer"] == figures["eer_clean"] and "eer_talker" not in figures


def test_means_of_training_are_over_views_and_queries_of_all_ranks():
    criterion = build("aam", margin=0.3)
    outputs = []
    for rows, seed in ((slice(0, 2), 0), (slice(0, 6), 1)):
        sample = cut(batch(), rows)
        outputs.append(criterion(Played(noise(6, 1, CHANNELS, seed=seed)[rows]), sample)[2])
    figures = reduced([outputs])
    assert figures["loss"] == pytest.approx(float(outputs[0]["loss"] + outputs[1]["loss"]) / 8, abs=1e-3)
    assert figures["accuracy"] == pytest.approx(float(outputs[0]["correct"] + outputs[1]["correct"]) / 8, abs=1e-4)
    assert figures["margin"] == pytest.approx(0.3) and figures["scale"] == 30
    assert figures["speaker_loss"] == figures["loss"] and "separation_loss" not in figures


def test_fairseq_builds_it_from_its_configuration_with_the_models_embedding_size():
    cfg = OmegaConf.create({"model": {"embedding_channels": 9}, "criterion": {"_name": "speaker", "sub_centres": 2}})
    criterion = build_criterion(cfg.criterion, task())
    assert criterion.classifier.weight.shape == (5, 2, 9) and criterion.kind == "aam"


def test_state_survives_and_centres_of_other_speakers_are_refused():
    trained, resumed, other = build(), build(), build(identities=[*SPEAKERS[:4], "stranger"])
    trained.classifier.weight.data.mul_(2)
    resumed.load_state_dict(trained.state_dict(), strict=True)
    torch.testing.assert_close(resumed.classifier.weight, trained.classifier.weight, rtol=0, atol=0)
    resumed(Played(noise(6, 1, CHANNELS)), batch())
    other.load_state_dict(trained.state_dict(), strict=True)
    assert not torch.equal(other.classifier.weight, trained.classifier.weight)
    with pytest.raises(InputError, match=r"corpus/train.tsv: its 5 identities differ from the checkpoint's 5"):
        other(Played(noise(6, 1, CHANNELS)), batch())


@pytest.mark.parametrize(
    ("loss", "views", "options", "message"),
    [
        ("triplet", 1, {}, "criterion.loss is 'triplet'; choose one of am, aam, ge2e, prototypical"),
        ("ge2e", 1, {}, "needs two utterances per speaker, and task.views is 1; set task.views=2 or more"),
        ("prototypical", 1, {}, "needs two utterances per speaker"),
        ("aam", 1, {"margin": 11.5}, "radians"),
        ("aam", 1, {"margin_warmup": -1}, "must not be negative"),
        ("aam", 1, {"separation_weight": -0.1}, "must not be negative"),
        ("aam", 1, {"identities": ["alone"]}, "found 1 training speaker"),
    ],
)
def test_what_it_refuses(loss, views, options, message):
    with pytest.raises(InputError, match=message):
        build(loss, views, **options)


def test_metric_losses_need_distinct_speakers():
    crowd = task()
    crowd.cfg.distinct_speakers = False
    with pytest.raises(InputError, match="needs batches of different speakers, and task.distinct_speakers is false"):
        SpeakerCriterion(SpeakerCriterionConfig(loss="ge2e", embedding_channels=CHANNELS), crowd)


def test_what_it_refuses_of_an_encoder():
    sample = batch()
    with pytest.raises(InputError, match="separation_weight is 0.25, but this encoder does not separate"):
        build(separation_weight=0.25)(Played(noise(6, 1, CHANNELS)), sample)
    with pytest.raises(InputError, match="2 streams but no waveforms"):
        build()(Played(noise(6, 2, CHANNELS)), sample)
    with pytest.raises(InputError, match="3 streams, but mixtures have 2 sources; set task.sources=3"):
        build()(Played(noise(6, 3, CHANNELS), noise(6, 3, SAMPLES)), sample)
