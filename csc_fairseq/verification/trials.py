"""Trials: which enrolled voice is compared with which test recording, and who talks over that recording.

A list is made once; the same trials and the same interferers then run through every condition and every encoder, so
that differences are paired. Lists as text: `trial_file.py`.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from csc_fairseq.data.manifest import Manifest
from csc_fairseq.data.rng import generator
from csc_fairseq.errors import InputError

MOST_TRIALS = 10_000_000  # in one list: 170 MB here, some 1 GB as text
MOST_PAIRS = 1_000_000_000  # looked at to draw trials from, in some 10 s
PAIRS_AT_ONCE = 4_000_000  # bounds memory: a few bytes each
MOST_INTERFERERS = 2  # who talk over one recording


@dataclass(frozen=True)
class TrialList:
    """What is compared with what; recordings are numbered as in the manifest, N in all.

    models: recordings of each enrolled model, one or several, all of one speaker. enrol: int64 [n], index into models.
    test: int64 [n], recording. targets: bool [n], True for the same speaker. interferers: int64 [N, 2], for every
    recording the two that talk over it when it is tested, −1 where there is none; their speakers differ from its own
    and from each other, and no trial enrols one of them. names: of the models, where a file of enrolments gives them;
    empty where each model is one recording and bears its name. dropped: trials of the file that were left out because
    the enrolled speaker is one of the interferers.
    """

    models: tuple[tuple[int, ...], ...]
    enrol: np.ndarray
    test: np.ndarray
    targets: np.ndarray
    interferers: np.ndarray
    names: tuple[str, ...] = ()
    dropped: int = 0

    def model_names(self, manifest: Manifest) -> tuple[str, ...]:
        """Name of every model: that of the enrolments file, or else of its one recording."""
        return self.names or tuple(manifest.names[recordings[0]] for recordings in self.models)


@dataclass(frozen=True)
class TrialOptions:
    """Which pairs become trials.

    sample: number of trials to draw, all targets first, up to half of it; None for all pairs. enrol_utterances:
    recordings of a model. same_session: let target trials stay within one session. same, cross: attributes in which
    the two speakers of a non-target trial agree, or differ. only: (attribute, value) that all speakers of the list
    have. Speakers of whom an attribute of `same` or `cross` is unknown ("") are left out, targets too, so that the
    lists of same and of cross have the same targets (our choice).

    InputError, naming the options of `csc trials`, for values that make no list.
    """

    sample: int | None = None
    enrol_utterances: int = 1
    same_session: bool = False
    same: tuple[str, ...] = ()
    cross: tuple[str, ...] = ()
    only: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.sample is not None and not 2 <= self.sample <= MOST_TRIALS:
            raise InputError(f"--sample {self.sample}: expected 2 to {MOST_TRIALS} trials, of which half are targets")
        if self.enrol_utterances < 1:
            raise InputError(f"--enrol-utterances {self.enrol_utterances}: expected at least 1")
        both = sorted({*self.same} & {*self.cross})
        if both:
            raise InputError(f"{both[0]} was asked to be the same and to differ; choose one of the two")


def build_trials(
    speakers: Sequence[str],
    sessions: Sequence[str] | None = None,
    attributes: Mapping[str, np.ndarray] | None = None,
    options: TrialOptions | None = None,
    seed: int = 0,
) -> TrialList:
    """All ordered pairs of a model and another recording, or a keyed choice of them, sorted by model, then test.

    Models: each recording, or disjoint groups of `enrol_utterances` recordings of a speaker, of one session where that
    is possible, drawn by a generator keyed by (seed, speaker). Left out: pairs whose enrolled speaker is one of the
    test recording's interferers; target pairs within one session, if there are sessions and the options do not allow
    it; whom the options' groups leave out. Interferers come from all speakers, whatever the groups, so that one
    recording sounds alike in all lists of one seed.

    Args:
        speakers: label of every recording, [N].
        sessions: label of every recording, [N]; None: unknown, and no target pair is left out.
        attributes: str [N] by name, "" for unknown; those that the options name.
        options: None for all pairs.
        seed: of groups, interferers and the choice of pairs.

    Raises:
        InputError: no target or no non-target trials, too many of them, a group without speakers.
    """
    options = options or TrialOptions()
    attributes = attributes or {}
    usable = usable_recordings(len(speakers), attributes, options)
    interferers = assign_interferers(speakers, seed)
    models = _models(speakers, sessions, usable, options.enrol_utterances, seed)
    if len(models) * len(speakers) > MOST_PAIRS:
        raise InputError(
            f"has {len(models)} models and {len(speakers)} recordings, at most {MOST_PAIRS} pairs of them are looked "
            "at; take a part of the manifest"
        )
    numbers = label_numbers(speakers)
    pairs = _Pairs(
        models=models,
        speakers=numbers,
        sessions=None if sessions is None or options.same_session else label_numbers(sessions),
        interfering=np.where(interferers < 0, -1, numbers[interferers]),
        usable=usable,
        same=tuple(label_numbers(attributes[name]) for name in options.same),
        cross=tuple(label_numbers(attributes[name]) for name in options.cross),
    )
    counts = pairs.count()
    _require_both_kinds(counts, options, sessions is not None, len(np.unique(numbers[usable])))
    enrol, test, targets = pairs.choose(_quotas(counts, options.sample), counts, generator(seed, "trials"))
    used, enrol = np.unique(enrol, return_inverse=True)
    return TrialList(
        models=tuple(map(tuple, models[used].tolist())),
        enrol=enrol,
        test=test,
        targets=targets,
        interferers=interferers,
        names=_model_names(speakers, models, used) if options.enrol_utterances > 1 else (),
    )


def assign_interferers(speakers: npt.ArrayLike, seed: int) -> np.ndarray:
    """Who talks over each recording: int64 [N, 2], recordings, −1 where there is none.

    Keyed per recording by generator(seed, "interferers", recording): a speaker drawn uniformly among the others, then
    one of their recordings, then likewise a second speaker. Of S speakers S − 2 may interfere, two at most: one more
    must be left to be enrolled in non-target trials. So there is one interferer among three speakers, none among two.

    Args:
        speakers: [N], label or number of every recording's speaker.
    """
    numbers = label_numbers(speakers)
    bounds = np.concatenate([[0], np.cumsum(np.bincount(numbers))])
    members = np.argsort(numbers, kind="stable")
    count = len(bounds) - 1
    interferers = np.full((len(numbers), MOST_INTERFERERS), -1, dtype=np.int64)
    for recording, own in enumerate(numbers.tolist()):
        rng = generator(seed, "interferers", recording)
        taken = [own]
        for place in range(min(MOST_INTERFERERS, max(count - 2, 0))):
            speaker = int(rng.integers(count - len(taken)))
            for other in sorted(taken):
                speaker += speaker >= other
            interferers[recording, place] = members[rng.integers(bounds[speaker], bounds[speaker + 1])]
            taken.append(speaker)
    return interferers


def usable_recordings(count: int, attributes: Mapping[str, np.ndarray], options: TrialOptions) -> np.ndarray:
    """Which of `count` recordings the groups of the options leave in the list, bool [count].

    InputError for an attribute that there is not, and for a value that nobody has.
    """
    usable = np.ones(count, dtype=bool)
    for name in (*options.same, *options.cross, *(name for name, _ in options.only)):
        if name not in attributes:
            known = ", ".join(attributes) or "those of a speaker table, none was given"
            raise InputError(f"nothing is known of the speakers' {name!r}; expected one of {known}")
    for name in (*options.same, *options.cross):
        usable &= attributes[name] != ""
    for name, value in options.only:
        having = attributes[name] == value
        if not having.any():
            values = ", ".join(str(other) for other in np.unique(attributes[name]) if other)
            raise InputError(f"no speaker has {name}={value}; expected one of {values or 'none, all are unknown'}")
        usable &= having
    return usable


@dataclass(frozen=True)
class _Pairs:
    """All pairs of a model and a recording, block by block of models.

    models: int64 [m, K]. speakers, sessions, same and cross: int64 [N], numbers of labels. interfering: int64 [N, 2],
    speakers of the interferers, −1 for none. usable: bool [N].
    """

    models: np.ndarray
    speakers: np.ndarray
    sessions: np.ndarray | None
    interfering: np.ndarray
    usable: np.ndarray
    same: tuple[np.ndarray, ...]
    cross: tuple[np.ndarray, ...]

    def blocks(self) -> Iterator[tuple[int, tuple[np.ndarray, np.ndarray]]]:
        """First model of the block, and which pairs are targets and which are non-targets, bool [b, N] each."""
        rows = max(1, PAIRS_AT_ONCE // len(self.speakers))
        for start in range(0, len(self.models), rows):
            yield start, self._kinds(self.models[start : start + rows])

    def _kinds(self, models: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        own = self.speakers[models[:, :1]]
        alike = own == self.speakers
        targets = alike & self.usable
        for utterance in models.T:
            targets[np.arange(len(models)), utterance] = False
            if self.sessions is not None:
                targets &= self.sessions[utterance, None] != self.sessions
        nontargets = ~alike & self.usable
        for interfering in self.interfering.T:
            nontargets &= own != interfering
        for values in self.same:
            nontargets &= values[models[:, :1]] == values
        for values in self.cross:
            nontargets &= values[models[:, :1]] != values
        return targets, nontargets

    def count(self) -> tuple[int, int]:
        """Number of target and of non-target pairs."""
        totals = np.zeros(2, dtype=np.int64)
        for _, kinds in self.blocks():
            totals += [np.count_nonzero(kind) for kind in kinds]
        return int(totals[0]), int(totals[1])

    def choose(
        self, quotas: tuple[int, int], counts: tuple[int, int], rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Random `quotas` of target and non-target pairs, of which there are `counts`: model, test and kind, [n] each."""
        ranks = [_ranks(quota, count, rng) for quota, count in zip(quotas, counts, strict=True)]
        passed = [0, 0]
        columns: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for start, kinds in self.blocks():
            chosen = []
            for i, kind in enumerate(kinds):
                cells = np.flatnonzero(kind)
                first, last = np.searchsorted(ranks[i], [passed[i], passed[i] + len(cells)])
                chosen.append(cells[ranks[i][first:last] - passed[i]])
                passed[i] += len(cells)
            cells = np.sort(np.concatenate(chosen))
            model, test = np.divmod(cells, len(self.speakers))
            columns.append((model + start, test, kinds[0].ravel()[cells]))
        model, test, targets = (np.concatenate(column) for column in zip(*columns, strict=True))
        return model, test, targets


