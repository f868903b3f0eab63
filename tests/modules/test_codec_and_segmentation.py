"""Frame arithmetic, exact inverses, and norms that ignore padding."""

import pytest
import torch

from csc_fairseq.modules.segmentation import Alternating, Overlapping
from csc_fairseq.modules.waveform_codec import GlobalNorm, WaveformDecoder, WaveformEncoder, frame_count


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 33])
@pytest.mark.parametrize("length", [2, 8])
@pytest.mark.parametrize("kind", [Overlapping, Alternating])
def test_join_inverts_split(kind, count, length):
    frames = torch.randn(3, count, 5)
    segments = kind(length).split(frames)
    hops = -(-count // (length // 2))
    assert segments.shape == (3, hops + 1 if kind is Overlapping else -(-hops // 2) + 1, length, 5)
    assert torch.equal(kind(length).join(segments, count), frames)


def test_every_frame_lies_in_two_overlapping_segments():
    found = Overlapping(6).split(torch.arange(1, 20).unsqueeze(0))
    assert all((found == position).sum() == 2 for position in range(1, 20))


@pytest.mark.parametrize("kind, copies", [(Overlapping, 2), (Alternating, 1)])
def test_segmentation_itself_pads(kind, copies):
    padding = torch.tensor([[False] * 5 + [True] * 3])
    assert (~kind(4).padding(padding)).sum() == copies * 5


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 11])
def test_alternating_segments_begin_half_a_segment_later_for_odd_blocks(count):
    """Against the picture in the module: which frames a block sees together, and that each is changed once."""
    segmentation, seen = Alternating(4), []

    def block(segments, valid):
        seen.append([[int(v) for v in row if v > 0] for row in segments[0, :, :, 0]])
        return segments + 100 * valid

    frames = torch.arange(1.0, count + 1).view(1, count, 1)
    segments = segmentation.split(frames)
    valid = (~segmentation.padding(torch.zeros(1, count, dtype=torch.bool))).unsqueeze(-1).float()
    for number in (0, 1):
        changed = segmentation.apply(block, number, segments, valid)
        assert torch.equal(segmentation.join(changed, count), frames + 100)
    numbers = list(range(1, count + 1))
    assert [row for row in seen[0] if row] == [numbers[:2], *(numbers[i : i + 4] for i in range(2, count, 4))]
    assert [row for row in seen[1] if row] == [numbers[i : i + 4] for i in range(0, count, 4)]


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


def test_global_norm_in_half_precision_counts_further_than_half_precision():
    """100 000 numbers; 65 504 is the largest in float16."""
    frames = torch.randn(1, 500, 200, generator=torch.Generator().manual_seed(0)) + 3
    padding = torch.zeros(1, 500, dtype=torch.bool)
    norm = GlobalNorm(200)
    expected = norm(frames, padding)
    for dtype, tolerance in ((torch.float16, 5e-3), (torch.bfloat16, 5e-2)):
        found = norm.to(dtype)(frames.to(dtype), padding)
        assert found.dtype == dtype
        torch.testing.assert_close(found.float(), expected, atol=tolerance, rtol=tolerance)
        norm.float()


def test_global_norm_ignores_padded_frames():
    norm = GlobalNorm(6)
    frames = torch.randn(1, 9, 6)
    padding = torch.arange(12).unsqueeze(0) >= 9
    padded = torch.cat([frames, 100 * torch.randn(1, 3, 6)], dim=1)
    alone = norm(frames, padding[:, :9])
    torch.testing.assert_close(norm(padded, padding)[:, :9], alone)
    assert alone.mean().abs() < 1e-6 and alone.var(correction=0).item() == pytest.approx(1, abs=1e-5)
