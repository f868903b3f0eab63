"""The whole encoder: shapes, invariances, options."""

import pytest
import torch

from csc_fairseq.errors import InputError
from csc_fairseq.modules.separative_encoder import SeparativeEncoder, SeparativeEncoderConfig, polarity
from csc_fairseq.modules.speaker_table import SpeakerTable

SMALL = dict(
    waveform_channels=16, window=32, channels=16, segment_frames=8, segment_summaries=4, recurrent_channels=8, attention_heads=2,
    shared_blocks=1, stream_channels=16, embedding_channels=16, memory_size=32, memory_heads=2,
)  # fmt: skip


@pytest.fixture
def encoder() -> SeparativeEncoder:
    torch.manual_seed(0)
    encoder = SeparativeEncoder(SeparativeEncoderConfig(**SMALL)).eval()
    encoder.memory.stage(torch.randn(8, 2, 16), torch.arange(16).view(8, 2), torch.ones(8, 2, dtype=torch.bool))
    encoder.memory.commit()
    torch.nn.init.normal_(encoder.attention.output.weight, std=0.3)
    return encoder


def test_shapes(encoder):
    output = encoder(torch.randn(3, 1001))
    assert output.estimates.shape == (3, 2, 1001)
    assert output.queries.shape == output.attended.shape == (3, 2, 16)
    assert output.features.shape == (3, 64, 16) and output.feature_padding.shape == (3, 64)
    torch.testing.assert_close(output.queries.norm(dim=-1), torch.ones(3, 2))


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_padding_changes_nothing(encoder, mode):
    getattr(encoder, mode)()
    short, long = torch.randn(1, 900), torch.randn(1, 2000)
    batch = torch.zeros(2, 2000)
    batch[0, :900], batch[1] = short, long
    batch[0, 900:] = 7.0  # rubbish in the padding must not matter
    padding = torch.zeros(2, 2000, dtype=torch.bool)
    padding[0, 900:] = True
    together, alone = encoder(batch, padding), encoder(short)
    torch.testing.assert_close(together.estimates[:1, :, :900], alone.estimates, atol=1e-4, rtol=0)
    assert together.estimates[0, :, 900:].abs().max() == 0
    for name in ("queries", "attended"):
        torch.testing.assert_close(getattr(together, name)[:1], getattr(alone, name), atol=1e-4, rtol=0)
    frames = alone.features.shape[1]
    torch.testing.assert_close(together.features[:1, :frames], alone.features, atol=1e-4, rtol=0)
    assert together.feature_padding[0, frames:].all() and not together.feature_padding[0, :frames].any()


