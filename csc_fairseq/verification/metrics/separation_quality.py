"""How well the talkers of a mixture are separated, and which stream belongs to which talker."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torchmetrics.functional.audio import signal_distortion_ratio

from csc_fairseq.data.rendering import Mixture
from csc_fairseq.errors import InputError
from csc_fairseq.losses.si_snr import si_snr

FILTER_SECONDS = 0.032  # 512 taps at 16 kHz as in BSS-eval; the same time at other rates (our choice)
DIAGONAL = (
    1e-10  # share of the reference's power. Without it, perfect streams give NaN. Speech at 60 dB loses 0.0005 dB
)
LIMIT_DB = 100.0  # the SDR of a perfect stream with DIAGONAL; a silent stream has −LIMIT_DB


@dataclass(frozen=True)
class Separation:
    """The quality of one separated mixture.

    streams: the stream of each talker that is present, in the order of the mixture's slots. si_snri, sdri: improvement over
    the mixture (dB), averaged over these talkers; larger is better, 0 if the streams are the mixture itself.
    """

    streams: tuple[int, ...]
    si_snri: float
    sdri: float


def separation_quality(
    estimates: np.ndarray, mixture: Mixture, sample_rate: int, taps: int | None = None
) -> Separation:
    """Which stream holds which talker, and how much better the streams are than the mixture.

    Args:
        estimates: float32 [C, T], separated streams in any order, of any scale.
        mixture: the mixture. The references are its sources as heard, scaled and reverberated.
        sample_rate: Hz. taps: see `sdr`.

    Raises:
        InputError: NaN or infinite samples in a stream.
    """
    if not np.isfinite(estimates).all():
        raise InputError("the separated streams have NaN or infinite samples; check the encoder's weights")
    streams, sources = torch.from_numpy(estimates), torch.from_numpy(mixture.sources[mixture.present])
    mixed = torch.from_numpy(mixture.samples).expand_as(sources)
    ratios = si_snr(streams.unsqueeze(1), sources)
    own = assign_streams(ratios.numpy())
    si_snri = ratios[own, torch.arange(len(sources))] - si_snr(mixed, sources)
    sdri = sdr(streams[own], sources, sample_rate, taps) - sdr(mixed, sources, sample_rate, taps)
    return Separation(tuple(own.tolist()), float(si_snri.mean()), float(sdri.mean()))


def assign_streams(ratios: np.ndarray) -> np.ndarray:
    """The stream of every talker, int64 [S], from SI-SNRs (dB) [C, S] of C streams against S talkers.

    Talkers get different streams, so that the mean is highest (uPIT). With fewer streams than talkers, every talker gets its
    best stream, and talkers may share one. So every talker counts, also one that was not separated (our choice).
    """
    streams, talkers = ratios.shape
    if streams < talkers:
        return ratios.argmax(axis=0)
    return linear_sum_assignment(ratios.T, maximize=True)[1]


def sdr(estimates: Tensor, references: Tensor, sample_rate: int, taps: int | None = None) -> Tensor:
    """Signal-to-distortion ratio of BSS-eval (Vincent et al. 2006) in dB, larger is better, within ±LIMIT_DB.

    The part of the estimate that a filter can make from the reference is signal. The rest is distortion.

    Args:
        estimates, references: (..., T), compared row by row; no reference is silent.
        sample_rate: Hz.
        taps: of the filter; None: as many as FILTER_SECONDS have.

    Returns:
        (...) dB, float64.
    """
    taps = taps or round(FILTER_SECONDS * sample_rate)
    rows = [signals.double().reshape(-1, signals.shape[-1]) for signals in (estimates, references)]
    # One row at a time: PyTorch's solver for several systems fails with more than one thread (at least from 2.5 to 2.13).
    ratios = [
        signal_distortion_ratio(estimate, reference, filter_length=taps, load_diag=DIAGONAL)
        for estimate, reference in zip(*rows, strict=True)
    ]
    return torch.stack(ratios).reshape(estimates.shape[:-1]).clamp(-LIMIT_DB, LIMIT_DB)
