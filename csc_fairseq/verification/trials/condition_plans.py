"""Mixing plans for recordings of a test under a condition. Nothing is stored: a key draws the same plan again.

The draws for a recording are keyed by (seed, side, purpose, recording). They never depend on levels or on other conditions.
So conditions are paired: with interference, the same interferer speaks the same crop at the same position in all
conditions; the noise is the same at all levels; the room is the same with and without an interferer. Positions are drawn as
shares of the available range. So at another sample rate they are the same in seconds, up to one sample. All of this is our
choice.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from csc_fairseq.data.augment import NoiseBank, RirBank
from csc_fairseq.data.mixing_plans import MixingPlan, NoisePlan, SourcePlan
from csc_fairseq.data.pool import RecordingPool
from csc_fairseq.data.rng import generator
from csc_fairseq.errors import InputError
from csc_fairseq.verification.trials.conditions import Condition
from csc_fairseq.verification.trials.trial_list import MOST_INTERFERERS

SIDES = ("test", "enrolment")
CROP_CANDIDATES = 3  # as in training: a crop with a pause, scaled to the level of speech, would hardly interfere


def plan(
    condition: Condition,
    pool: RecordingPool,
    recording: int,
    interferers: Sequence[int] | np.ndarray,
    seed: int,
    side: str,
    longest: int,
    noises: Mapping[str, NoiseBank],
    rirs: RirBank | None,
) -> MixingPlan:
    """The mixture of one recording under a condition. The recording is source 0; its interferers follow.

    Args:
        condition: what is done to the recording.
        pool: recordings of the manifest.
        recording: index in the pool; its first `longest` samples are used.
        interferers: [2], recordings that talk over it, −1 for none; their speakers differ from its own.
        seed: seed of crops, noises and rooms.
        side: "test" or "enrolment"; a recording on both sides has two different mixtures.
        longest: samples.
        noises: banks by kind of noise. Without a bank, stationary noise is white.
        rirs: room responses; None for none. Every talker gets a different response, if there are enough.

    Returns:
        A plan for `render` with the bank noises[condition.noise].

    Raises:
        InputError: `check_banks` fails, or the recording has fewer interferers than the condition needs.
    """
    if side not in SIDES:
        raise ValueError(f"side is {side!r}, expected one of {SIDES}")
    check_banks([condition], noises, rirs)
    chosen = [int(other) for other in interferers[: condition.talkers]]
    if len(chosen) < condition.talkers or min(chosen, default=0) < 0:
        raise InputError(
            f"{pool.place(recording)}: {sum(other >= 0 for other in chosen)} speakers can interfere with "
            f"{pool.manifest.names[recording]}, condition {condition.name!r} needs {condition.talkers}; add recordings "
            "of other speakers, or leave the condition out"
        )
    # The key of the file, not its line: the plans are the same in a manifest with other recordings.
    key = (seed, "condition", side, int(pool.keys([recording])[0]))
    frames = min(int(pool.frames[recording]), longest)
    sources = [SourcePlan(recording, int(pool.identities[recording]), (0,), frames)]
    for number, other in enumerate(chosen):
        rng = generator(*key, "interferer", number)
        sources.append(_draw_interferer(condition, pool, other, frames, rng))
    if condition.rir:
        # As many as the condition with most talkers needs, so that the first ones are the same in all conditions.
        places = generator(*key, "rirs").choice(len(rirs), min(len(rirs), 1 + MOST_INTERFERERS), replace=False).tolist()
        sources = [replace(source, rir=places[i % len(places)]) for i, source in enumerate(sources)]
    noise = None
    if condition.noise is not None:
        rng = generator(*key, "noise", condition.noise)
        noise = _draw_noise(noises.get(condition.noise), condition.snr_db, frames, rng)
    return MixingPlan(frames, tuple(sources), 0, len(sources), tuple(range(len(sources))), noise)


def check_banks(conditions: Sequence[Condition], noises: Collection[str], rirs: object | None) -> None:
    """InputError if recordings that a condition needs are missing. Call it before a long computation.

    noises: the available kinds. rirs: room responses in any form, None for none.
    """
    for condition in conditions:
        if condition.noise == "other" and "other" not in noises:
            raise InputError(
                f"condition {condition.name!r}: needs recordings of other noise, found none; give their manifest "
                "(--noise other=FILE.tsv), or leave the condition out (--conditions)"
            )
        if condition.rir and rirs is None:
            raise InputError(
                f"condition {condition.name!r}: needs room impulse responses, found none; give their manifest "
                "(--rir FILE.tsv), or leave the condition out (--conditions)"
            )


def _draw_interferer(
    condition: Condition, pool: RecordingPool, recording: int, frames: int, rng: np.random.Generator
) -> SourcePlan:
    """A crop that talks over a part of a mixture of `frames` samples.

    The part is the share condition.overlap of the mixture, at its start or its end. A recording that is too short to fill
    the part lies anywhere in it.
    """
    region = max(1, round(condition.overlap * frames))
    available = int(pool.frames[recording])
    length = min(available, region)
    offset = _draw_place(rng, 1) * (frames - region) + _draw_place(rng, region - length)
    starts = [_draw_place(rng, available - length) for _ in range(CROP_CANDIDATES)]
    # A recording that is used completely has one candidate; do not compare it with itself.
    different = tuple(dict.fromkeys(starts))
    return SourcePlan(recording, int(pool.identities[recording]), different, length, offset, condition.sir_db)


def _draw_noise(bank: NoiseBank | None, snr_db: float, frames: int, rng: np.random.Generator) -> NoisePlan:
    seed = int(rng.integers(2**63))
    if bank is None:
        return NoisePlan(-1, 0, snr_db, seed)
    recording = _draw_place(rng, len(bank) - 1)
    return NoisePlan(recording, _draw_place(rng, max(0, int(bank.frames[recording]) - frames)), snr_db, seed)


def _draw_place(rng: np.random.Generator, room: int) -> int:
    """A whole number in [0, room], all equally likely. A share of the room, so the same position at every sample rate."""
    return int(rng.random() * (room + 1))
