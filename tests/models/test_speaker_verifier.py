"""The verifier by itself: what is trained when, at which rate, what its options refuse, and what its checkpoint needs."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fairseq.tasks.fairseq_task import StatefulContainer

from csc_fairseq.checkpoints.checkpoint import BACKBONE_SETTINGS, PRETRAINING_SPEAKERS, read_checkpoint
from csc_fairseq.errors import InputError
from csc_fairseq.inference.loading import load_model
from csc_fairseq.inference.verifier import load_verifier
from csc_fairseq.models.speaker_verifier import SpeakerVerifier, SpeakerVerifierConfig
from csc_fairseq.optimizers.layerwise_adam import rate_of
from tests.making import XVECTOR, bundled, csc_checkpoint, saved, separative_network, speaker_encoder


@pytest.fixture
def pretrained(tmp_path: Path) -> str:
    """A bundle of a separative encoder with random weights; its path."""
    return str(bundled(speaker_encoder(shared_blocks=2), tmp_path / "csc.pt"))


def task(sources=2, sample_rate=16000):
    return SimpleNamespace(
        cfg=SimpleNamespace(sources=sources, sample_rate=sample_rate), state=StatefulContainer(), identities=["a", "b"]
    )


def build(pretrained=None, of=None, **options):
    torch.manual_seed(1)
    options.setdefault("embedding_channels", 5)
    cfg = SpeakerVerifierConfig(pretrained=pretrained, xvector_widths=XVECTOR["widths"], **options)
    return SpeakerVerifier.build_model(cfg, of or task())


def gradients(model):
    """Names of the parameters that a step of training reaches."""
    model.train()
    model.zero_grad()
    weights = torch.randn(2, model.streams, 5, generator=torch.Generator().manual_seed(2))
    (model(torch.randn(2, 3200, generator=torch.Generator().manual_seed(3))).embeddings * weights).sum().backward()
    return {name for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("pooling", ["mean", "statistics", "attentive", "own"])
def test_one_unit_embedding_for_each_stream(pretrained, pooling):
    output = build(pretrained, pooling=pooling)(torch.randn(3, 3200))
    assert output.embeddings.shape == (3, 2, 5) and output.embeddings.dtype == torch.float32
    torch.testing.assert_close(output.embeddings.norm(dim=-1), torch.ones(3, 2))
    assert output.estimates.shape == (3, 2, 3200)


def test_padding_changes_nothing(pretrained):
    model = build(pretrained).eval()
    source = torch.randn(2, 4000, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(2, 4000, dtype=torch.bool)
    mask[1, 2500:] = True
    together, alone = model(source, mask).embeddings[1], model(source[1:, :2500]).embeddings[0]
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


def test_the_own_embedding_is_that_of_pre_training(pretrained):
    """With the head taken away: the query that pre-training's model gives."""
    model = build(pretrained, pooling="own", embedding_channels=12).eval()
    model.head.norm, model.head.projection = torch.nn.Identity(), torch.nn.Identity()
    model.head.projection.weight = torch.zeros(1)
    source = torch.randn(3200, generator=torch.Generator().manual_seed(0))
    pre_trained = load_model(pretrained)
    pre_trained.period = 1  # the recording as it begins
    expected = pre_trained.embed_sources(source, 16000)
    torch.testing.assert_close(model(source[None]).embeddings[0], expected, atol=1e-5, rtol=0)


def test_own_pooling_begins_at_the_pre_trained_embedding(pretrained):
    """Of the same size, but for its mean and length."""
    size = load_model(pretrained).embed_sources(torch.randn(3200), 16000).shape[-1]
    model = build(pretrained, pooling="own", embedding_channels=size).eval()
    source = torch.randn(3200, generator=torch.Generator().manual_seed(0))
    pre_trained = load_model(pretrained)
    pre_trained.period = 1  # the recording as it begins
    query = pre_trained.embed_sources(source, 16000)
    expected = torch.nn.functional.normalize(query - query.mean(-1, keepdim=True), dim=-1)
    torch.testing.assert_close(model(source[None]).embeddings[0], expected, atol=1e-3, rtol=0)


def test_what_is_trained(pretrained):
    """Everything that identifies; the head alone while the encoder is frozen, or before its time; not the lowest blocks."""
    tuned = gradients(build(pretrained))
    head = {name for name in tuned if not name.startswith("encoder.")}
    assert len(head) == 2 + 2 + 4 and len(tuned) > len(head)
    assert gradients(build(pretrained, frozen=True)) == head
    waiting = build(pretrained, freeze_updates=10)
    assert all(parameter.requires_grad for parameter in waiting.parameters())  # as the optimizer will ask
    waiting.set_num_updates(9)
    # A resumed training tells its updates before the optimizer chooses its parameters.
    assert all(parameter.requires_grad for parameter in waiting.parameters())
    assert gradients(waiting) == head and not waiting.encoder.training
    # All-reduce gives zeros to what asks for gradients, and Adam would count those as steps.
    assert not any(parameter.requires_grad for parameter in waiting.encoder.parameters())
    waiting.set_num_updates(10)
    assert waiting.encoder.training and gradients(waiting) == tuned
    partly = build(pretrained, freeze_blocks=2)
    still = {id(parameter) for block in partly.encoder.blocks()[:2] for parameter in block.parameters()}
    names = {name for name, parameter in partly.named_parameters() if id(parameter) in still}
    assert names & tuned and gradients(partly) == tuned - names
    modes = [{module.training for module in block.children()} for block in partly.train().encoder.blocks()[:3]]
    assert modes == [{False}, {False}, {True}]


