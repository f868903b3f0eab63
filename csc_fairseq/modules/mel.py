"""The mel filterbank of the cepstra and of the x-vector network."""

import numpy as np

SAMPLE_RATE = 16000  # at which LOWEST and HIGHEST hold
BANDS = 40
LOWEST, HIGHEST = 20.0, 7600.0  # Hz
FLOOR = 1e-10  # of band energies, at unit RMS: the logarithm of digital silence is not finite


def mel_filters(sample_rate: int, fft: int) -> np.ndarray:
    """Triangles of height 1, equally spaced in mel (2595 log₁₀(1 + f / 700)); float64 [BANDS, fft // 2 + 1].

    At rates other than 16 kHz the highest frequency is the same share of the rate.
    """
    highest = HIGHEST * sample_rate / SAMPLE_RATE
    low_mel, high_mel = 2595 * np.log10(1 + np.array([LOWEST, highest]) / 700)
    mels = np.linspace(low_mel, high_mel, BANDS + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = np.arange(fft // 2 + 1) * sample_rate / fft
    return np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
