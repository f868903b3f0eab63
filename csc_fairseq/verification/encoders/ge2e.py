"""The GE2E encoder inside the package `resemblyzer`: supervised, trained on thousands of speakers, weights included.

The extra `baselines` installs it. It is no part of our installation otherwise, for it brings librosa, and its own
dependency webrtcvad imports pkg_resources, which setuptools has dropped with version 81.
"""

import warnings
from collections.abc import Sequence

import numpy as np

from csc_fairseq.errors import InputError
from csc_fairseq.verification.encoders.encoder import SingleEncoder

PACKAGE = "resemblyzer"
SHORTEST = 400  # samples: one window of its spectrogram, 25 ms; it pads what is shorter than 1.6 s with zeros


def ge2e_encoder(name: str, device: str) -> SingleEncoder:
    """The encoder.

    Of the package's own preprocessing it keeps the volume (recordings below −30 dBFS RMS are raised to it), since the
    network reads mel powers, not their logarithms, and was trained so. It leaves out the removal of silence: that would
    look for speech in the mixture of everybody, and give each encoder other samples.

    InputError if the package or something that it imports is missing.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pkg_resources and a renamed scipy module
            from resemblyzer import VoiceEncoder
            from resemblyzer.audio import normalize_volume
            from resemblyzer.hparams import audio_norm_target_dBFS, sampling_rate
    except ImportError as error:
        raise InputError(
            f"encoder {name}: resemblyzer cannot be imported ({error}); pip install 'csc-fairseq[baselines]'"
        ) from error
    network = VoiceEncoder(device, verbose=False).eval()

    def embed(waveforms: Sequence[np.ndarray]) -> np.ndarray:
        # One by one: the package cuts a recording into stretches of 1.6 s, which are its batch.
        raised = [normalize_volume(waveform, audio_norm_target_dBFS, increase_only=True) for waveform in waveforms]
        return np.stack([network.embed_utterance(waveform.astype(np.float32)) for waveform in raised])

    return SingleEncoder(name, sampling_rate, SHORTEST, embed)
