"""Windows: where they lie, what they hold, and what they cannot be."""

import numpy as np
import pytest
import torch

from csc_fairseq.errors import InputError
from csc_fairseq.inference.separated_voices import SeparatedVoices
from csc_fairseq.inference.windows import WindowGrid, Windows, frame_levels, joined, window_batches
from tests.making import SAMPLE_RATE


def grid_of(seconds, length=3.0, hop=1.0):
    return WindowGrid.of(round(seconds * 1000), 1000, length, hop, least=10, most=12000)


def test_windows_cover_a_recording_and_the_last_ends_with_it():
    assert grid_of(6.4).starts.tolist() == [0, 1000, 2000, 3000, 3400]
    assert grid_of(6).starts.tolist() == [0, 1000, 2000, 3000]
    assert grid_of(3.001).starts.tolist() == [0, 1]
    for seconds in (3, 2.5):
        grid = grid_of(seconds)
        assert (grid.starts.tolist(), grid.length) == ([0], round(seconds * 1000))
    # In whole frames of 20 ms.
    assert (grid_of(9, 0.99, 0.209).length, grid_of(9, 0.99, 0.209).hop) == (980, 200)
    assert WindowGrid.of(10**6, 11025, 12, 12, least=10, most=12 * 11025).length <= 12 * 11025


@pytest.mark.parametrize(
    ("length", "hop", "complaint"),
    [
        (12.1, 1, "windows of 12.1 s: expected 0.02 to 12 s"),
        (0.01, 0.01, "windows of 0.01 s: expected 0.02 to 12 s"),
        (float("nan"), 1, "windows of nan s"),
        (3, 3.1, "windows every 3.1 s: expected 0.02 to 3 s, their length"),
        (3, 0, "windows every 0 s"),
    ],
)
def test_impossible_windows(length, hop, complaint):
    with pytest.raises(InputError, match=complaint):
        grid_of(20, length, hop)


def test_levels_of_frames():
    waveform = torch.tensor([3.0, -3.0, 0.0, 0.0, 1.0, -2.0, 2.0])
    torch.testing.assert_close(frame_levels(waveform, 2), torch.tensor([3.0, 0.0, 2.5**0.5, 2.0]))
    assert frame_levels(torch.ones(2, 3, 7), 2).shape == (2, 3, 4)


def test_each_frame_belongs_to_the_window_whose_centre_is_nearest():
    """Every frame is looked up by trying all windows."""
    grid = grid_of(7.33, 2.0, 0.6)
    shape = (len(grid.starts), 1, 100)
    windows = Windows(
        1000,
        grid.samples,
        grid.length,
        grid.frame,
        grid.starts,
        np.zeros((*shape[:2], 4)),
        np.zeros(shape),
        np.zeros(shape),
    )
    window, frame = windows.nearest()
    assert windows.frames == len(window) == len(frame) == 367
    for number in range(windows.frames):
        middle = min(number * 20 + 10, grid.samples - 1)
        distances = np.abs(grid.starts + 1000 - middle)
        assert distances[window[number]] == distances.min()
        assert (
            grid.starts[window[number]] + frame[number] * 20
            <= middle
            < grid.starts[window[number]] + frame[number] * 20 + 20
        )


def doubling(waveforms):
    """A model whose streams are the waveform and twice that, in any order, and whose query counts."""
    for i in reversed(range(len(waveforms))):
        yield i, SeparatedVoices(torch.stack([waveforms[i], 2 * waveforms[i]]), torch.tensor([[1.0, 0], [0, 1]]))


def test_batches_hold_the_windows_with_their_estimates():
    waveform = torch.from_numpy(np.random.default_rng(0).standard_normal(6400).astype(np.float32))
    grid = grid_of(6.4)
    batches = list(window_batches(doubling, waveform, grid, 2))
    assert [len(batch.starts) for batch in batches] == [2, 2, 1]
    whole = joined(batches, grid, waveforms=True)
    assert joined(batches, grid).estimates is None
    for number, start in enumerate(grid.starts):
        part = waveform[start : start + 3000]
        np.testing.assert_array_equal(whole.estimates[number], torch.stack([part, 2 * part]))
        np.testing.assert_allclose(whole.mixture_levels[number], part.view(150, 20).square().mean(1).sqrt(), rtol=1e-5)
        np.testing.assert_allclose(whole.levels[number, 1], 2 * whole.mixture_levels[number], rtol=1e-5)


def test_a_model_hears_windows_as_recordings(model, voice):
    samples = voice(2 * SAMPLE_RATE + 77)
    sizes = []
    model.network.register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].numel()))
    model.batch_samples = 2 * (SAMPLE_RATE // 2 + model.period)
    windows = model.windows(samples, length=0.5, hop=0.24, waveforms=True)
    assert max(sizes) <= model.batch_samples and len(sizes) == 4
    assert windows.queries.shape == (8, 2, 12) and windows.levels.shape == (8, 2, 25)
    assert windows.starts.tolist() == [*range(0, 24000, 3840), 3 * SAMPLE_RATE // 2 + 77]
    for number in (0, 3, 7):
        part = samples[windows.starts[number] :][: SAMPLE_RATE // 2]
        np.testing.assert_allclose(windows.queries[number], model.embed_sources(part), atol=1e-4)
        np.testing.assert_allclose(windows.estimates[number], model.separate(part), atol=1e-4)
    assert model.windows(samples).estimates is None
    short = model.windows(samples[:999])
    assert (short.length, short.samples, short.starts.tolist(), short.levels.shape) == (999, 999, [0], (1, 2, 4))
    with pytest.raises(InputError, match="audio holds 2 recordings, expected one; call it for each"):
        model.windows([samples, samples])
