"""Filterbanks against those of the MFCCs, the trunk against the table of the paper, and padding."""

import numpy as np
import pytest
import torch

from csc_fairseq.backbones.loading import backbone_from_settings
from csc_fairseq.backbones.xvector import LogMel, TimeDelayLayer, XVectorBackbone
from csc_fairseq.errors import InputError
from csc_fairseq.modules.mel import mel_filters

WIDTHS = (6, 7, 8, 9, 10)
# Table 1 of the paper: frames that each layer splices, relative to the current one.
SPLICES = ((-2, -1, 0, 1, 2), (-2, 0, 2), (-3, 0, 3), (0,), (0,))


@pytest.fixture
def encoder() -> XVectorBackbone:
    torch.manual_seed(0)
    return XVectorBackbone(16000, WIDTHS)


def test_keeps_what_an_encoder_promises(encoder, require_backbone, require_padding_to_change_nothing):
    require_backbone(encoder)
    require_padding_to_change_nothing(encoder)
    assert (encoder.sample_rate, encoder.streams, encoder.layers, encoder.channels) == (16000, 1, 1, 10)
    assert (encoder.embedding_channels, encoder.shortest) == (None, 400)


@pytest.mark.parametrize(("rate", "window", "hop", "fft"), [(16000, 400, 160, 512), (8000, 200, 80, 256)])
def test_filterbank_by_definition(rate, window, hop, fft, waveforms):
    waveform = waveforms[1].double().numpy()
    found, padding = LogMel(rate)(waveforms[1][None], torch.zeros(1, 4100, dtype=torch.bool))
    frames = 1 + (4100 - window) // hop
    assert found.shape == (1, frames, 40) and not padding.any()
    waveform = waveform - waveform.mean()
    waveform = waveform / np.sqrt(np.mean(waveform**2))
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / (window - 1))
    spectra = [np.fft.rfft(waveform[i * hop : i * hop + window] * taper, fft) for i in range(frames)]
    logs = np.log(np.maximum(np.abs(spectra) ** 2 @ mel_filters(rate, fft).T, 1e-10))
    np.testing.assert_allclose(found[0], logs - logs.mean(0), atol=1e-3)


def test_filters_of_another_rate_reach_the_same_share_of_it():
    filters = mel_filters(8000, 256)
    bins = np.arange(129) * 8000 / 256
    assert filters.shape == (40, 129)
    assert not filters[:, (bins <= 20) | (bins >= 3800)].any() and filters[:, bins == 3750].any()


def test_neither_level_nor_offset_nor_silence_disturbs(encoder, waveforms):
    encoder.eval()
    source = waveforms[0][None]
    with torch.no_grad():
        torch.testing.assert_close(encoder(100 * source).layers, encoder(source).layers, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(encoder(source - 0.1).layers, encoder(source).layers, atol=1e-3, rtol=1e-3)
        assert encoder(torch.zeros(1, 3000)).layers.isfinite().all()


def test_trunk_by_the_table(encoder, waveforms):
    """Splice, multiply, ReLU, norm, frame by frame; frames near an end see zeros beyond it."""
    encoder.eval()
    for layer in encoder.trunk:
        torch.nn.init.uniform_(layer.norm.running_var, 0.5, 2)
        torch.nn.init.normal_(layer.norm.running_mean)
    with torch.no_grad():
        output = encoder(waveforms[2][None]).layers[0, 0, 0]
        frames = encoder.filterbank(waveforms[2][None], torch.zeros(1, 2900, dtype=torch.bool))[0][0]
        for layer, splice in zip(encoder.trunk, SPLICES, strict=True):
            rows = []
            for t in range(len(frames)):
                total = layer.convolution.bias.clone()
                for k, offset in enumerate(splice):
                    if 0 <= t + offset < len(frames):
                        total += layer.convolution.weight[:, :, k] @ frames[t + offset]
                rows.append(total.clamp_min(0))
            norm = layer.norm
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            frames = (torch.stack(rows) - norm.running_mean) * scale + norm.bias
    torch.testing.assert_close(output, frames, atol=1e-4, rtol=1e-4)


def test_published_sizes():
    """Snyder et al., table 1, with 40 bands in place of 24: weights and biases of five layers, two figures a channel of norm."""
    encoder = XVectorBackbone(16000)
    assert encoder.channels == 1500
    affine = 200 * 512 + 1536 * 512 + 1536 * 512 + 512 * 512 + 512 * 1500
    assert sum(parameter.numel() for parameter in encoder.parameters()) == affine + 3 * (4 * 512 + 1500)
    assert len(encoder.blocks()) == 5


def test_padding_changes_nothing_in_training(padded, encoder):
    """Neither what comes out nor what the norms learn: three times the batch's padding gives the same."""
    source, mask = padded
    longer = torch.nn.functional.pad(source, (0, 9000), value=3.0)
    longer_mask = torch.nn.functional.pad(mask, (0, 9000), value=True)
    other = XVectorBackbone(16000, WIDTHS)
    other.load_state_dict(encoder.state_dict())
    output, longer_output = encoder.train()(source, mask), other.train()(longer, longer_mask)
    frames = output.padding.shape[1]
    assert longer_output.padding[:, frames:].all()
    torch.testing.assert_close(longer_output.layers[:, :, :, :frames], output.layers, atol=1e-4, rtol=0)
    for name, value in encoder.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value, atol=1e-5, rtol=1e-5)


def test_norm_takes_its_statistics_from_valid_frames():
    torch.manual_seed(0)
    layer = TimeDelayLayer(3, 4, 1, 1)
    frames, padding = torch.randn(2, 5, 3), torch.tensor([[False] * 5, [False] * 2 + [True] * 3])
    output = layer(frames, padding)
    valid = output[~padding]
    torch.testing.assert_close(valid.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    assert not output[padding].any()


def test_every_parameter_learns(encoder, padded):
    output = encoder.train()(*padded)
    (output.layers * torch.randn(output.layers.shape)).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())


@pytest.mark.parametrize("widths", [[8, 8], [8, 8, 8, 8, 0]])
def test_wrong_widths(widths):
    with pytest.raises(InputError, match="widths of the x-vector network are .*expected 5"):
        backbone_from_settings({"kind": "xvector", "sample_rate": 16000, "widths": widths})


def test_half_precision_leaves_the_filterbank_alone():
    """Powers exceed what it holds, and silence falls below."""
    source = torch.cat([torch.zeros(1, 8000), torch.randn(1, 8000)], dim=1)
    mask = torch.zeros_like(source, dtype=torch.bool)
    filterbank = LogMel(16000)
    expected, _ = filterbank(source, mask)
    with torch.autocast("cpu", torch.float16):
        found, _ = filterbank(source, mask)
    assert torch.equal(found, expected) and torch.isfinite(found).all()
