"""The separative encoder as a frame encoder: what it gives is what the checkpoint's model gives."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

import csc_fairseq as csc
from csc_fairseq.errors import InputError
from csc_fairseq.frame_encoders.csc import CscFrames, pretrained_csc
from csc_fairseq.frame_encoders.loading import encoder_from_settings, pretrained_encoder
from csc_fairseq.inference.checkpoint import save_bundle
from csc_fairseq.inference.speaker_encoder import SpeakerEncoder
from csc_fairseq.modules.separative_encoder import SeparativeEncoder, SeparativeEncoderConfig

TINY = SeparativeEncoderConfig(
    sources=3, waveform_channels=24, window=64, channels=16, segment_frames=8, segment_summaries=4, recurrent_channels=8,
    attention_heads=2, shared_blocks=2, stream_channels=10, embedding_channels=12, memory_size=5, memory_heads=2,
)  # fmt: skip


@pytest.fixture
def network() -> SeparativeEncoder:
    """With a bank that its queries do not depend on."""
    torch.manual_seed(0)
    network = SeparativeEncoder(TINY).eval()
    network.memory.entries.normal_()
    network.memory.filled.fill_(3)
    return network


@pytest.fixture
def checkpoint(network, tmp_path):
    """As fairseq writes it."""
    state = {
        "args": None,
        "cfg": {"task": {"_name": "csc_pretraining"}, "model": {"_name": "csc", **asdict(TINY), "alpha": 12.0}},
        "model": {
            **{f"encoder.{name}": tensor for name, tensor in network.state_dict().items()},
            "table.weight": torch.randn(7, 12),
        },
        "optimizer_history": [{"num_updates": 3}],
        "task_state": {"identities": ["a", "b"], "identity_level": "session", "sample_rate": 8000},
        "extra_state": {"epoch": 1},
        "last_optimizer_state": None,
    }
    torch.save(state, tmp_path / "checkpoint.pt")
    return tmp_path / "checkpoint.pt"


@pytest.fixture
def bundle(network, tmp_path):
    save_bundle(SpeakerEncoder(network, 8000, "session"), tmp_path / "bundle.pt")
    return tmp_path / "bundle.pt"


@pytest.mark.parametrize("kind", ["checkpoint", "bundle"])
def test_gives_what_the_model_gives(kind, waveforms, request):
    path = request.getfixturevalue(kind)
    encoder, settings = pretrained_encoder(path)
    assert isinstance(encoder, CscFrames) and encoder.training
    assert settings == encoder.settings and settings["kind"] == "csc"
    assert (encoder.sample_rate, encoder.streams, encoder.layers, encoder.channels) == (8000, 3, 1, 12)
    assert (encoder.embedding_channels, encoder.shortest) == (12, 64)
    model = csc.load_model(path)
    for waveform in waveforms:
        with torch.no_grad():
            output = encoder.eval()(waveform[None])
        np.testing.assert_allclose(output.embeddings[0], model.embed_sources(waveform.numpy()), atol=1e-6)
        np.testing.assert_allclose(output.estimates[0], model.separate(waveform.numpy()), atol=1e-6)


def test_frames_are_those_before_the_pooling(network, checkpoint, padded):
    """Taken on their way into the pooling; and pooled as the head does they give the queries."""
    encoder = pretrained_csc(checkpoint).eval()
    seen = []
    network.speaker.pooling.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    with torch.no_grad():
        network(*padded)
        output = encoder(*padded)
        ((frames, cues, padding),) = seen
        torch.testing.assert_close(output.layers[0], torch.cat([frames, cues], dim=-1), atol=1e-6, rtol=0)
        assert torch.equal(output.padding, padding)
        queries = encoder.network.speaker.pool(output.layers[0, ..., :10], output.layers[0, ..., 10:], padding)
    torch.testing.assert_close(queries, output.embeddings, atol=1e-6, rtol=0)
    shares = output.layers[0, ..., 10].exp() - 1e-3  # the first cue: how much of a frame is the stream's
    torch.testing.assert_close(shares.sum(1)[~padding], torch.ones(int((~padding).sum())), atol=1e-4, rtol=0)


def test_keeps_what_an_encoder_promises(checkpoint, require_frame_encoder, require_padding_to_change_nothing):
    encoder = pretrained_csc(checkpoint)
    require_padding_to_change_nothing(encoder)
    require_frame_encoder(encoder)


def test_pre_training_leaves_nothing_behind(checkpoint):
    """Neither the bank nor the attention to it nor the identities."""
    weights = pretrained_csc(checkpoint).state_dict()
    assert not [name for name in weights if name.startswith("network.attention")]
    assert all(name.startswith("network.") for name in weights)
    assert weights["network.memory.entries"].numel() == 0


def test_every_parameter_learns(checkpoint, padded):
    encoder = pretrained_csc(checkpoint).train()
    output = encoder(*padded)
    loss = (output.layers.square() * ~output.padding[None, :, None, :, None]).sum()
    loss = loss + (output.embeddings * torch.randn(3, 3, 12)).sum() + output.estimates.square().sum()
    loss.backward()
    silent = [
        name for name, value in encoder.named_parameters() if value.grad is None or not value.grad.abs().sum() > 0
    ]
    assert silent == []


def test_blocks_run_from_input_to_output(checkpoint):
    """What separation and the speakers share lies before both; the head reads the masks, so separation comes first."""
    encoder = pretrained_csc(checkpoint)
    network = encoder.network
    first, trunk, deeper, separation, speakers, head = encoder.blocks()
    assert network.encoder in list(first) and network.bottleneck in list(first)
    assert [trunk, deeper] == list(network.trunk)
    assert network.decoder in list(separation) and network.masks in list(separation)
    assert (speakers, head) == (network.speaker_blocks[0], network.speaker)


def test_damaged_settings(network):
    settings = CscFrames(TINY, 8000).settings
    with pytest.raises(InputError, match="^sv.pt: lacks the entry 'network'"):
        encoder_from_settings({"kind": "csc", "sample_rate": 8000}, "sv.pt")
    without = {name: value for name, value in settings["network"].items() if name != "channels"}
    with pytest.raises(InputError, match="^sv.pt: lacks the model settings channels"):
        encoder_from_settings({**settings, "network": without}, "sv.pt")
