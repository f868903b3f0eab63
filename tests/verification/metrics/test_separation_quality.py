"""Improvements and assignments: by hand, against torchmetrics (SI-SNR) and mir_eval (SDR), and when talkers outnumber streams."""

from itertools import permutations

import numpy as np
import pytest
import torch
from mir_eval.separation import bss_eval_sources
from scipy.signal import fftconvolve
from torchmetrics.functional.audio import scale_invariant_signal_noise_ratio

from csc_fairseq.data.rendering import Mixture
from csc_fairseq.errors import InputError
from csc_fairseq.verification.metrics.separation_quality import LIMIT_DB, assign_streams, sdr, separation_quality

RATE = 16000
pytestmark = pytest.mark.filterwarnings(
    "ignore:mir_eval.separation:FutureWarning"
)  # to go in mir_eval 0.9; setup.py pins


def talkers(count, frames=8000, seed=0):
    """float32 [count, frames]: noise of different colours, as loud as speech."""
    rng = np.random.default_rng(seed)
    colours = [np.array([1, 0.9, 0.5]), np.array([1, -0.9]), np.array([1, 0, 0.8])]
    signals = [fftconvolve(rng.standard_normal(frames), colours[i])[:frames] for i in range(count)]
    return np.stack([0.05 * signal / signal.std() for signal in signals]).astype(np.float32)


def mixture_of(sources, noise=0.0):
    samples = sources.sum(0) + noise * np.random.default_rng(9).standard_normal(sources.shape[1]).astype(np.float32)
    numbers = np.arange(len(sources))
    return Mixture(samples.astype(np.float32), sources, numbers, numbers, np.ones(len(sources), dtype=bool))


def good_estimates(sources, seed=1):
    """Each talker with some of the others, filtered a little: float32 [C, T]."""
    rng = np.random.default_rng(seed)
    leak = np.eye(len(sources)) + 0.2 * rng.random((len(sources), len(sources)))
    mixed = leak @ sources + 0.01 * rng.standard_normal(sources.shape)
    return np.stack([fftconvolve(row, [1, 0.3])[: sources.shape[1]] for row in mixed]).astype(np.float32)


def si_snr_by_torchmetrics(estimate, source):
    return float(scale_invariant_signal_noise_ratio(torch.tensor(estimate), torch.tensor(source)))


def sdr_by_mir_eval(estimates, sources):
    return bss_eval_sources(sources.astype(float), estimates.astype(float), compute_permutation=False)[0]


@pytest.mark.parametrize(("count", "streams"), [(2, 2), (2, 3), (3, 3)])
def test_improvements_agree_with_other_implementations(count, streams):
    sources = talkers(count)
    mixture = mixture_of(sources, noise=0.01)
    estimates = np.concatenate([good_estimates(sources), talkers(3, seed=5)[: streams - count]])
    estimates = estimates[np.random.default_rng(3).permutation(streams)]
    orders = list(permutations(range(streams), count))
    means = [
        np.mean([si_snr_by_torchmetrics(estimates[stream], sources[i]) for i, stream in enumerate(order)])
        for order in orders
    ]
    best = orders[int(np.argmax(means))]
    mixed = np.repeat(mixture.samples[None], count, axis=0)
    before = np.mean([si_snr_by_torchmetrics(mixture.samples, source) for source in sources])
    expected_sdri = (sdr_by_mir_eval(estimates[list(best)], sources) - sdr_by_mir_eval(mixed, sources)).mean()

    found = separation_quality(estimates, mixture, RATE)
    assert found.streams == best
    assert found.si_snri == pytest.approx(max(means) - before, abs=1e-3)
    assert found.sdri == pytest.approx(expected_sdri, abs=1e-3)
    assert found.sdri > found.si_snri + 1  # the filter of the estimates costs SI-SNR, and no SDR


def test_by_hand():
    """Orthogonal talkers of equal power: in the mixture 0 dB each; with a tenth of the other's amplitude left, 20 dB."""
    time = np.arange(8000)
    sources = 0.05 * np.sqrt(2) * np.stack([np.sin(2 * np.pi * 40 * time / 8000), np.cos(2 * np.pi * 40 * time / 8000)])
    sources = sources.astype(np.float32)
    found = separation_quality((sources + 0.1 * sources[::-1])[::-1].copy(), mixture_of(sources), RATE)
    assert found.streams == (1, 0)
    assert found.si_snri == pytest.approx(20, abs=1e-3)


def test_streams_that_are_the_mixture_improve_nothing():
    mixture = mixture_of(talkers(2), noise=0.02)
    found = separation_quality(np.repeat(mixture.samples[None], 2, axis=0), mixture, RATE)
    assert (found.si_snri, found.sdri) == (pytest.approx(0, abs=1e-5), pytest.approx(0, abs=1e-9))


