"""Views of fixed mixtures: parts of them that one talker is in, for training and validation beside mixtures that are drawn.

A view is a part of a fixed mixture as it is: no voice and no noise is added. The target of an item is in all its views: in other
mixtures of the same identity, as far as there are any, otherwise in other parts of the same mixture (all our choice). ::

    item 5, target B   mixture 5 of A and B   |--[======]------|      view 0
                       mixture 8 of B and C   |------[======]--|      view 1
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from csc_fairseq.data.augment import centred, gain_to, is_faint, place, power
from csc_fairseq.data.fixed_mixtures import SOURCES, SPEAKERS, FixedMixtures
from csc_fairseq.data.manifest import label_path
from csc_fairseq.data.mixing_plans import SHORTEST_CROP, MixingOptions
from csc_fairseq.data.pool import CACHE_MEGABYTES, RecordingError, RecordingPool, Recordings
from csc_fairseq.data.rendering import ACTIVITY_FRAME, Mixture, most_active
from csc_fairseq.errors import InputError


@dataclass(frozen=True)
class FixedViewPlan:
    """One view: a part of a fixed mixture.

    mixture: its number. starts: candidates for the first sample; the part with the most speech of the target is used. frames:
    length of the part in samples. offset: first sample of the view that it fills. target: number of a source in the mixture.
    order: slot of every source, of `slots` slots.
    """

    mixture: int
    starts: tuple[int, ...]
    frames: int
    offset: int
    target: int
    slots: int
    order: tuple[int, ...]


def source_labels(mixtures: FixedMixtures, level: str) -> Sequence[str]:
    """Identity of every source at one of IDENTITY_LEVELS: its speaker, or at any other level its own path.

    InputError: speakers are asked for, and not known.
    """
    if level != "speaker":
        return mixtures.sources
    if mixtures.speakers is None:
        raise InputError(
            f"{label_path(mixtures.manifest, SPEAKERS)}: no such file; expected the speaker of each source, with tabs between; "
            "write it, or set task.identity=utterance"
        )
    return mixtures.speakers


class FixedViews:
    """Draws and renders views of fixed mixtures.

    sources: the pool of all sources, in the order of `FixedMixtures.sources`. count: C, sources of a mixture.

    Args:
        mixtures: that views are parts of. labels: identity of every source. table: label -> row of the identity table.
        options: length and number of views, slots, sample rate, candidates; nothing else of them is used.
        resample, cache_megabytes: as of `Recordings`; mixtures and sources have a cache each.

    Raises:
        InputError: more sources than slots; mixtures too short for the views.
    """

    def __init__(
        self,
        mixtures: FixedMixtures,
        labels: Sequence[str],
        table: Mapping[str, int],
        options: MixingOptions,
        resample: bool = False,
        cache_megabytes: int = CACHE_MEGABYTES,
    ) -> None:
        if mixtures.count > options.sources:
            raise InputError(
                f"{mixtures.manifest.path}: its mixtures have {mixtures.count} sources, more than task.sources={options.sources}; "
                f"set task.sources={mixtures.count}, or leave them out"
            )
        self.count = mixtures.count
        self.options = options
        reading = (options.sample_rate, resample, cache_megabytes)
        self._mixtures = Recordings(mixtures.manifest, *reading)
        manifest = replace(
            mixtures.manifest,
            path=label_path(mixtures.manifest, SOURCES),
            names=mixtures.sources,
            slices=mixtures.slices,
            frames=np.repeat(mixtures.manifest.frames, self.count),
        )
        self.sources = RecordingPool(manifest, labels, table, *reading)
        self._require_room()

    def __len__(self) -> int:
        return len(self._mixtures)

    def _require_room(self) -> None:
        rate, views = self.options.sample_rate, self.options.views
        least = min(self.options.view_frames, round(SHORTEST_CROP * rate))
        short = np.flatnonzero(self._mixtures.frames // views < least)
        if len(short):
            first = int(short[0])
            raise InputError(
                f"{self._mixtures.place(first)}: lasts {self._mixtures.frames[first] / rate:.2f} s, too short for {views} disjoint "
                f"views, expected {least / rate:.2f} s for each ({len(short)} such mixtures); take it out"
            )

    def draw(self, mixture: int, rng: np.random.Generator) -> tuple[FixedViewPlan, ...]:
        """Plans of options.views views; the first is of this mixture, and a random one of its sources is the target of all."""
        target = mixture * self.count + int(rng.integers(self.count))
        members = self.sources.members(int(self.sources.groups[target]))
        others = rng.permutation(members[members // self.count != mixture])
        views = self.options.views
        numbers = [target, *others[: views - 1].tolist()]
        numbers = [numbers[view % len(numbers)] for view in range(views)]
        plans: dict[int, list[FixedViewPlan]] = {}
        for number in dict.fromkeys(numbers):
            plans[number] = self._parts(number, numbers.count(number), rng)
        return tuple(plans[number].pop() for number in numbers)

    def _parts(self, number: int, count: int, rng: np.random.Generator) -> list[FixedViewPlan]:
        """`count` disjoint parts of the mixture of a source, which is their target."""
        mixture, target = divmod(number, self.count)
        length, view, slots = int(self._mixtures.frames[mixture]), self.options.view_frames, self.options.sources
        frames = min(view, length // count)
        region = length // count  # each part has its own, so candidates of two never overlap
        plans = []
        for part in rng.permutation(count).tolist():
            room = region - frames
            starts = part * region + rng.integers(0, room + 1, self.options.crop_candidates if room else 1)
            offset = int(rng.integers(0, view - frames + 1))
            order = tuple(rng.permutation(slots)[: self.count].tolist())
            plans.append(FixedViewPlan(mixture, tuple(starts.tolist()), frames, offset, target, slots, order))
        return plans

    def render(self, plan: FixedViewPlan) -> Mixture:
        """Read a view. Its target has the level that targets have everywhere, RMS 0.05, and all else is scaled with it.

        recordings: numbers of sources. A source that is silent there is absent. RecordingError, naming the file: unreadable, or
        the target is silent.
        """
        first = min(plan.starts)
        span = max(plan.starts) + plan.frames - first
        numbers = [plan.mixture * self.count + source for source in range(self.count)]
        stretches = [self.sources.crop(number, first, span) for number in numbers]
        candidates = [stretches[plan.target][start - first :][: plan.frames] for start in plan.starts]
        best = plan.starts[most_active(candidates, round(ACTIVITY_FRAME * self.options.sample_rate))]
        own = slice(best - first, best - first + plan.frames)
        heard = [centred(stretch[own]) for stretch in stretches]
        if is_faint(heard[plan.target]):
            path = self.sources.path(numbers[plan.target])
            raise RecordingError(
                f"{path}: silent in the {plan.frames} samples from {best}, expected speech; take its mixture out of "
                f"{self._mixtures.place(plan.mixture)}",
                path,
            )
        gain = np.float32(gain_to(0.0, power(heard[plan.target])))
        view = self.options.view_frames
        mixed = gain * centred(self._mixtures.crop(plan.mixture, best, plan.frames))
        sources = np.zeros((plan.slots, view), dtype=np.float32)
        identities, recordings = np.full((2, plan.slots), -1, dtype=np.int64)
        present = np.zeros(plan.slots, dtype=bool)
        for number, slot, source in zip(numbers, plan.order, heard, strict=True):
            if not is_faint(source):
                sources[slot] = place(gain * source, plan.offset, view)[0]
                identities[slot], recordings[slot], present[slot] = self.sources.identities[number], number, True
        return Mixture(
            place(mixed, plan.offset, view)[0], sources, identities, recordings, present, plan.order[plan.target]
        )
