"""Keyed plans of the recordings of a test under a condition: nothing is stored, everything can be drawn again.

What is drawn for a recording depends on (seed, side, what it is for, the recording) and never on the levels or on the
other conditions: the same interferer speaks the same crop at the same place in all conditions in which somebody
interferes, the noise is the same at all levels, the room is the same with and without interferer. So conditions are
paired. Places are drawn as shares of the room there is: at another sample rate they are the same in seconds, to a sample.
Our choices all of them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from csc_fairseq.data.augment import NoiseBank, RirBank
from csc_fairseq.data.mixing import MixingPlan, NoisePlan, SourcePlan
from csc_fairseq.data.pool import RecordingPool
from csc_fairseq.data.rng import generator
from csc_fairseq.errors import InputError
from csc_fairseq.verification.conditions import Condition
from csc_fairseq.verification.trials import MOST_INTERFERERS

SIDES = ("test", "enrolment")
CROP_CANDIDATES = 3  # as in training: a pause raised to the level of speech would interfere with nothing


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
    """The mixture of one recording under a condition; the recording is source 0, its interferers follow.

    Args:
        condition: what is done to it.
        pool: recordings of the manifest.
        recording: index in the pool; its first `longest` samples are used.
        interferers: [2] recordings that talk over it, −1 where there is none; their speakers differ from its own.
        seed: of crops, noises and rooms.
        side: "test" or "enrolment"; a recording that serves on both is mixed differently.
        longest: samples.
        noises: banks by kind of noise. Without a bank, stationary noise is white.
        rirs: room responses; None for none. Every talker gets a different one, as far as there are any.

    Returns:
        A plan for `render`, with the bank noises[condition.noise].

    Raises:
        InputError: `check_banks` fails, or the recording has fewer interferers than the condition.
    """
    if side not in SIDES:
        raise ValueError(f"side is {side!r}, expected one of {SIDES}")
    check_banks([condition], noises, rirs)
    chosen = [int(other) for other in interferers[: condition.talkers]]
    if len(chosen) < condition.talkers or min(chosen, default=0) < 0:
        raise InputError(
            f"{pool.place(recording)}: {sum(other >= 0 for other in chosen)} speakers can interfere with "
            f"{pool.manifest.names[recording]}, condition {condition.name!r} takes {condition.talkers}; add recordings "
            "of other speakers, or leave the condition out"
        )
    # The key of the file, not its line: a manifest with other recordings beside it gives the same plans.
    key = (seed, "condition", side, int(pool.keys[recording]))
    frames = min(int(pool.frames[recording]), longest)
    sources = [SourcePlan(recording, int(pool.identities[recording]), (0,), frames)]
    for number, other in enumerate(chosen):
        rng = generator(*key, "interferer", number)
        sources.append(_draw_interferer(condition, pool, other, frames, rng))
    if condition.rir:
        # As many as the fullest condition takes, so that the first ones are the same in all.
        places = generator(*key, "rirs").choice(len(rirs), min(len(rirs), 1 + MOST_INTERFERERS), replace=False).tolist()
        sources = [replace(source, rir=places[i % len(places)]) for i, source in enumerate(sources)]
    noise = None
    if condition.noise is not None:
        rng = generator(*key, "noise", condition.noise)
        noise = _draw_noise(noises.get(condition.noise), condition.snr_db, frames, rng)
    return MixingPlan(frames, tuple(sources), 0, len(sources), tuple(range(len(sources))), noise)


def check_banks(conditions: Sequence[Condition], noises: Collection[str], rirs: object | None) -> None:
    """InputError unless there are recordings of all that the conditions need; call it before anything is computed.

    noises: the kinds that there are. rirs: room responses in any form, None for none.
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
    """A crop that fills the start or the end of a mixture of `frames` samples, or lies somewhere in it if it is short."""
    region = max(1, round(condition.overlap * frames))
    available = int(pool.frames[recording])
    length = min(available, region)
    offset = _draw_place(rng, 1) * (frames - region) + _draw_place(rng, region - length)
    starts = [_draw_place(rng, available - length) for _ in range(CROP_CANDIDATES)]
    # A recording that is used whole has one candidate, which is not compared with itself.
    starts = tuple(dict.fromkeys(starts))
    return SourcePlan(recording, int(pool.identities[recording]), starts, length, offset, condition.sir_db)


def _draw_noise(bank: NoiseBank | None, snr_db: float, frames: int, rng: np.random.Generator) -> NoisePlan:
    seed = int(rng.integers(2**63))
    if bank is None:
        return NoisePlan(-1, 0, snr_db, seed)
    recording = _draw_place(rng, len(bank) - 1)
    return NoisePlan(recording, _draw_place(rng, max(0, int(bank.frames[recording]) - frames)), snr_db, seed)


def _draw_place(rng: np.random.Generator, room: int) -> int:
    """A whole number in [0, room], all equally likely; a share of the room, hence the same place at every scale."""
    return int(rng.random() * (room + 1))
