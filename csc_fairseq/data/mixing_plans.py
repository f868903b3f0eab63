"""Mixing plans: what is heard in every view of a target recording, drawn before any audio is read.

A plan holds only numbers. It can be drawn anywhere from a keyed generator, compared, stored, and rendered later
(rendering.py). All choices here are ours; the paper's abstract asks only for mixtures of several sources.

How an item becomes plans, and a plan becomes slots. Here: two views, C = 2 slots, target recording 4 of identity A. ::

    recording 4 (A)  |-----[========]----------|      view 0 uses a crop of the target recording
    recording 7 (A)  |---------------[========]|      view 1 uses a crop of another recording of A
    recording 9 (B)  |--[=====]---|                   the interferer, drawn for view 0

    plan of view 0   0                          T     target 0, slots 2, order (1, 0)
      sources[0]     |AAAAAAAAAAAAAAAAAAAAAAAAAA|     the target: offset 0, sir_db 0
      sources[1]     |......BBBBBBBBBBBBBBB.....|     shorter than the view: begins at `offset`; sir_db below the target
      noise          |~~~~~~~~~~~~~~~~~~~~~~~~~~|     fills the view; snr_db below the target
    rendered         samples = slot 0 + slot 1 + noise
      slot 0         |......BBBBBBBBBBBBBBB.....|     sources[1], because order[1] = 0
      slot 1         |AAAAAAAAAAAAAAAAAAAAAAAAAA|     sources[0], because order[0] = 1; so target_slot = 1

    plan of view 1   0                          T     target 0, slots 2, order (0,): the target talks alone
      sources[0]     |AAAAAAAAAAAAAAAAAAAAAAAAAA|
    rendered         samples = slot 0 + slot 1
      slot 0         |AAAAAAAAAAAAAAAAAAAAAAAAAA|     sources[0], because order[0] = 0; so target_slot = 0
      slot 1         |..........................|     silence: zeros; present False, identity and recording −1
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from csc_fairseq.data.augment import NoiseBank, RirBank
from csc_fairseq.data.pool import RecordingPool
from csc_fairseq.errors import InputError

SHORTEST_CROP = 0.25  # seconds; shorter crops hold hardly a syllable


@dataclass(frozen=True)
class MixingOptions:
    """How views are mixed. InputError for impossible values.

    sample_rate: Hz. view_frames: samples per view. views: views per target recording. sources: talkers per mixture
    (slots). sir_db: range of the signal-to-interference ratio, target over each interferer (dB). single_talker_share:
    share of views in which the target talks alone. With a curriculum, this share starts at single_talker_share_start
    (None: no curriculum) and changes linearly over the first curriculum_epochs epochs. noise_probability: share of views
    with noise. noise_snr_db: range of the level of the target over the noise (dB). rir_probability: share of views with
    reverberation, if there are room responses. same_domain_share: share of the mixtures whose
    interferers are of the target's domain (`RecordingPool.domains`), where that has enough identities; then the channel does not
    tell the talkers apart. random_sign: turn half of all talkers upside down, since the sign of a recording
    means nothing. crop_candidates: start positions drawn for each crop; the crop with the most speech is used.
    """

    sample_rate: int = 16000
    view_frames: int = 32000
    views: int = 2
    sources: int = 2
    sir_db: tuple[float, float] = (-5.0, 5.0)
    single_talker_share: float = 0.3
    single_talker_share_start: float | None = None
    curriculum_epochs: int = 0
    noise_probability: float = 0.5
    noise_snr_db: tuple[float, float] = (0.0, 20.0)
    rir_probability: float = 0.3
    same_domain_share: float = 0.0
    random_sign: bool = True
    crop_candidates: int = 3

    def __post_init__(self) -> None:
        for name in ("sample_rate", "view_frames", "views", "sources", "crop_candidates"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected a whole number of at least 1")
        for name in (
            "single_talker_share",
            "single_talker_share_start",
            "noise_probability",
            "rir_probability",
            "same_domain_share",
        ):
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise InputError(f"{name} is {share}, expected a share between 0 and 1")
        for name in ("sir_db", "noise_snr_db"):
            bounds = getattr(self, name)
            if len(bounds) != 2 or not -math.inf < bounds[0] <= bounds[1] < math.inf:
                raise InputError(f"{name} is {tuple(bounds)}, expected (lowest, highest) in dB, e.g. (-5, 5)")
        if self.single_talker_share_start is not None and self.curriculum_epochs < 1:
            raise InputError(
                f"curriculum_epochs is {self.curriculum_epochs} but single_talker_share_start is set, expected 1 "
                "or more; set the length of the curriculum, or unset its start"
            )

    def single_talker_share_at(self, epoch: int) -> float:
        """Share of single-talker views: the start share in epoch 1, the final share from epoch curriculum_epochs + 1 on."""
        if self.single_talker_share_start is None or epoch > self.curriculum_epochs:
            return self.single_talker_share
        progress = max(epoch - 1, 0) / self.curriculum_epochs
        return self.single_talker_share_start + progress * (self.single_talker_share - self.single_talker_share_start)


@dataclass(frozen=True)
class SourcePlan:
    """One talker of a mixture.

    recording: index in the pool. identity: row of the identity table, −1 for none. starts: candidates for the first sample
    of the crop. frames: length of the crop in samples. offset: first sample of the view that the crop fills. sir_db: level
    of the target over this source (dB; 0 for the target itself). rir: index of the room response, −1 for none. sign: 1, or −1
    for a source that is turned upside down.
    """

    recording: int
    identity: int
    starts: tuple[int, ...]
    frames: int
    offset: int = 0
    sir_db: float = 0.0
    rir: int = -1
    sign: int = 1


@dataclass(frozen=True)
class NoisePlan:
    """Noise of a mixture.

    recording: index in the noise bank, −1 for white noise made from `seed`. start: first sample. snr_db: level of the
    target over the noise (dB).
    """

    recording: int
    start: int
    snr_db: float
    seed: int


@dataclass(frozen=True)
class MixingPlan:
    """One mixture of `frames` samples.

    sources[target] is the target. sources[i] is in slot order[i] of the `slots` slots (C). The other slots are silent.
    """

    frames: int
    sources: tuple[SourcePlan, ...]
    target: int
    slots: int
    order: tuple[int, ...]
    noise: NoisePlan | None = None

    def __post_init__(self) -> None:
        if len(set(self.order)) != len(self.sources) or not set(self.order) <= set(range(self.slots)):
            raise ValueError(
                f"order {self.order} does not place {len(self.sources)} sources in different slots of {self.slots}"
            )
        for source in self.sources:
            if source.offset < 0 or source.frames < 1 or source.offset + source.frames > self.frames:
                raise ValueError(f"{source} does not fit into a view of {self.frames} samples")


def check_pool(options: MixingOptions, pool: RecordingPool) -> None:
    """InputError unless every item can be drawn: enough identities, recordings of enough length, room for disjoint views."""
    path = pool.manifest.path
    if pool.sample_rate != options.sample_rate:
        raise InputError(
            f"{path}: is read at {pool.sample_rate} Hz but mixed at {options.sample_rate} Hz; expected one sample rate"
        )
    if pool.group_count < options.sources:
        found = ", ".join(repr(label) for label in pool.group_labels[:3])
        noun = "identity" if pool.group_count == 1 else "identities"
        raise InputError(
            f"{path}: has recordings of {pool.group_count} {noun} ({found}), expected at least {options.sources} for "
            f"mixtures of {options.sources} talkers; add other speakers, or set task.identity=utterance"
        )
    longest, view = pool.frames.max() / options.sample_rate, options.view_frames / options.sample_rate
    if view > longest:
        raise InputError(
            f"{path}: the longest recording lasts {longest:.2f} s, expected at least a view ({view:.2f} s); "
            f"set task.view_seconds to {math.floor(longest * 100) / 100:.2f} or less, or add longer recordings"
        )
    crops = np.ceil(options.views / pool.group_sizes()).astype(np.int64)[pool.groups]
    shortest = min(options.view_frames, round(SHORTEST_CROP * options.sample_rate))
    crowded = np.flatnonzero((crops > 1) & (pool.frames // crops < shortest))
    if len(crowded):
        first = int(crowded[0])
        seconds, least = pool.frames[first] / options.sample_rate, shortest / options.sample_rate
        raise InputError(
            f"{pool.place(first)}: {pool.manifest.names[first]} lasts {seconds:.2f} s, too short for {crops[first]} "
            f"disjoint views, expected {least:.2f} s for each ({len(crowded)} such recordings); take it "
            f"out, or add recordings of {pool.group_labels[pool.groups[first]]!r}"
        )


def draw_plans(
    options: MixingOptions,
    pool: RecordingPool,
    index: int,
    rng: np.random.Generator,
    single_talker_share: float | None = None,
    noise: NoiseBank | None = None,
    rirs: RirBank | None = None,
) -> tuple[MixingPlan, ...]:
    """Plans for the views of target recording `index`: options.views mixtures that contain its identity.

    The first view uses the recording itself. Each further view uses another recording of the same identity; when there are
    no more, recordings are used again. Views of one recording are disjoint crops. Interferers, SIR, noise and room differ
    from view to view. Interferers are drawn by amount of speech, not by identity: otherwise talkers with one short
    recording would make most of the interference.

    Without `noise` recordings, the noise is white. Without `rirs`, no view is reverberant. single_talker_share replaces the
    share of the options (for a curriculum). The same state of `rng` gives the same plans. Call check_pool first.
    """
    share = options.single_talker_share if single_talker_share is None else single_talker_share
    targets = _draw_targets(options, pool, index, rng)
    return tuple(_draw_mixture(options, pool, target, share, noise, rirs, rng) for target in targets)


def _draw_targets(
    options: MixingOptions, pool: RecordingPool, index: int, rng: np.random.Generator
) -> list[SourcePlan]:
    """Crops of the target identity, one for each view. No two crops overlap."""
    members = pool.members(int(pool.groups[index]))
    others = rng.permutation(members[members != index])
    recordings = [index, *others[: options.views - 1].tolist()]
    recordings = [recordings[view % len(recordings)] for view in range(options.views)]
    crops = {
        recording: _draw_crops(options, pool, recording, recordings.count(recording), rng)
        for recording in dict.fromkeys(recordings)
    }
    return [crops[recording].pop() for recording in recordings]


def _draw_crops(
    options: MixingOptions, pool: RecordingPool, recording: int, count: int, rng: np.random.Generator
) -> list[SourcePlan]:
    """`count` crops of one recording, in random order. Each has its own region, so candidates of two crops never overlap."""
    length = int(pool.frames[recording])
    frames = min(options.view_frames, length // count)
    slack = length - count * frames
    cuts = np.sort(rng.integers(0, slack + 1, count - 1))
    bounds = np.concatenate([[0], cuts, [slack]]) + frames * np.arange(count + 1)
    crops = []
    for first, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        room = end - first - frames
        starts = first + rng.integers(0, room + 1, options.crop_candidates if room else 1)
        offset = int(rng.integers(0, options.view_frames - frames + 1))
        crops.append(SourcePlan(recording, int(pool.identities[recording]), tuple(starts.tolist()), frames, offset))
    return [crops[i] for i in rng.permutation(count)]


def _near(options: MixingOptions, pool: RecordingPool, target: int, rng: np.random.Generator) -> bool:
    """Whether the interferers of a target are of its domain."""
    # Without a share nothing is drawn: the mixtures stay those of before.
    return (
        options.same_domain_share > 0
        and rng.random() < options.same_domain_share
        and pool.identities_like(target) >= options.sources
    )


def _draw_mixture(
    options: MixingOptions,
    pool: RecordingPool,
    target: SourcePlan,
    single_talker_share: float,
    noise: NoiseBank | None,
    rirs: RirBank | None,
    rng: np.random.Generator,
) -> MixingPlan:
    """A mixture with the crop `target` as its first source."""
    sources = [target]
    if rng.random() >= single_talker_share:
        groups = {int(pool.groups[target.recording])}
        like = target.recording if _near(options, pool, target.recording, rng) else None
        while len(sources) < options.sources:
            recording = pool.draw(rng, like)
            if (group := int(pool.groups[recording])) not in groups:
                groups.add(group)
                (crop,) = _draw_crops(options, pool, recording, 1, rng)
                sources.append(replace(crop, sir_db=float(rng.uniform(*options.sir_db))))
    if rirs is not None and rng.random() < options.rir_probability:
        # Talkers get different responses, if there are enough of them.
        places = rng.choice(len(rirs), len(sources), replace=len(rirs) < len(sources))
        sources = [replace(source, rir=rir) for source, rir in zip(sources, places.tolist(), strict=True)]
    noise_plan = None
    if rng.random() < options.noise_probability:
        noise_plan = draw_noise(options.noise_snr_db, options.view_frames, noise, rng)
    if options.random_sign:
        signs = 1 - 2 * rng.integers(2, size=len(sources))
        sources = [replace(source, sign=sign) for source, sign in zip(sources, signs.tolist(), strict=True)]
    order = tuple(rng.permutation(options.sources)[: len(sources)].tolist())
    return MixingPlan(options.view_frames, tuple(sources), 0, options.sources, order, noise_plan)


def draw_noise(
    snr_db: tuple[float, float], frames: int, noise: NoiseBank | None, rng: np.random.Generator
) -> NoisePlan:
    """Noise for `frames` samples: part of a recording, or white without `noise`. snr_db: range of the SNR (dB)."""
    level, seed = float(rng.uniform(*snr_db)), int(rng.integers(2**63))
    if noise is None:
        return NoisePlan(-1, 0, level, seed)
    recording = int(rng.integers(len(noise)))
    room = max(0, int(noise.frames[recording]) - frames)
    return NoisePlan(recording, int(rng.integers(room + 1)), level, seed)
