"""A little of its end in front: where a recording begins does not matter."""

import math

import numpy as np
import pytest
import torch

from csc_fairseq.inference.alignment import aligned, lead
from csc_fairseq.modules.loudness import levels_in_mixture

PERIOD = 100


def bumps(at: float, samples: int = 2000) -> torch.Tensor:
    """A tone whose energy is 1 + cos, with a maximum at `at` in every period of 100 samples."""
    time = torch.arange(samples)
    return (1 + torch.cos(2 * math.pi * (time - at) / PERIOD)).sqrt() * (-1.0) ** time


@pytest.mark.parametrize("at", [0, 1, 37, 50, 99])
def test_the_energy_falls_on_a_border(at):
    samples = lead(bumps(at), PERIOD)
    assert samples == -at % PERIOD
    assert lead(aligned(bumps(at), samples), PERIOD) == pytest.approx(0, abs=1) or samples == 0


def test_what_is_cut_off_is_put_in_front(voice):
    """Loudness of the voice moves slowly, so its beginning weighs little."""
    waveform = torch.from_numpy(voice(32000))
    for missing in (1, 3, 17):
        assert (lead(waveform[missing:], 1024) - lead(waveform, 1024)) % 1024 == missing


def test_level_sign_and_offset_mean_nothing(voice):
    waveform = torch.from_numpy(voice(16000))
    for changed in (waveform * 100, waveform / 100, -waveform, waveform + 0.5):
        assert lead(changed, 1024) == lead(waveform, 1024)


@pytest.mark.parametrize("samples", [1, 2, 50, 4096])
def test_silence_needs_none(samples):
    assert lead(torch.zeros(samples), 64) == 0


def test_no_period_needs_none(voice):
    assert lead(torch.from_numpy(voice(5000)), 1) == 0


def test_in_front_is_the_end():
    waveform = torch.tensor([1.0, 2.0, 6.0])
    assert aligned(waveform, 2).tolist() == [2, 6, 1, 2, 6]
    assert aligned(waveform, 7).tolist() == [6, 1, 2, 6, 1, 2, 6, 1, 2, 6]
    assert torch.equal(aligned(waveform, 0), waveform)


def test_the_model_hears_it_and_gives_it_back(model, voice):
    """Estimates and queries are those of the network for the aligned waveform, without what was put in front, at their levels."""
    waveforms = [torch.from_numpy(voice(samples, seed)) for seed, samples in enumerate((16000, 9000, 12345))]
    leads = [lead(waveform, model.period) for waveform in waveforms]
    assert model.period == model.network.hop * model.network.config.segment_frames and max(leads) > 0
    separated, queries = model.separate(waveforms), model.embed_sources(waveforms)
    for waveform, samples, estimates, query in zip(waveforms, leads, separated, queries, strict=True):
        with torch.no_grad():
            plain = model.network(aligned(waveform, samples)[None])
        own = plain.estimates[0, :, samples:]
        torch.testing.assert_close(estimates, own * levels_in_mixture(own, waveform), atol=1e-4, rtol=0)
        torch.testing.assert_close(query, plain.queries[0], atol=1e-4, rtol=0)


def test_every_window_of_a_long_recording_hears_it(model, voice):
    model.longest = 3 * 16000
    waveform = torch.from_numpy(voice(3 * 16000 + 7))
    found = model.windows(waveform, length=1.0, hop=1.0, waveforms=True)
    assert len(found.starts) == 4
    for start, queries, estimates in zip(found.starts, found.queries, found.estimates, strict=True):
        window = waveform[start : start + found.length]
        np.testing.assert_allclose(model.embed_sources(window), queries, atol=1e-4)
        np.testing.assert_allclose(model.separate(window), estimates, atol=1e-4)
    assert model.separate(waveform).shape[-1] == 3 * 16000 + 7
