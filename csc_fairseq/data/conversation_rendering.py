"""Renders conversations: a plan becomes audio, which depends only on the plan and on the files that it names."""

from dataclasses import dataclass

import numpy as np

from csc_fairseq.data.augment import NoiseBank, RirBank, gain_to, place, power, reverberate
from csc_fairseq.data.conversations import ConversationPlan, Talker
from csc_fairseq.data.rendering import render_noise
from csc_fairseq.data.speech_pool import SpeechPool

FADE = 0.005  # seconds at both ends of a piece, so that a cut does not click


@dataclass(frozen=True)
class Conversation:
    """samples: float32 [T], the sum of the sources and the noise. sources: float32 [N, T], talkers as heard, room included."""

    samples: np.ndarray
    sources: np.ndarray


def render_conversation(
    plan: ConversationPlan, pool: SpeechPool, noise: NoiseBank | None = None, rirs: RirBank | None = None
) -> Conversation:
    """Read, level, reverberate and add what a plan names.

    Every recording is brought to the usual level of speech (RMS 0.05 of its active frames), then to that of its talker. A room
    changes no talker's level, measured over the talker's turns. Nothing is clipped. `noise` and `rirs` may be None if the plan uses
    none.

    RecordingError, naming the file: unreadable.
    """
    sources = np.stack([_render_talker(talker, plan, pool, rirs) for talker in plan.talkers])
    samples = sources.sum(axis=0)
    if plan.noise is not None:
        samples += render_noise(plan.noise, plan.frames, noise)
    return Conversation(samples, sources)


def enrolment(recording: int, pool: SpeechPool) -> np.ndarray:
    """A whole recording at the usual level of speech, float32 [n], of zero mean. RecordingError as of the file."""
    speech = pool.speech(recording)
    samples = pool.crop(recording, 0, int(pool.frames[recording])) - np.float32(speech.mean)
    return samples * np.float32(gain_to(0.0, speech.power))


def _render_talker(talker: Talker, plan: ConversationPlan, pool: SpeechPool, rirs: RirBank | None) -> np.ndarray:
    """One talker as heard, float32 [T]."""
    dry = np.zeros(plan.frames, dtype=np.float32)
    rising = np.linspace(0, 1, round(FADE * plan.sample_rate), endpoint=False, dtype=np.float32)
    for piece in talker.pieces:
        speech = pool.speech(piece.recording)
        heard = pool.crop(piece.recording, piece.start, piece.frames) - np.float32(speech.mean)
        heard *= np.float32(talker.sign * gain_to(talker.level_db, speech.power))
        heard[: len(rising)] *= rising
        heard[len(heard) - len(rising) :] *= rising[::-1]
        dry[piece.offset : piece.offset + piece.frames] = heard
    if talker.rir < 0:
        return dry
    heard, delay = reverberate(dry, rirs.response(talker.rir))
    wet, _ = place(heard, -delay, plan.frames)
    return wet * np.float32((_power_in_turns(dry, talker, plan) / _power_in_turns(wet, talker, plan)) ** 0.5)


def _power_in_turns(samples: np.ndarray, talker: Talker, plan: ConversationPlan) -> float:
    """Mean square of a talker's turns."""
    return power(np.concatenate([samples[start:end] for start, end in talker.extents(plan.sample_rate)]))