def test_order_and_scale_of_streams_change_nothing_but_the_assignment():
    sources = talkers(2)
    mixture, estimates = mixture_of(sources), good_estimates(sources)
    plain, other = separation_quality(estimates, mixture, RATE), separation_quality(-3 * estimates[::-1], mixture, RATE)
    assert (plain.streams, other.streams) == ((0, 1), (1, 0))
    assert other.si_snri == pytest.approx(plain.si_snri, abs=1e-3)
    assert other.sdri == pytest.approx(plain.sdri, abs=1e-6)


def test_only_those_who_are_present_count():
    sources, samples = np.zeros((3, 8000), np.float32), talkers(2)
    sources[[0, 2]] = samples
    mixture = Mixture(samples.sum(0), sources, np.arange(3), np.arange(3), np.array([True, False, True]))
    estimates = good_estimates(samples)
    assert separation_quality(estimates, mixture, RATE) == separation_quality(estimates, mixture_of(samples), RATE)


def test_assignment_by_hand():
    # One after the other, stream 0 would go to talker 0 (9), leaving 1: mean 5. The other way round: (8 + 7) / 2.
    assert assign_streams(np.array([[9.0, 8.0], [7.0, 1.0]])).tolist() == [1, 0]
    # More streams than talkers: the best two of three.
    assert assign_streams(np.array([[1.0, 0.0], [9.0, 2.0], [8.0, 7.0]])).tolist() == [1, 2]
    # Fewer streams than talkers: every talker gets the best stream.
    assert assign_streams(np.array([[5.0, 1.0, -3.0], [0.0, 4.0, -4.0]])).tolist() == [0, 1, 0]


def test_three_talkers_in_two_streams():
    sources = talkers(3)
    mixture = mixture_of(sources)
    estimates = np.stack([sources[2] + 0.1 * sources[1], sources[0] + 0.3 * sources[1]])
    found = separation_quality(estimates, mixture, RATE)
    assert found.streams == (1, 1, 0)  # talker 1 is a third of stream 1, a tenth of stream 0
    heard = [si_snr_by_torchmetrics(estimates[c], sources[i]) for i, c in enumerate(found.streams)]
    before = [si_snr_by_torchmetrics(mixture.samples, source) for source in sources]
    assert found.si_snri == pytest.approx(np.mean(heard) - np.mean(before), abs=1e-3)
    mixed = np.repeat(mixture.samples[None], 3, axis=0)
    expected = sdr_by_mir_eval(estimates[list(found.streams)], sources) - sdr_by_mir_eval(mixed, sources)
    assert found.sdri == pytest.approx(expected.mean(), abs=1e-3)


@pytest.mark.parametrize(("rate", "taps"), [(16000, 512), (8000, 256)])
def test_the_filter_of_the_sdr_has_the_same_length_in_seconds(rate, taps):
    """Against least squares on all delays of the reference, written out."""
    frames = 3000
    source, estimate = talkers(1, frames)[0].astype(float), good_estimates(talkers(2, frames))[0].astype(float)
    delays = np.zeros((frames + taps - 1, taps))
    for delay in range(taps):
        delays[delay : delay + frames, delay] = source
    padded = np.pad(estimate, (0, taps - 1))
    signal = delays @ np.linalg.lstsq(delays, padded, rcond=None)[0]
    expected = 10 * np.log10(np.square(signal).sum() / np.square(padded - signal).sum())
    assert float(sdr(torch.tensor(estimate), torch.tensor(source), rate)) == pytest.approx(expected, abs=1e-4)


def test_extremes_stay_finite():
    """A perfect stream, a silent one, and a tone, for which all delays are equal."""
    rng = np.random.default_rng(0)
    for _ in range(20):  # without DIAGONAL, rounding makes many of them NaN
        source = torch.from_numpy(rng.standard_normal(2000))
        assert float(sdr(source, source, RATE)) == pytest.approx(LIMIT_DB, abs=0.1)
    assert float(sdr(0 * source, source, RATE)) == -LIMIT_DB
    tone = torch.sin(torch.arange(8000) * 0.3)
    assert float(sdr(tone, tone, RATE)) == pytest.approx(LIMIT_DB, abs=0.1)


def test_threads_change_nothing():
    """With two threads, PyTorch's solver for several systems gives wrong results."""
    sources = talkers(3)
    estimates, mixture = good_estimates(sources), mixture_of(sources)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(separation_quality(estimates, mixture, RATE))
    finally:
        torch.set_num_threads(before)
    assert found[0].streams == found[1].streams
    assert found[0].sdri == pytest.approx(found[1].sdri, abs=1e-6)


def test_faulty_streams_are_refused():
    estimates = good_estimates(talkers(2))
    estimates[1, 7] = np.nan
    with pytest.raises(InputError, match="separated streams have NaN"):
        separation_quality(estimates, mixture_of(talkers(2)), RATE)
