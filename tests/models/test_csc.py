"""The fairseq model: features of every block in wav2vec 2.0's form, removal of what fine-tuning does not need, old checkpoints."""

from dataclasses import asdict
from types import SimpleNamespace

import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.models.wav2vec import Wav2Vec2Config, Wav2Vec2Model
from fairseq.tasks.fairseq_task import StatefulContainer

from csc_fairseq.errors import InputError
from csc_fairseq.models.csc import CscConfig, CscModel, encoder_config
from csc_fairseq.modules.segmentation import Alternating, Overlapping
from csc_fairseq.modules.separative_encoder import SeparativeEncoder
from csc_fairseq.tasks.csc_pretraining import CscPretrainingTask
from tests.making import csc_checkpoint, saved

BLOCKS, IDENTITIES = 3, ["a", "b", "c"]
SIZES = dict(
    sources=2, waveform_channels=16, window=32, channels=16, segment_frames=8, segment_summaries=4, recurrent_channels=8,
    attention_heads=2, shared_blocks=BLOCKS, stream_channels=16, embedding_channels=16, memory_size=12, memory_heads=2,
)  # fmt: skip


@pytest.fixture
def model(request) -> CscModel:
    """Its memory is full, and attention to it changes the queries. A test may say whether segments overlap."""
    torch.manual_seed(0)
    model = CscModel(CscConfig(**SIZES, segment_overlap=getattr(request, "param", True)), IDENTITIES).eval()
    memory, attention = model.encoder.memory, model.encoder.attention
    memory.stage(torch.randn(6, 2, 16), torch.arange(12).view(6, 2), torch.ones(6, 2, dtype=torch.bool))
    memory.commit()
    torch.nn.init.normal_(attention.output.weight, std=0.3)
    return model


@pytest.fixture
def source() -> torch.Tensor:
    return torch.randn(2, 1001, generator=torch.Generator().manual_seed(1))


def blocks_by_hand(encoder: SeparativeEncoder, source: torch.Tensor) -> list[torch.Tensor]:
    """(B, L, D) after every block of the trunk, for waveforms without padding."""
    source = source - source.mean(1, keepdim=True)
    level = source.square().mean(1, keepdim=True).sqrt() * source.pow(3).mean(1, keepdim=True).sign()
    frames = encoder.encoder(source / level).transpose(1, 2)
    padding = torch.zeros(frames.shape[:2], dtype=torch.bool)
    segmentation = (Overlapping if encoder.config.segment_overlap else Alternating)(8)
    segments = segmentation.split(encoder.bottleneck(encoder.norm(frames, padding)))
    valid = (~segmentation.padding(padding)).unsqueeze(-1).float()
    outputs = []
    for number, block in enumerate(encoder.trunk):
        segments = segmentation.apply(block, number, segments, valid)
        outputs.append(segmentation.join(segments, frames.shape[1]))
    return outputs


@torch.no_grad()
@pytest.mark.parametrize("model", [True, False], indirect=True, ids=["overlapping", "alternating"])
def test_every_block_is_the_trunk_run_by_hand(model, source):
    expected = blocks_by_hand(model.encoder, source)
    for layer in range(BLOCKS):
        torch.testing.assert_close(model.extract_features(source, None, layer=layer)["x"], expected[layer])
    assert not torch.allclose(expected[0], expected[1], atol=0.01)


@torch.no_grad()
def test_the_last_block_is_the_feature_output_of_the_model(model, source):
    expected = model(source).features
    for layer in (None, BLOCKS - 1):
        found = model.extract_features(source, padding_mask=None, mask=False, layer=layer)
        assert torch.equal(found["x"], expected) and torch.equal(found["features"], expected)
        assert found["padding_mask"] is None


@torch.no_grad()
@pytest.mark.parametrize("layer", [None, *range(BLOCKS)])
def test_layers_are_counted_as_in_wav2vec(model, source, layer):
    """The same holds of fairseq's own model: results up to the block asked for, the last of them `x`, in (L, B, D)."""
    torch.manual_seed(0)
    theirs = Wav2Vec2Model(
        Wav2Vec2Config(
            encoder_layers=BLOCKS, encoder_embed_dim=8, encoder_ffn_embed_dim=8, encoder_attention_heads=2, conv_pos=2,
            conv_pos_groups=1, conv_feature_layers="[(8, 10, 5)]", encoder_layerdrop=0.0,
        )
    ).eval()  # fmt: skip
    for one in (theirs, model):
        found = one.extract_features(source, padding_mask=None, mask=False, layer=layer)
        assert len(found["layer_results"]) == (BLOCKS if layer is None else layer + 1)
        assert all(len(result) == 3 for result in found["layer_results"])
        assert torch.equal(found["layer_results"][-1][0].transpose(0, 1), found["x"])
        assert {"x", "features", "padding_mask", "layer_results"} == found.keys()


