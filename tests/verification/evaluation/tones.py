"""Speakers that are tones, and an encoder that knows the tones: what it says of any mixture is known beforehand."""

from pathlib import Path

import numpy as np
import soundfile

from csc_fairseq.data.manifest import Manifest, read_manifest, write_manifest
from csc_fairseq.verification.encoders.encoder import StreamEmbeddings
from csc_fairseq.verification.trials.conditions import Condition

RATE = 16000
SPEAKERS, UTTERANCES = 6, 3
SPEAKER_LABELS = [f"speaker {speaker}" for speaker in range(SPEAKERS) for _ in range(UTTERANCES)]
GROUPS = np.repeat(np.arange(SPEAKERS), UTTERANCES)  # number of every recording's speaker
TONES = 500.0 * np.arange(1, SPEAKERS + 1)  # Hz, one speaker each
# Voices that resemble each other the more the closer their numbers are. The last dimension is that of noise.
ANGLES = np.pi / 2 * np.arange(SPEAKERS) / (SPEAKERS - 1)
VOICES = np.stack([np.cos(ANGLES), np.sin(ANGLES), np.zeros(SPEAKERS)], axis=1).astype(np.float32)
NO_VOICE = np.array([0, 0, 1], dtype=np.float32)
FAINTEST = 0.003  # amplitude of a tone that is heard

LOUD, FAINT = (Condition(f"talker {sir:g} dB", talkers=1, sir_db=sir) for sir in (-10.0, 10.0))
TWO = Condition("two talkers", talkers=2, sir_db=0.0)
NOISY = Condition("noise and room", noise="other", snr_db=0.0, rir=True)
BOTH = Condition("both sides", talkers=1, sir_db=0.0, noise="stationary", snr_db=20.0, mixed_enrolment=True)


class ToneEncoder:
    """An encoder that knows the tones.

    With `streams` it separates: the loudest tones, the loudest first, each with its voice's embedding, or NO_VOICE for
    what is no tone. Without, it gives one embedding: the mean of the voices, weighted by amplitude. seen: the number of
    recordings that it was given so far.
    """

    name, sample_rate = "tones", RATE

    def __init__(self, streams: int | None = None) -> None:
        self.streams, self.seen = streams, 0

    def enrol(self, waveforms):
        self.seen += len(waveforms)
        return np.stack([self._embeddings(amplitudes(waveform)[0], 1)[0] for waveform in waveforms])

    def test(self, waveforms):
        self.seen += len(waveforms)
        if self.streams is None:
            return StreamEmbeddings(self.enrol(waveforms)[:, None], None)
        rows, estimates = [], []
        for waveform in waveforms:
            levels, tones = amplitudes(waveform)
            rows.append(self._embeddings(levels, self.streams))
            estimates.append(tones[loudest(levels, self.streams)])
        return StreamEmbeddings(np.stack(rows), estimates)

    def _embeddings(self, levels, streams):
        if self.streams is None:
            mean = levels @ VOICES
            return (mean / np.linalg.norm(mean))[None].astype(np.float32)
        return np.stack([VOICES[tone] if levels[tone] > FAINTEST else NO_VOICE for tone in loudest(levels, streams)])


def loudest(levels: np.ndarray, count: int) -> np.ndarray:
    """Numbers of the loudest tones, the loudest first."""
    return np.argsort(-levels)[:count]


def amplitudes(waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Amplitudes of the tones in a waveform, [6], and the tones with these, [6, T]."""
    time = np.arange(len(waveform)) / RATE
    basis = np.exp(2j * np.pi * TONES[:, None] * time)
    weights = 2 * basis.conj() @ waveform / len(waveform)
    return np.abs(weights), (weights[:, None] * basis).real.astype(np.float32)


def recordings() -> dict[str, np.ndarray]:
    """Samples by file: tones of different lengths and levels, with a little noise."""
    signals = {}
    for speaker in range(SPEAKERS):
        for utterance in range(UTTERANCES):
            samples = 4800 + 1600 * ((speaker + 2 * utterance) % 4)
            rng = np.random.default_rng([speaker, utterance])
            wave = (0.02 + 0.1 * utterance) * np.sin(2 * np.pi * TONES[speaker] * np.arange(samples) / RATE)
            signals[f"s{speaker}_{utterance}.wav"] = wave + 1e-4 * rng.standard_normal(samples)
    return signals


def write(folder: Path, name: str, signals: dict[str, np.ndarray]) -> Manifest:
    """Manifest name.tsv of samples by file."""
    (folder / name).mkdir()
    for file, samples in signals.items():
        soundfile.write(folder / name / file, samples, RATE, subtype="FLOAT")
    write_manifest(folder / f"{name}.tsv", folder / name, [(file, len(samples)) for file, samples in signals.items()])
    return read_manifest(folder / f"{name}.tsv")
