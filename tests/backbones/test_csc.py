"""The separative encoder as a backbone: what it gives is what the checkpoint's model gives."""

import numpy as np
import pytest
import torch

import csc_fairseq as csc
from csc_fairseq.backbones.csc import CscBackbone
from csc_fairseq.backbones.loading import backbone_from_settings, pretrained_backbone
from csc_fairseq.checkpoints.checkpoint import read_checkpoint
from csc_fairseq.errors import InputError
from csc_fairseq.inference.speaker_encoder import SpeakerEncoder
from csc_fairseq.modules.loudness import levels_in_mixture
from csc_fairseq.modules.separative_encoder import SeparativeEncoder
from tests.making import bundled, csc_checkpoint, saved, separative_network, without


def backbone_of(path):
    return pretrained_backbone(read_checkpoint(path))


@pytest.fixture
def network() -> SeparativeEncoder:
    """Of three streams, with a bank that its queries do not depend on."""
    return separative_network(sources=3, shared_blocks=2, stream_channels=10, filled=3)


@pytest.fixture
def checkpoint(network, tmp_path):
    return saved(csc_checkpoint(network, sample_rate=8000), tmp_path / "checkpoint.pt")


@pytest.fixture
def bundle(network, tmp_path):
    return bundled(SpeakerEncoder(network, 8000, "session"), tmp_path / "bundle.pt")


@pytest.mark.parametrize("kind", ["checkpoint", "bundle"])
def test_gives_what_the_model_gives(kind, waveforms, request):
    path = request.getfixturevalue(kind)
    encoder = backbone_of(path)
    assert isinstance(encoder, CscBackbone) and encoder.training and encoder.settings["kind"] == "csc"
    assert (encoder.sample_rate, encoder.streams, encoder.layers, encoder.channels) == (8000, 3, 1, 12)
    assert (encoder.embedding_channels, encoder.shortest) == (12, 64)
    model = csc.load_model(path)
    assert model.period == encoder.period
    model.period = 1  # recordings as they begin
    for waveform in waveforms:
        with torch.no_grad():
            output = encoder.eval()(waveform[None])
        np.testing.assert_allclose(output.embeddings[0], model.embed_sources(waveform.numpy()), atol=1e-6)
        expected = output.estimates[0] * levels_in_mixture(output.estimates[0], waveform)
        np.testing.assert_allclose(model.separate(waveform.numpy()), expected, atol=1e-5)


def test_frames_are_those_before_the_pooling(network, checkpoint, padded):
    """Taken on their way into the pooling; and pooled as the head does they give the queries."""
    encoder = backbone_of(checkpoint).eval()
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


def test_keeps_what_an_encoder_promises(checkpoint, require_backbone, require_padding_to_change_nothing):
    encoder = backbone_of(checkpoint)
    require_padding_to_change_nothing(encoder)
    require_backbone(encoder)


def test_pre_training_leaves_nothing_behind(checkpoint):
    """Neither the bank nor the attention to it nor the identities."""
    weights = backbone_of(checkpoint).state_dict()
    assert not [name for name in weights if name.startswith("network.attention")]
    assert all(name.startswith("network.") for name in weights)
    assert weights["network.memory.entries"].numel() == 0


def test_every_parameter_learns(checkpoint, padded):
    encoder = backbone_of(checkpoint).train()
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
    encoder = backbone_of(checkpoint)
    network = encoder.network
    first, trunk, deeper, separation, speakers, head = encoder.blocks()
    assert network.encoder in list(first) and network.bottleneck in list(first)
    assert [trunk, deeper] == list(network.trunk)
    assert network.decoder in list(separation) and network.masks in list(separation)
    assert (speakers, head) == (network.speaker_blocks[0], network.speaker)


def test_damaged_settings(network):
    settings = CscBackbone(network.config, 8000).settings
    with pytest.raises(InputError, match="^sv.pt: lacks the entry 'network'"):
        backbone_from_settings({"kind": "csc", "sample_rate": 8000}, "sv.pt")
    with pytest.raises(InputError, match="^sv.pt: lacks the model settings channels"):
        backbone_from_settings(without(settings, "network", "channels"), "sv.pt")
