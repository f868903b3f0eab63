"""The probe by itself: which stream it reads, what padding does, what is trained when, and fairseq's criterion on top of it."""

import json
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from fairseq.criterions.ctc import CtcCriterion, CtcCriterionConfig
from fairseq.data import Dictionary
from fairseq.models import build_model
from fairseq.tasks.audio_finetuning import AudioFinetuningConfig, AudioFinetuningTask
from omegaconf import OmegaConf
from torch import nn

from csc_fairseq.backbones.backbone import Backbone, EncodedFrames
from csc_fairseq.errors import InputError
from csc_fairseq.inference.loading import save_bundle
from csc_fairseq.inference.speaker_encoder import SpeakerEncoder
from csc_fairseq.models.ctc_probe import CtcProbe, CtcProbeConfig
from csc_fairseq.modules.separative_encoder import SeparativeEncoder, SeparativeEncoderConfig

HOP = 10
SYMBOLS = 7


class Halves(Backbone):
    """Separates the positive from the negative half of a waveform. Two layers; frames of 10 samples, without overlap."""

    def __init__(self, separates: bool = True) -> None:
        super().__init__(
            sample_rate=16000, streams=2, layers=2, channels=4, embedding_channels=None, shortest=HOP, settings={}
        )  # fmt: skip
        self.lower, self.upper = nn.Linear(HOP, 4), nn.Linear(4, 4)
        self.dropout = nn.Dropout(0.5)
        self.separates = separates

    def blocks(self):
        return [self.lower, self.upper]

    def forward(self, source, padding_mask=None):
        if padding_mask is None:
            padding_mask = torch.zeros_like(source, dtype=torch.bool)
        source = source.masked_fill(padding_mask, 0.0)
        estimates = torch.stack([source.clamp_min(0), source.clamp_max(0)], dim=1)
        lower = self.dropout(self.lower(estimates.unflatten(-1, (-1, HOP))))
        layers = torch.stack([lower, self.upper(lower)])
        padding = padding_mask.unflatten(-1, (-1, HOP)).all(-1)
        return EncodedFrames(layers, padding, None, estimates if self.separates else None)


def probe(encoder=None, **options):
    torch.manual_seed(0)
    return CtcProbe(CtcProbeConfig(**options), encoder or Halves(), SYMBOLS, blank=0)


@pytest.fixture
def batch():
    """Two recordings, 12 and 8 frames; the first is mostly negative, the second mostly positive."""
    source = torch.randn(2, 12 * HOP, generator=torch.Generator().manual_seed(1))
    source += torch.tensor([[-1.0], [1.0]])
    padding = torch.zeros_like(source, dtype=torch.bool)
    padding[1, 8 * HOP :] = True
    return source, padding


@pytest.mark.parametrize("separates", [True, False])
def test_what_it_reads(batch, separates):
    """Recomputed step by step: the loud half, layers by their weights, normalised, mapped."""
    model = probe(Halves(separates)).eval()
    with torch.no_grad():
        model.head.layer_weights.logits.copy_(torch.tensor([0.3, -0.5]))
    source, _ = batch
    shares = torch.tensor([0.3, -0.5]).exp()
    shares = shares / shares.sum()
    for i, sign in enumerate((-1, 1) if separates else (1, 1)):
        half = sign * F.relu(sign * source[i])
        lower = model.encoder.lower(half.view(12, HOP))
        frames = shares[0] * lower + shares[1] * model.encoder.upper(lower)
        centred = frames - frames.mean(-1, keepdim=True)
        frames = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        expected = frames @ model.head.projection.weight.T + model.head.projection.bias
        torch.testing.assert_close(model(source)["encoder_out"][:, i], expected, atol=1e-5, rtol=1e-5)


def test_a_louder_recording_and_scaled_frames_read_alike(batch):
    """One learning rate for all encoders: the scale of the frames does not matter (nor, without biases, the level)."""
    model = probe().eval()
    nn.init.zeros_(model.encoder.lower.bias)
    nn.init.zeros_(model.encoder.upper.bias)
    source, _ = batch
    torch.testing.assert_close(model(10 * source)["encoder_out"], model(source)["encoder_out"], atol=2e-3, rtol=1e-3)


