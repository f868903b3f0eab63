"""How well the talkers of a mixture were separated, and which stream is whose."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torchmetrics.functional.audio import signal_distortion_ratio

from csc_fairseq.data.rendering import Mixture
from csc_fairseq.errors import InputError
from csc_fairseq.losses.si_snr import si_snr

FILTER_SECONDS = 0.032  # 512 taps at 16 kHz, BSS-eval's number; the same time at other rates (our choice)
DIAGONAL = 1e-10  # of the reference's power: without it perfect streams give NaN; of speech at 60 dB it takes 0.0005 dB
LIMIT_DB = 100.0  # what DIAGONAL leaves of a perfect stream; a silent stream lies at the other end


@dataclass(frozen=True)
class Separation:
    """One separated mixture.

    streams: the stream of each talker present, in the order of the mixture's slots. si_snri, sdri: improvement over the
    mixture (dB), mean over these talkers; larger is better, 0 for streams that are the mixture itself.
    """

    streams: tuple[int, ...]
    si_snri: float
    sdri: float


def judge(estimates: np.ndarray, mixture: Mixture, sample_rate: int) -> Separation:
    """Which stream holds which talker, and how much better than in the mixture they are heard.

    Args:
        estimates: float32 [C, T], separated streams in any order, of any scale.
        mixture: what was separated. The references are its sources as heard, scaled and reverberated.
        sample_rate: Hz.

    Raises:
        InputError: NaN or infinite samples in a stream.
    """
    if not np.isfinite(estimates).all():
        raise InputError("the separated streams hold NaN or infinite samples; check the encoder's weights")
    streams, sources = torch.from_numpy(estimates), torch.from_numpy(mixture.sources[mixture.present])
    mixed = torch.from_numpy(mixture.samples).expand_as(sources)
    ratios = si_snr(streams.unsqueeze(1), sources)
    own = assign_streams(ratios.numpy())
    si_snri = ratios[own, torch.arange(len(sources))] - si_snr(mixed, sources)
    sdri = sdr(streams[own], sources, sample_rate) - sdr(mixed, sources, sample_rate)
    return Separation(tuple(own.tolist()), float(si_snri.mean()), float(sdri.mean()))


def assign_streams(ratios: np.ndarray) -> np.ndarray:
    """The stream of every talker, int64 [S], from SI-SNRs (dB) [C, S] of C streams against S talkers.

    Different streams, such that the mean is highest (uPIT). Of fewer streams than talkers every talker gets the best one,
    shared with others: so everyone counts, also who was left in the mixture (our choice).
    """
    streams, talkers = ratios.shape
    if streams < talkers:
        return ratios.argmax(axis=0)
    return linear_sum_assignment(ratios.T, maximize=True)[1]


def sdr(estimates: Tensor, references: Tensor, sample_rate: int) -> Tensor:
    """Signal-to-distortion ratio of BSS-eval (Vincent et al. 2006) in dB, larger is better, within ±LIMIT_DB.

    What a filter of FILTER_SECONDS makes of the reference counts as signal, everything else as distortion.

    Args:
        estimates, references: (..., T), row against row; no reference is silent.
        sample_rate: Hz.

    Returns:
        (...) dB, float64.
    """
    taps = round(FILTER_SECONDS * sample_rate)
    rows = [signals.double().reshape(-1, signals.shape[-1]) for signals in (estimates, references)]
    # One after the other: PyTorch's solver of several systems at once fails on more than one thread (2.5 to 2.13 at least).
    ratios = [signal_distortion_ratio(*row, filter_length=taps, load_diag=DIAGONAL) for row in zip(*rows, strict=True)]
    return torch.stack(ratios).reshape(estimates.shape[:-1]).clamp(-LIMIT_DB, LIMIT_DB)
