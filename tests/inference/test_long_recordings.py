"""Chunks, their order and their seams, with stub networks that separate by frequency."""

import pytest
import torch

from csc_fairseq.inference.long_recordings import ChunkOptions, analyse_long, best_order, chunk_starts

OPTIONS = ChunkOptions(longest=1200, chunk=800, overlap=200)


def tones(samples):
    """A low and a high tone [2, samples], both with whole periods in 800 samples."""
    time = torch.arange(samples) / 800
    return torch.stack([torch.sin(2 * torch.pi * 8 * time), 0.3 * torch.sin(2 * torch.pi * 90 * time + 1)])


class SwappingNetwork:
    """Separates low from high exactly, but puts them in another order in every second chunk. Query c names the tone."""

    def __init__(self):
        self.chunks = 0

    def __call__(self, waveforms):
        spectrum = torch.fft.rfft(waveforms)
        low = torch.arange(spectrum.shape[-1]) < 40
        streams = torch.stack([torch.fft.irfft(spectrum * band, n=waveforms.shape[-1]) for band in (low, ~low)], dim=1)
        queries = torch.eye(2).repeat(len(waveforms), 1, 1)
        for i in range(len(waveforms)):
            if self.chunks % 2:
                streams[i], queries[i] = streams[i].flip(0), queries[i].flip(0)
            self.chunks += 1
        return streams, queries


def test_chunk_starts():
    assert chunk_starts(1201, OPTIONS) == [0, 401]
    assert chunk_starts(1400, OPTIONS) == [0, 600]
    assert chunk_starts(1401, OPTIONS) == [0, 600, 601]
    assert chunk_starts(2600, OPTIONS) == [0, 600, 1200, 1800]
    for samples in range(1201, 4000, 7):
        starts = chunk_starts(samples, OPTIONS)
        assert starts[0] == 0 and starts[-1] + 800 == samples
        assert all(0 < b - a <= 600 for a, b in zip(starts, starts[1:], strict=False))


@pytest.mark.parametrize("samples", [1201, 1400, 1401, 2600, 5003])
@pytest.mark.parametrize("chunks_per_batch", [1, 3])
def test_streams_do_not_swap(samples, chunks_per_batch):
    sources = tones(samples)
    analysis = analyse_long(SwappingNetwork(), sources.sum(0), OPTIONS, chunks_per_batch)
    torch.testing.assert_close(analysis.estimates, sources, rtol=0, atol=1e-4)
    torch.testing.assert_close(analysis.queries, torch.eye(2))


@pytest.mark.parametrize("samples", [1201, 1401, 3333])
def test_seams_are_inaudible(samples):
    """A network that copies its input: weights of the cross-fade sum to one everywhere."""
    torch.manual_seed(0)
    waveform = torch.randn(samples)
    analysis = analyse_long(lambda x: (torch.stack([x, -2 * x], 1), torch.ones(len(x), 2, 3)), waveform, OPTIONS, 4)
    torch.testing.assert_close(analysis.estimates, torch.stack([waveform, -2 * waveform]), rtol=0, atol=1e-5)
    torch.testing.assert_close(analysis.queries, torch.full((2, 3), 3**-0.5))


def test_queries_are_weighted_by_the_level_of_their_stream():
    """Two chunks whose queries are orthogonal, the second stream three times as loud in the second chunk."""

    def network(waveforms):
        levels = torch.tensor([[1.0, 1.0], [1.0, 3.0]])
        streams = levels.unsqueeze(-1) * torch.ones(2, 2, 800)
        return streams, torch.eye(2).unsqueeze(1).repeat(1, 2, 1)

    # 1599 samples: an overlap of one sample, too short for the cross-fade to change levels.
    options = ChunkOptions(longest=1200, chunk=800, overlap=1)
    queries = analyse_long(network, torch.ones(1599), options, 2).queries
    torch.testing.assert_close(queries[0], torch.tensor([0.5, 0.5]).sqrt())
    torch.testing.assert_close(queries[1], torch.tensor([1.0, 3.0]) / 10**0.5, rtol=2e-3, atol=0)


def test_best_order():
    torch.manual_seed(1)
    streams = torch.randn(3, 500)
    assert best_order(streams[[2, 0, 1]], streams) == (2, 0, 1)
    noisy = streams[[2, 0, 1]] + 0.5 * torch.randn(3, 500)
    assert best_order(noisy, streams) == (2, 0, 1)
    assert best_order(torch.zeros(3, 500), streams) == (0, 1, 2)
    # One talker only: the loud stream decides, whatever faint leakage the other one holds.
    loud, leak = torch.randn(500), 1e-3 * torch.randn(500)
    assert best_order(torch.stack([loud, leak]), torch.stack([-leak, loud])) == (1, 0)


def test_impossible_options():
    for longest, chunk, overlap in ((700, 800, 200), (1200, 800, 500), (1200, 800, 0)):
        with pytest.raises(ValueError, match="expected 0 < overlap"):
            ChunkOptions(longest, chunk, overlap)
