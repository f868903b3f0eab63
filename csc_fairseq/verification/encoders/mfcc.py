"""Mean and standard deviation of mel-frequency cepstral coefficients: what the recording channel alone gives away.

Nothing is learnt. Of a corpus with one session per speaker, microphone, room and codec tell the speakers apart, and
this shows by how much. It is written out here, since it is short and no results should lack it for want of a library.
"""

import numpy as np
import scipy.fft

from csc_fairseq.modules.mel import FLOOR, SAMPLE_RATE, mel_filters
from csc_fairseq.verification.encoders.encoder import SingleEncoder

WINDOW, HOP, FFT = 400, 160, 512  # 25 ms, 10 ms
COEFFICIENTS = 24  # c_1 to c_24: c_0 is the level


def mfcc_encoder(name: str) -> SingleEncoder:
    """The encoder."""
    return SingleEncoder(
        name, SAMPLE_RATE, WINDOW, lambda waveforms: np.stack([embedding(waveform) for waveform in waveforms])
    )


def embedding(waveform: np.ndarray) -> np.ndarray:
    """Mean, then standard deviation, over the frames of a waveform [T]; float64 [2 · COEFFICIENTS].

    c_k is weighted by √k, so that the squared distance of two means is the Martin distance Σ k (c_k − c'_k)² (R. J.
    Martin, IEEE Trans. Signal Processing 48(4), 2000). Unweighted, the first few would decide every cosine. On
    development speakers that gave an EER half as large, and needs no statistics of a corpus as standardising does.
    """
    weighted = mfcc(waveform) * np.sqrt(np.arange(1, COEFFICIENTS + 1))
    return np.concatenate([weighted.mean(axis=0), weighted.std(axis=0)])


def mfcc(waveform: np.ndarray) -> np.ndarray:
    """c_1 to c_24 of the whole frames within a waveform [T], of zero mean and unit RMS; float64 [1 + (T − 400) // 160, 24]."""
    samples = waveform.astype(np.float64)
    samples -= samples.mean()  # an offset of the recorder means nothing
    samples /= np.sqrt(np.mean(samples**2))
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    power = np.abs(scipy.fft.rfft(frames * np.hanning(WINDOW), FFT)) ** 2
    bands = np.log(np.maximum(power @ mel_filters(SAMPLE_RATE, FFT).T, FLOOR))
    return scipy.fft.dct(bands, norm="ortho")[:, 1 : COEFFICIENTS + 1]