def _ranks(quota: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """A random subset of range(count), sorted; memory grows with `quota`, not with `count`."""
    if quota == count:
        return np.arange(count)
    if 2 * quota > count:
        return np.sort(rng.permutation(count)[:quota])
    drawn = np.empty(0, dtype=np.int64)
    while len(drawn) < quota:  # as many as are missing, so never too many; at least half of them are new
        drawn = np.union1d(drawn, rng.integers(count, size=quota - len(drawn)))
    return drawn


def _quotas(counts: tuple[int, int], sample: int | None) -> tuple[int, int]:
    """How many targets and non-targets to take."""
    if sample is not None:
        targets = min(counts[0], sample // 2)
        return targets, min(counts[1], sample - targets)
    if sum(counts) > MOST_TRIALS:
        raise InputError(
            f"all pairs are {sum(counts)} trials, at most {MOST_TRIALS} make a list; draw some with `csc trials --sample`"
        )
    return counts


def _require_both_kinds(counts: tuple[int, int], options: TrialOptions, sessions: bool, speakers: int) -> None:
    if not counts[0] and sessions and not options.same_session:
        raise InputError(
            "has no target trial across sessions: nobody is left to be tested in a session without enrolment; add "
            "sessions, or allow target trials within one (--allow-same-session)"
        )
    if not counts[0]:
        raise InputError(
            f"has no target trial, expected a speaker with {options.enrol_utterances + 1} recordings at least; "
            "add recordings, or enrol fewer (--enrol-utterances)"
        )
    if not counts[1]:
        raise InputError(
            f"has no non-target trial among {speakers} speakers: enrolled and tested speaker must differ, fit the "
            "groups asked for, and not be an interferer; add speakers, or widen the groups"
        )


def _models(
    speakers: Sequence[str], sessions: Sequence[str] | None, usable: np.ndarray, size: int, seed: int
) -> np.ndarray:
    """Recordings of every model, int64 [m, size]; see build_trials."""
    if size == 1:
        return np.flatnonzero(usable)[:, None]
    of_speaker: dict[str, list[int]] = defaultdict(list)
    for recording in np.flatnonzero(usable).tolist():
        of_speaker[speakers[recording]].append(recording)
    groups = []
    for speaker, recordings in of_speaker.items():
        # Groups of one session leave the other sessions to be tested; what is left over is grouped across sessions.
        of_session: dict[str, list[int]] = defaultdict(list)
        for recording in generator(seed, "enrolments", speaker).permutation(recordings).tolist():
            of_session["" if sessions is None else sessions[recording]].append(recording)
        whole, rest = [], []
        for members in of_session.values():
            cut = len(members) // size * size
            whole += members[:cut]
            rest += members[cut:]
        order = whole + rest
        groups += [sorted(order[end - size : end]) for end in range(size, len(order) + 1, size)]
    return np.array(groups, dtype=np.int64).reshape(-1, size)


def _model_names(speakers: Sequence[str], models: np.ndarray, used: np.ndarray) -> tuple[str, ...]:
    """Names of the models `used`: their speaker and a number from 1 among the speaker's models."""
    seen: dict[str, int] = defaultdict(int)
    names = []
    for first in models[:, 0].tolist():
        seen[speakers[first]] += 1
        names.append(f"{speakers[first]}-{seen[speakers[first]]}")
    return tuple(names[model] for model in used.tolist())


def label_numbers(labels: npt.ArrayLike) -> np.ndarray:
    """int64 [N]: labels numbered in their sorted order."""
    return np.unique(np.asarray(labels), return_inverse=True)[1].astype(np.int64)