def test_padding_changes_nothing_and_is_blank(batch):
    model = probe().eval()
    source, padding = batch
    output = model(source, padding)
    assert output["encoder_out"].shape == (12, 2, SYMBOLS)
    probabilities = model.get_normalized_probs(output, log_probs=False)
    assert probabilities.dtype == torch.float32
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(12, 2))
    torch.testing.assert_close(probabilities[8:, 1], torch.eye(SYMBOLS)[:1].expand(4, -1))
    alone = model(source[1:, : 8 * HOP])
    assert alone["padding_mask"] is None
    torch.testing.assert_close(probabilities[:8, 1:], model.get_normalized_probs(alone, log_probs=False))
    logarithms = model.get_normalized_probs(output, log_probs=True)
    torch.testing.assert_close(logarithms.exp(), probabilities)
    torch.testing.assert_close(model.get_logits(output, normalize=True), logarithms)
    assert torch.equal(model.get_logits(output)[:, 0], output["encoder_out"][:, 0])


def task_of(dictionary):
    return SimpleNamespace(target_dictionary=dictionary, blank_symbol="<s>")


@pytest.fixture
def dictionary():
    letters = Dictionary()
    for letter in "|AB":
        letters.add_symbol(letter)
    return letters


@pytest.fixture
def sample(batch, dictionary):
    """A batch as fairseq's audio_finetuning makes it: "A B |" and "B |"."""
    source, padding = batch
    target = torch.full((2, 3), dictionary.pad())
    target[0] = torch.tensor([dictionary.index(symbol) for symbol in "AB|"])
    target[1, :2] = target[0, 1:]
    return {
        "id": torch.arange(2), "net_input": {"source": source, "padding_mask": padding}, "target": target,
        "target_lengths": torch.tensor([3, 2]), "ntokens": 5,
    }  # fmt: skip


def test_loss_of_fairseqs_criterion(sample, dictionary):
    """Equal to the sum of each recording's own loss, computed alone and without padding."""
    criterion = CtcCriterion(CtcCriterionConfig(sentence_avg=False), task_of(dictionary))
    model = probe()
    loss, sample_size, _ = criterion(model, sample)
    expected = 0.0
    for i, (frames, letters) in enumerate([(12, 3), (8, 2)]):
        source = sample["net_input"]["source"][i : i + 1, : frames * HOP]
        scores = model(source)["encoder_out"][:, 0].log_softmax(-1)
        expected += F.ctc_loss(scores, sample["target"][i, :letters], (frames,), (letters,), reduction="sum")
    assert sample_size == 5
    torch.testing.assert_close(loss, expected)
    logged = criterion(model.eval(), sample)[2]
    assert logged["c_total"] == 5 and 0 <= logged["c_errors"] <= 12 + 8


def gradients(model, sample, dictionary):
    """Names of the parameters that a step of the criterion moves; all gradients must be finite."""
    model.zero_grad()
    criterion = CtcCriterion(CtcCriterionConfig(sentence_avg=False), task_of(dictionary))
    criterion(model, sample)[0].backward()
    found = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert all(torch.isfinite(gradient).all() for gradient in found.values())
    return {name for name, gradient in found.items() if gradient.abs().max() > 0}


HEAD = {"head.layer_weights.logits", "head.projection.weight", "head.projection.bias"}
ENCODER = {f"encoder.{layer}.{kind}" for layer in ("lower", "upper") for kind in ("weight", "bias")}


def test_checkpoints_name_the_head_without_prefix():
    """As those that were written before the head was a module of its own."""
    state = probe().state_dict()
    assert set(state) == {name.removeprefix("head.") for name in HEAD} | ENCODER
    other = probe()
    torch.nn.init.ones_(other.head.projection.weight)
    other.load_state_dict(state)
    assert torch.equal(other.head.projection.weight, state["projection.weight"])


def test_a_frozen_encoder_is_not_trained(sample, dictionary):
    model = probe().train()
    assert gradients(model, sample, dictionary) == HEAD
    assert not any(parameter.requires_grad for parameter in model.encoder.parameters())
    assert model.training and not model.encoder.training and not model.encoder.dropout.training
    source, padding = sample["net_input"].values()
    assert torch.equal(model(source, padding)["encoder_out"], model(source, padding)["encoder_out"])


