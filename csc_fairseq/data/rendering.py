"""Rendering: a mixing plan becomes audio. The result depends only on the plan and on the files that it names."""

from dataclasses import dataclass

import numpy as np

from csc_fairseq.data.augment import (
    NoiseBank,
    RirBank,
    centred,
    gain_to,
    is_faint,
    place,
    power,
    reverberate,
    white_noise,
)
from csc_fairseq.data.mixing_plans import MixingPlan, NoisePlan, SourcePlan
from csc_fairseq.data.pool import RecordingError, RecordingPool

ACTIVITY_FRAME = 0.02  # seconds
ACTIVITY_RANGE_DB = 35.0  # a frame this far below the loudest one counts as a pause


@dataclass(frozen=True)
class Mixture:
    """A mixture and its sources; samples equal sources.sum(0) plus noise.

    samples: float32 [T]. sources: float32 [C, T], scaled and reverberated as heard, zeros where absent. identities,
    recordings: int64 [C], −1 where absent; an identity is also −1 if the talker is not in the table. present: bool [C].
    target_slot: the slot of the target.
    """

    samples: np.ndarray
    sources: np.ndarray
    identities: np.ndarray
    recordings: np.ndarray
    present: np.ndarray
    target_slot: int = 0


def render(
    plan: MixingPlan, pool: RecordingPool, noise: NoiseBank | None = None, rirs: RirBank | None = None
) -> Mixture:
    """Read, reverberate, level and add the sources of a plan. mixing_plans.py has a drawing of it.

    Speech and noise lose their mean as they are read. The target has RMS 0.05. Each interferer is sir_db below it, and the
    noise snr_db below it (our choice). The power of a source is measured where it fills the view, reverberation included.
    The noise fills the whole view. Nothing is clipped. Silent noise is left out. `noise` and `rirs` may be None if the plan
    uses none.

    RecordingError, naming the file: unreadable or silent source.

    Example: two talkers in three slots, with tones in place of recordings. ::

        import tempfile

        import numpy as np
        import soundfile

        from csc_fairseq.data.manifest import read_manifest, write_manifest
        from csc_fairseq.data.mixing_plans import MixingPlan, SourcePlan
        from csc_fairseq.data.pool import RecordingPool
        from csc_fairseq.data.rendering import render

        folder = tempfile.TemporaryDirectory()
        seconds = np.arange(16000) / 16000
        soundfile.write(f"{folder.name}/anna.wav", 0.3 * np.sin(2 * np.pi * 220 * seconds), 16000)
        soundfile.write(f"{folder.name}/ben.wav", 0.9 * np.sin(2 * np.pi * 130 * seconds), 16000)
        write_manifest(f"{folder.name}/train.tsv", folder.name, [("anna.wav", 16000), ("ben.wav", 16000)])
        manifest = read_manifest(f"{folder.name}/train.tsv")
        pool = RecordingPool(manifest, labels=["anna", "ben"], table={"anna": 0, "ben": 1}, sample_rate=16000)

        target = SourcePlan(recording=0, identity=0, starts=(0,), frames=8000)
        interferer = SourcePlan(recording=1, identity=1, starts=(500,), frames=4000, offset=2000, sir_db=6.0)
        plan = MixingPlan(frames=8000, sources=(target, interferer), target=0, slots=3, order=(2, 0))
        mixture = render(plan, pool)

        print(mixture.samples.shape, mixture.sources.shape, "target in slot", mixture.target_slot)
        # (8000,) (3, 8000) target in slot 2
        print(mixture.present, mixture.identities)
        # [ True False  True] [ 1 -1  0]
        print(np.sqrt(np.mean(mixture.sources[:, 2000:6000] ** 2, axis=1)).round(3))
        # [0.025 0.    0.05 ]
    """
    sources = np.zeros((plan.slots, plan.frames), dtype=np.float32)
    identities, recordings = np.full((2, plan.slots), -1, dtype=np.int64)
    present = np.zeros(plan.slots, dtype=bool)
    for source, slot in zip(plan.sources, plan.order, strict=True):
        sources[slot] = _render_source(source, plan.frames, pool, rirs)
        identities[slot], recordings[slot], present[slot] = source.identity, source.recording, True
    samples = sources.sum(axis=0)
    if plan.noise is not None:
        samples += render_noise(plan.noise, plan.frames, noise)
    return Mixture(samples, sources, identities, recordings, present, plan.order[plan.target])


def _render_source(source: SourcePlan, frames: int, pool: RecordingPool, rirs: RirBank | None) -> np.ndarray:
    """One talker as heard in the view, float32 [frames]."""
    crop, offset = load_active_crop(pool, source), source.offset
    if source.rir >= 0:
        crop, delay = reverberate(crop, rirs.response(source.rir))
        offset -= delay
    view, extent = place(crop, offset, frames)
    if is_faint(view[extent]):
        path = pool.path(source.recording)
        raise RecordingError(
            f"{path}: silent in the {source.frames} samples from {source.starts}, expected speech; repair it or take "
            f"it out of {pool.place(source.recording)}",
            path,
        )
    view *= np.float32(source.sign * gain_to(-source.sir_db, power(view[extent])))
    return view


def render_noise(plan: NoisePlan, frames: int, noise: NoiseBank | None) -> np.ndarray:
    """Noise of a plan, float32 [frames], snr_db below the usual level of a talker; zeros if the recording is silent there.

    `noise` may be None if the plan's noise is white. RecordingError, naming the file: unreadable.
    """
    if plan.recording < 0:
        samples = white_noise(plan.seed, frames)
    else:
        samples = centred(noise.stretch(plan.recording, plan.start, frames))
    if is_faint(samples):
        return np.zeros(frames, dtype=np.float32)
    return samples * np.float32(gain_to(-plan.snr_db, power(samples)))


def load_active_crop(pool: RecordingPool, source: SourcePlan) -> np.ndarray:
    """The candidate crop of a source with the most speech, float32 [source.frames].

    That is the crop with the largest share of active 20-ms frames. A frame is active if it is within 35 dB of the loudest
    frame of all candidates. If several crops are equal, the first is used.
    """
    crops = _load_candidates(pool, source)
    if len(crops) == 1:
        return crops[0]
    return crops[most_active(crops, round(ACTIVITY_FRAME * pool.sample_rate))]


def _load_candidates(pool: RecordingPool, source: SourcePlan) -> list[np.ndarray]:
    """Crops at all candidate starts, centred. They are read at once if that reads no more samples than one by one."""
    first, end = min(source.starts), max(source.starts) + source.frames
    if end - first > len(source.starts) * source.frames:
        return [centred(pool.crop(source.recording, start, source.frames)) for start in source.starts]
    stretch = pool.crop(source.recording, first, end - first)
    return [centred(stretch[start - first : start - first + source.frames]) for start in source.starts]


def most_active(crops: list[np.ndarray], frame: int) -> int:
    """Index of the crop with the largest share of active frames of `frame` samples. All crops have the same length."""
    frame = min(frame, len(crops[0]))
    count = len(crops[0]) // frame
    powers = np.stack([np.square(crop[: count * frame].reshape(count, frame)).mean(axis=1) for crop in crops])
    threshold = powers.max() * 10 ** (-ACTIVITY_RANGE_DB / 10)
    return int((powers > threshold).sum(axis=1).argmax())
