"""Frame arithmetic, exact inverses, and norms that ignore padding."""

import pytest
import torch

from csc_fairseq.modules.segmentation import overlap_add, segment, segment_padding
from csc_fairseq.modules.waveform_codec import GlobalNorm, WaveformDecoder, WaveformEncoder, frame_count


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 33])
@pytest.mark.parametrize("length", [2, 8])
def test_overlap_add_inverts_segmentation(count, length):
    frames = torch.randn(3, count, 5)
    segments = segment(frames, length)
    assert segments.shape == (3, -(-count // (length // 2)) + 1, length, 5)
    assert torch.equal(overlap_add(segments, count), frames)


def test_every_frame_lies_in_two_segments():
    positions = torch.arange(1, 20).unsqueeze(0)
    found = segment(positions, 6)
    assert all((found == position).sum() == 2 for position in range(1, 20))


def test_segmentation_itself_pads():
    padding = torch.tensor([[False] * 5 + [True] * 3])
    assert (~segment_padding(padding, 4)).sum() == 2 * 5


@pytest.mark.parametrize("samples", [1, 31, 32, 33, 100])
def test_codec_lengths_and_reconstruction(samples):
    """With a filterbank that is the identity, every sample is in two frames: decoding gives twice the waveform."""
    window = 64
    encoder, decoder = WaveformEncoder(2 * window, window), WaveformDecoder(2 * window, window)
    identity = torch.cat([torch.eye(window), -torch.eye(window)])
    encoder.filters.weight.data = identity.unsqueeze(1)
    decoder.filters.weight.data = identity.unsqueeze(1)
    waveform = torch.randn(2, samples)
    frames = encoder(waveform)
    assert frames.shape[-1] == frame_count(samples, encoder.hop) and (frames >= 0).all()
    torch.testing.assert_close(decoder(frames, samples), 2 * waveform)


def test_global_norm_ignores_padded_frames():
    norm = GlobalNorm(6)
    frames = torch.randn(1, 9, 6)
    padding = torch.arange(12).unsqueeze(0) >= 9
    padded = torch.cat([frames, 100 * torch.randn(1, 3, 6)], dim=1)
    alone = norm(frames, padding[:, :9])
    torch.testing.assert_close(norm(padded, padding)[:, :9], alone)
    assert alone.mean().abs() < 1e-6 and alone.var(correction=0).item() == pytest.approx(1, abs=1e-5)