@torch.no_grad()
def test_padding_changes_no_block(model, source):
    padding = torch.zeros(2, 1001, dtype=torch.bool)
    padding[0, 700:] = True
    padded = source.masked_fill(padding, 9.0)  # rubbish in the padding must not matter
    together = model.extract_features(padded, padding)
    alone = model.extract_features(source[:1, :700])
    frames = alone["x"].shape[1]
    assert together["padding_mask"].sum(1).tolist() == [together["x"].shape[1] - frames, 0]
    for (found, *_), (expected, *_) in zip(together["layer_results"], alone["layer_results"], strict=True):
        torch.testing.assert_close(found[:frames, :1], expected, atol=1e-4, rtol=0)


@torch.no_grad()
def test_features_need_no_head(model, source):
    expected = model.extract_features(source)["x"]
    for name in ("decoder", "masks", "speaker", "separation_blocks", "speaker_blocks"):
        setattr(model.encoder, name, None)
    assert torch.equal(model.extract_features(source)["x"], expected)


@pytest.mark.parametrize("layer", [BLOCKS, -1, 2.5])
def test_a_layer_that_is_not_there(model, source, layer):
    with pytest.raises(InputError, match=rf"layer is {layer}, but the trunk has 3 blocks; expected 0 to 2, or None"):
        model.extract_features(source, layer=layer)
    before = list(model.state_dict())
    with pytest.raises(InputError, match=rf"layer is {layer}"):
        model.remove_pretraining_modules(last_layer=layer)
    assert list(model.state_dict()) == before


def test_masking_is_refused(model, source):
    with pytest.raises(InputError, match="mask is true, but CSC masks nothing"):
        model.extract_features(source, mask=True)


@torch.no_grad()
def test_fine_tuning_keeps_the_encoder_alone(model, source):
    before, features = model(source), model.extract_features(source)["layer_results"]
    assert (before.attended - before.queries).abs().max() > 0.01
    model.remove_pretraining_modules()
    left = model.state_dict()
    assert not [name for name in left if name.startswith(("table", "identity", "encoder.attention"))]
    assert not any(value.numel() for name, value in left.items() if "memory" in name and value.dim())
    after = model(source)
    assert torch.equal(after.queries, before.queries) and torch.equal(after.estimates, before.estimates)
    assert torch.equal(after.attended, before.queries)
    for (found, *_), (expected, *_) in zip(model.extract_features(source)["layer_results"], features, strict=True):
        assert torch.equal(found, expected)
    again = SeparativeEncoder(model.encoder.config)
    again.load_state_dict(model.encoder.state_dict())
    assert torch.equal(again.eval()(source).queries, before.queries)


@torch.no_grad()
@pytest.mark.parametrize("last", range(BLOCKS))
def test_blocks_above_the_last_layer_go(model, source, last):
    expected = model.extract_features(source, layer=last)["x"]
    model.remove_pretraining_modules(last_layer=last)
    assert {name.split(".")[2] for name in model.state_dict() if name.startswith("encoder.trunk")} == set(
        map(str, range(last + 1))
    )
    found = model.extract_features(source)
    assert torch.equal(found["x"], expected) and len(found["layer_results"]) == last + 1
    assert torch.equal(model(source).features, expected)
    SeparativeEncoder(model.encoder.config).load_state_dict(model.encoder.state_dict())


def test_what_is_left_trains(model, source):
    model.train().remove_pretraining_modules(last_layer=1)
    model.set_num_updates(1)
    model.extract_features(source)["x"].square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.encoder.trunk.parameters())


def test_sizes_are_checked_once_the_task_is_known():
    """The configuration itself must be made while `sources` still refers to the task."""
    assert CscConfig().sources == "${task.sources}"
    with pytest.raises(InputError, match="model.sources is '\\${task.sources}'; expected a whole number"):
        encoder_config(CscConfig())
    with pytest.raises(InputError, match="model.window is 3; it must be even"):
        CscModel(CscConfig(**SIZES | {"window": 3}), IDENTITIES)
    for alpha in (0.5, 41.0, float("nan")):
        with pytest.raises(InputError, match=rf"model.alpha is {alpha}; it must lie within \[1, 40\]"):
            CscModel(CscConfig(**SIZES, alpha=alpha), IDENTITIES)