def test_an_encoder_thaws_at_its_update(sample, dictionary):
    model = probe(frozen=False, freeze_updates=3)
    for update in (0, 1, 2):
        model.train()
        model.set_num_updates(update)
        assert not model.encoder.training and gradients(model, sample, dictionary) == HEAD
    model.set_num_updates(3)  # as fairseq does, after train()
    assert model.encoder.training and model.encoder.dropout.training
    assert gradients(model, sample, dictionary) == HEAD | ENCODER
    assert not model.eval().encoder.training


def test_a_tuned_encoder_is_trained_from_the_start(sample, dictionary):
    assert gradients(probe(frozen=False).train(), sample, dictionary) == HEAD | ENCODER


def test_dropout_is_for_training(batch):
    model = probe(dropout=0.5)
    source, _ = batch
    assert not torch.equal(model(source)["encoder_out"], model(source)["encoder_out"])
    model.eval()
    assert torch.equal(model(source)["encoder_out"], model(source)["encoder_out"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"freeze_updates": 5}, "model.freeze_updates is 5, which trains an encoder that model.frozen=true"),
        ({"frozen": False, "freeze_updates": -1}, "model.freeze_updates is -1; expected 0 or more"),
        ({"dropout": 1.0}, "model.dropout is 1.0; expected"),
    ],
)
def test_contradictions(options, message):
    with pytest.raises(InputError, match=message):
        probe(**options)


@pytest.fixture
def bundle(tmp_path):
    """A small separative encoder with random weights, as a file."""
    torch.manual_seed(0)
    config = SeparativeEncoderConfig(
        waveform_channels=16, window=64, channels=8, attention_heads=2, recurrent_channels=8, shared_blocks=1,
        stream_channels=12, embedding_channels=12, memory_size=4,
    )  # fmt: skip
    save_bundle(SpeakerEncoder(SeparativeEncoder(config), 16000, "speaker"), tmp_path / "model.pt")
    return tmp_path / "model.pt"


@pytest.fixture
def data(tmp_path):
    """A folder with a dictionary and without manifests, which is all that building asks for."""
    (tmp_path / "dict.ltr.txt").write_text("E 4\n| 4\n")
    return tmp_path


def build(data, pretrained, state=None, **options):
    """The model as fairseq builds it, and the task's state."""
    task = AudioFinetuningTask.setup_task(
        OmegaConf.merge(
            OmegaConf.structured(AudioFinetuningConfig),
            {"data": str(data), "labels": "ltr", "tpu": False, "seed": 1, **options},
        )
    )
    if state is not None:
        task.load_state_dict(state)
    model = {"_name": "ctc_probe", "pretrained": None if pretrained is None else str(pretrained)}
    return build_model(OmegaConf.create(model), task, from_checkpoint=state is not None), task.state_dict()


def test_rebuilt_from_its_state_alone(data, bundle):
    """With the pretrained file and the data gone; the state survives JSON but for the dictionary, and gives the same model."""
    model, state = build(data, bundle)
    assert json.loads(json.dumps(state["encoder_settings"])) == state["encoder_settings"]
    bundle.unlink()
    (data / "dict.ltr.txt").unlink()
    again, _ = build(data, bundle, state)
    again.load_state_dict(model.state_dict())
    source = torch.randn(2, 4000, generator=torch.Generator().manual_seed(2))
    first, second = model.eval()(source), again.eval()(source)
    assert first["encoder_out"].shape[-1] == 6  # four special symbols and two letters
    assert torch.equal(first["encoder_out"], second["encoder_out"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_rate": 8000}, "was trained at 16000 Hz, task.sample_rate is 8000"),
        ({"normalize": True}, "task.normalize is true, expected false"),
        ({"labels": "phn"}, "task.labels is 'phn', expected ltr"),
    ],
)
def test_what_the_encoder_does_not_take(data, bundle, options, message):
    with pytest.raises(InputError, match=message):
        build(data, bundle, **options)


def test_no_encoder_and_no_transcripts(data, bundle):
    with pytest.raises(InputError, match="model.pretrained is null"):
        build(data, None)
    with pytest.raises(InputError, match="absent.pt: no such file"):
        build(data, data / "absent.pt")
    (data / "dict.ltr.txt").unlink()
    with pytest.raises(InputError, match="dict.ltr.txt: no such file.*csc prepare transcripts"):
        build(data, bundle)