def test_level_changes_only_the_level(encoder):
    source = torch.randn(2, 1500)
    output, louder = encoder(source), encoder(40 * source)
    torch.testing.assert_close(louder.estimates, 40 * output.estimates, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(louder.queries, output.queries, atol=1e-4, rtol=1e-4)


def test_an_offset_changes_nothing(encoder):
    """Of the recorder; a padded waveform has it where it is not padded."""
    source, padding = torch.randn(2, 1000), torch.zeros(2, 1000, dtype=torch.bool)
    padding[1, 700:] = True
    plain, moved = encoder(source, padding), encoder(source + torch.tensor([[0.7], [-3.0]]), padding)
    torch.testing.assert_close(moved.estimates, plain.estimates, atol=1e-3, rtol=0)
    torch.testing.assert_close(moved.queries, plain.queries, atol=1e-4, rtol=0)


def test_the_sign_of_a_recording_means_nothing(encoder):
    """A skewed waveform, as a voice is: turned over, it has the same embeddings, and streams that are turned over."""
    source, padding = torch.randn(2, 1000), torch.zeros(2, 1000, dtype=torch.bool)
    source, padding[1, 700:] = source + 0.2 * source.square(), True
    plain, turned = encoder(source, padding), encoder(-source, padding)
    assert torch.equal(turned.queries, plain.queries) and torch.equal(turned.features, plain.features)
    assert torch.equal(turned.estimates, -plain.estimates)
    assert not torch.equal(polarity(source[:1], torch.tensor([1000])), polarity(-source[:1], torch.tensor([1000])))
    tone = torch.sin(2 * torch.pi * torch.arange(1000) / 40)
    assert polarity(torch.stack([tone, -tone]), torch.tensor([1000, 1000])).tolist() == [1, 1]


def test_digital_silence_stays_finite(encoder):
    output = encoder(torch.zeros(1, 1000))
    assert all(tensor.isfinite().all() for tensor in output)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_hears_the_same_and_stands_silence(encoder, dtype):
    recordings = torch.randn(2, 4000, generator=torch.Generator().manual_seed(3)) * 0.01
    recordings[1] = 0
    exact = encoder.eval()(recordings)
    found = encoder.to(dtype)(recordings.to(dtype))
    assert all(values.isfinite().all() for values in (found.estimates, found.queries))
    assert torch.cosine_similarity(exact.queries[0], found.queries[0].float(), dim=-1).min() > 0.99
    assert (found.estimates[1] == 0).all()


def test_identification_does_not_bend_the_masks(encoder):
    """The embedding reads the masked spectrum, but only separation decides what a mask lets through."""
    (encoder(torch.randn(2, 1000)).queries * torch.randn(2, 2, 16)).sum().backward()
    separation = [*encoder.separation_blocks.parameters(), *encoder.masks.parameters()]
    assert all(parameter.grad is None for parameter in separation)
    assert encoder.bottleneck.weight.grad.abs().sum() > 0 and encoder.speaker.spectrum.weight.grad.abs().sum() > 0


def test_embedding_follows_what_the_mask_lets_through(encoder):
    """Two mixtures that differ only in what one stream's mask keeps differ in that stream's embedding alone."""
    frames, masked = torch.randn(1, 20, 16), torch.rand(1, 2, 20, 16)
    padding = torch.zeros(1, 20, dtype=torch.bool)
    other = masked.clone()
    other[:, 1, :, 8:] = 0
    before, after = encoder.speaker(frames, masked, padding), encoder.speaker(frames, other, padding)
    assert (before[:, 1] - after[:, 1]).abs().max() > 10 * (before[:, 0] - after[:, 0]).abs().max()


def test_own_recording_is_hidden_from_the_query(encoder):
    source = torch.randn(1, 1000)
    seen = encoder(source, recordings=torch.tensor([[-1, -1]])).attended
    hidden = encoder(source, recordings=torch.tensor([[0, 5]])).attended
    assert (seen - hidden).abs().max() > 1e-5


def test_bank_is_hidden_for_a_share_of_training_only(encoder):
    source = torch.randn(1, 1000)
    plain = encoder(source).attended
    encoder.memory_hidden = True
    torch.testing.assert_close(encoder(source).attended, plain)
    encoder.train()
    assert (encoder(source).attended - plain).abs().max() > 1e-5


def test_without_memory_the_query_is_the_answer():
    encoder = SeparativeEncoder(SeparativeEncoderConfig(**SMALL | {"memory": "none"}))
    output = encoder(torch.randn(1, 500))
    assert torch.equal(output.queries, output.attended)
    assert not any(name.startswith("attention") for name in encoder.state_dict())


@pytest.mark.parametrize("memory", ["bank", "conditions", "none"])
def test_every_parameter_learns(memory):
    torch.manual_seed(0)
    encoder = SeparativeEncoder(SeparativeEncoderConfig(**SMALL | {"memory": memory}))
    encoder.memory.stage(torch.randn(8, 2, 16), torch.arange(16).view(8, 2), torch.ones(8, 2, dtype=torch.bool))
    encoder.memory.commit()
    if encoder.attention is not None:
        torch.nn.init.normal_(encoder.attention.output.weight)
    output = encoder(torch.randn(4, 800), groups=torch.tensor([0, 0, 1, 1]))
    (output.estimates.square().sum() + (output.attended * torch.randn(4, 2, 16)).sum()).backward()
    silent = [
        name
        for name, parameter in encoder.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum()
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"memory": "label"}, "model.memory is 'label'; choose one of bank, conditions, none"),
        ({"window": 33}, "model.window is 33; it must be even, since the hop is half of it"),
        ({"window": 0}, "model.window is 0; expected a whole number from 1 to 2147483647"),
        ({"segment_overlap": 1}, "model.segment_overlap is 1; expected true or false"),
        ({"segment_frames": 7}, "model.segment_frames is 7; it must be even"),
        ({"channels": 9, "attention_heads": 3}, "model.channels is 9; it must be even, since positions are sines"),
        ({"attention_heads": 3}, r"model.channels \(16\) must be a multiple of model.attention_heads \(3\)"),
        ({"memory_heads": 5}, r"model.embedding_channels \(16\) must be a multiple of model.memory_heads \(5\)"),
        ({"memory_drop": 1.5}, "model.memory_drop is 1.5; it is a share of updates, from 0 to 1"),
        ({"memory_drop": float("nan")}, "model.memory_drop is nan"),
        ({"memory_drop": float("inf")}, "model.memory_drop is inf"),
        ({"memory_drop": "0.1"}, "model.memory_drop is '0.1'"),
        ({"memory_drop": True}, "model.memory_drop is True"),
        ({"sources": True}, "model.sources is True; expected a whole number"),
        ({"channels": 16.0}, "model.channels is 16.0; expected a whole number"),
        ({"channels": "16"}, "model.channels is '16'; expected a whole number"),
        ({"channels": 2**31}, "model.channels is 2147483648; expected a whole number from 1 to 2147483647"),
        *(
            ({name: 0}, f"model.{name} is 0; expected a whole number from 1")
            for name in (
                "sources", "waveform_channels", "channels", "segment_frames", "segment_summaries", "recurrent_channels",
                "attention_heads", "shared_blocks", "stream_channels", "embedding_channels", "memory_heads",
            )
        ),
        *(
            ({name: -1}, f"model.{name} is -1; expected a whole number from 0")
            for name in ("separation_blocks", "speaker_blocks", "memory_size")
        ),
    ],
)  # fmt: skip
def test_impossible_sizes_are_refused_in_one_line(change, message):
    with pytest.raises(InputError, match=message) as raised:
        SeparativeEncoderConfig(**SMALL | change)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "change",
    [
        {"sources": 1},
        {"window": 2, "waveform_channels": 1},
        {"channels": 2, "attention_heads": 1},
        {"segment_frames": 2, "segment_summaries": 1, "recurrent_channels": 1},
        {"separation_blocks": 0, "speaker_blocks": 0},
        {"stream_channels": 2},
        {"embedding_channels": 1, "memory_heads": 1, "memory_size": 0},
    ],
)
def test_least_sizes_work(change):
    """The smallest values that are not refused give a network that runs and learns."""
    encoder = SeparativeEncoder(SeparativeEncoderConfig(**SMALL | change))
    output = encoder(torch.randn(2, 100))
    (output.estimates.square().sum() + output.attended.sum()).backward()
    assert all(tensor.isfinite().all() for tensor in output)
    assert all(parameter.grad.isfinite().all() for parameter in encoder.trunk.parameters())


def test_table_spread_tells_even_rows_from_collapsed_ones():
    table = SpeakerTable(4, 4, alpha=12.0)
    table.weight.data = torch.eye(4) * torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    assert table.spread().item() == pytest.approx(1.0)
    table.weight.data = torch.ones(4, 4)
    assert table.spread().item() == pytest.approx(0.0, abs=1e-6)


def test_alpha_is_kept_in_the_state_and_not_learnt():
    """Under the name that it had when it was a parameter, so old checkpoints load."""
    table = SpeakerTable(2, 4, alpha=12.0)
    assert list(table.state_dict()) == ["weight", "_alpha"] and table.alpha == 12
    assert [name for name, _ in table.named_parameters()] == ["weight"]
    table.load_state_dict({"weight": torch.zeros(2, 4), "_alpha": torch.nn.Parameter(torch.tensor(7.5))})
    assert table.alpha == 7.5 and not table.alpha.requires_grad
    table.load_state_dict({"weight": torch.zeros(2, 4), "_alpha": torch.tensor(100.0)})
    assert table.alpha == 40