def test_checkpoints_with_a_learnable_alpha_load(model, source, tmp_path):
    """Earlier versions had `learn_alpha` among the model's options, and α among its parameters."""
    state = model.state_dict() | {"table._alpha": torch.nn.Parameter(torch.tensor(7.5), requires_grad=False)}
    options = asdict(CscConfig(**SIZES)) | {"_name": "csc", "learn_alpha": False}
    checkpoint = {
        "args": None,
        "cfg": {"model": options, "task": {"_name": "csc_pretraining", "data": "gone", "sources": 2}},
        "model": state,
        "criterion": None,
        "optimizer_history": [
            {"num_updates": 5, "optimizer_name": "FairseqAdam", "lr_scheduler_state": {"best": None}}
        ],
        "task_state": {"identities": IDENTITIES, "identity_level": "speaker", "sample_rate": 16000},
        "extra_state": {"train_iterator": {"epoch": 1}},
        "last_optimizer_state": None,
    }
    torch.save(checkpoint, tmp_path / "old.pt")
    (loaded,), _, task = checkpoint_utils.load_model_ensemble_and_task([str(tmp_path / "old.pt")])
    assert isinstance(task, CscPretrainingTask) and task.identities == IDENTITIES
    assert loaded.table.alpha == 7.5 and loaded.num_updates == 5
    assert torch.equal(loaded.eval()(source).attended, model(source).attended)


def test_starts_from_another_training(model, source, tmp_path):
    """Whatever its identities, its global vectors and its memory; the speakers it heard are told to the new task."""
    path = saved(csc_checkpoint(model.encoder, identities=["x", "y"], identity_level="speaker"), tmp_path / "old.pt")
    torch.manual_seed(9)
    cfg = CscConfig(**SIZES | {"memory": "none"}, global_vectors="views", pretrained=str(path))
    task = task_of(sample_rate=16000, views=2)
    fresh = CscModel.build_model(cfg, task)
    assert torch.equal(fresh.eval()(source).queries, model(source).queries)
    assert fresh.encoder.attention is None and task.state.pretraining_speakers == ["x", "y"]
    path.unlink()
    again = CscModel.build_model(cfg, task)  # of a task that was restored; the weights come from its checkpoint
    assert not torch.equal(again.eval()(source).queries, model(source).queries)


def test_a_start_may_cut_segments_otherwise(model, tmp_path):
    path = saved(csc_checkpoint(model.encoder), tmp_path / "old.pt")
    other = not model.encoder.config.segment_overlap
    cfg = CscConfig(**SIZES | {"segment_overlap": other}, pretrained=str(path))
    fresh = CscModel.build_model(cfg, task_of(sample_rate=16000))
    theirs, ours = model.encoder.trunk.state_dict(), fresh.encoder.trunk.state_dict()
    assert fresh.encoder.config.segment_overlap is other and theirs.keys() == ours.keys()
    assert all(torch.equal(weight, ours[name]) for name, weight in theirs.items())


def test_a_start_of_another_size_is_named(model, tmp_path):
    path = saved(csc_checkpoint(model.encoder), tmp_path / "old.pt")
    cfg = CscConfig(**SIZES | {"stream_channels": 8}, pretrained=str(path))
    with pytest.raises(InputError, match=r"old.pt: has model.stream_channels=\d+, but this training 8; set it to"):
        CscModel.build_model(cfg, task_of(sample_rate=16000))
    with pytest.raises(
        InputError, match="old.pt: was trained at 16000 Hz, task.sample_rate is 8000; set task.sample_rate=16000"
    ):
        CscModel.build_model(cfg, task_of(sample_rate=8000))


def test_one_view_is_no_global_vector():
    with pytest.raises(InputError, match="task.views is 1; set task.views=2"):
        CscModel.build_model(CscConfig(**SIZES, global_vectors="views"), task_of(views=1))


def task_of(**options: int) -> SimpleNamespace:
    return SimpleNamespace(state=StatefulContainer(), identities=IDENTITIES, cfg=SimpleNamespace(**options))