def test_rates_fall_from_the_head_down(pretrained):
    model = build(pretrained, encoder_rate=0.5, block_rate_decay=0.1)
    assert {rate_of(parameter) for parameter in model.head.projection.parameters()} == {1.0}
    found = [{rate_of(parameter) for parameter in block.parameters()} for block in model.encoder.blocks()]
    assert [pytest.approx(0.5 * 0.1**depth) for depth in range(len(found))] == [rate for (rate,) in reversed(found)]


def test_a_checkpoint_loads_without_the_pretrained_one(pretrained, tmp_path):
    first = task()
    model = build(pretrained, first).eval()
    checkpoint = {
        "cfg": {
            "model": {
                "_name": "speaker_verifier",
                "pretrained": pretrained,
                "embedding_channels": 5,
                "pooling": "attentive",
            }
        },
        "model": model.state_dict(),
        "task_state": first.state.state_dict,
    }
    path = saved(checkpoint, tmp_path / "tuned.pt")
    (tmp_path / "csc.pt").unlink()
    backbone, head = load_verifier(read_checkpoint(path))
    source = torch.randn(1, 3200)
    encoded = backbone(source)
    assert torch.equal(head(encoded.layers, encoded.padding, encoded.embeddings), model(source).embeddings)
    assert not backbone.training and not head.training
    restored = task()  # fairseq's way: the state comes first
    restored.state.merge_state_dict(checkpoint["task_state"])
    again = build(pretrained, restored)
    again.load_state_dict(checkpoint["model"])
    assert torch.equal(again.eval()(source).embeddings, model(source).embeddings)

    for spoilt, message in (
        ({**checkpoint, "task_state": {}}, "lacks the entry 'encoder_settings'"),
        ({"model": {}}, "holds model, expected a checkpoint of speaker_verifier"),
        ({**checkpoint, "model": {}}, "its setting shared_blocks is 2, but it holds 0 weights"),
    ):
        with pytest.raises(InputError, match=f"spoilt.pt: {message}"):
            load_verifier(read_checkpoint(saved(spoilt, tmp_path / "spoilt.pt")))
    checkpoint["cfg"]["model"]["_name"] = "csc"
    del checkpoint["task_state"]
    expected = "other.pt: is a checkpoint of architecture 'csc', expected a checkpoint of speaker"
    with pytest.raises(InputError, match=expected):
        load_verifier(read_checkpoint(saved(checkpoint, tmp_path / "other.pt")))


def test_the_pretrained_checkpoint_is_read_once(tmp_path):
    """For its settings, weights and speakers together, and not at all once the task's state holds the settings."""
    path = str(saved(csc_checkpoint(separative_network(), identity_level="speaker"), tmp_path / "csc.pt"))
    reads = []

    def note(event: str, arguments: tuple) -> None:
        if event == "open" and str(arguments[0]) == path:
            reads.append(path)

    sys.addaudithook(
        note
    )  # hears of every way to open a file; stays to the end of the process, where nobody opens this one
    first = task()
    model = build(path, first)
    assert reads == [path]
    assert getattr(first.state, PRETRAINING_SPEAKERS) == ["a", "b"]
    assert getattr(first.state, BACKBONE_SETTINGS) == model.encoder.settings
    restored = task()
    restored.state.merge_state_dict(first.state.state_dict)
    build(path, restored)
    assert reads == [path]


def test_from_scratch_without_a_checkpoint():
    of = task()
    model = build(of=of, pooling="statistics")
    assert getattr(of.state, BACKBONE_SETTINGS) == XVECTOR and model.streams == 1
    assert model(torch.randn(2, 3200)).estimates is None
    assert any(name.startswith("encoder.") for name in gradients(model))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frozen": True, "freeze_updates": 5}, "model.freeze_updates trains an encoder that model.frozen=true leaves"),
        (
            {"frozen": True, "freeze_updates": 5, "encoder_rate": 0.5},
            "model.freeze_updates and model.encoder_rate train an .*; add model.freeze_updates=0 model.encoder_rate=1.0, or",
        ),
        ({"pooling": "max"}, "model.pooling is 'max'; choose one of mean, statistics, attentive, own"),
        ({"freeze_blocks": 99}, r"model.freeze_blocks is 99; the encoder has \d blocks"),
        ({"block_rate_decay": 0.0}, "model.block_rate_decay is 0.0; expected above 0"),
    ],
)
def test_contradictions_are_refused(pretrained, options, message):
    with pytest.raises(InputError, match=message):
        build(pretrained, **options)


def test_encoders_that_do_not_fit_are_refused(pretrained, tmp_path):
    for name, value in (("frozen", True), ("freeze_updates", 3), ("freeze_blocks", 1)):
        with pytest.raises(
            InputError, match=f"model.{name}={str(value).lower()} would keep random weights; give model.pretrained"
        ):
            build(**{name: value})
    with pytest.raises(InputError, match="own needs an encoder with embeddings of its own, and an x-vector has none"):
        build(pooling="own")
    with pytest.raises(InputError, match="separates 2 talkers, task.sources is 3; set task.sources=2"):
        build(pretrained, task(sources=3))
    with pytest.raises(
        InputError, match="was trained at 16000 Hz, task.sample_rate is 8000; set task.sample_rate=16000"
    ):
        build(pretrained, task(sample_rate=8000))
    with pytest.raises(InputError, match="gone.pt: no such file"):
        build(str(tmp_path / "gone.pt"))
    other = saved({"cfg": {"model": {"_name": "transformer"}}, "model": {}}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="is a checkpoint of architecture 'transformer', expected a checkpoint of csc"):
        build(str(other))
