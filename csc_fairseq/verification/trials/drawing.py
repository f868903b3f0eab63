"""Makes lists of trials: all pairs of an enrolled voice and a test recording of a manifest, or a random choice of them.

A list is made once. The same trials with the same interferers are used in every condition and for every encoder, so that
differences are paired. `trial_file.py` reads and writes lists as text.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from csc_fairseq.data.manifest import Manifest, label_path, read_labels
from csc_fairseq.data.quotas import even_quotas
from csc_fairseq.data.rng import generator
from csc_fairseq.errors import InputError
from csc_fairseq.verification.trials.trial_list import MOST_TRIALS, TrialList, assign_interferers, label_numbers

MOST_PAIRS = 1_000_000_000  # that trials may be drawn from; takes about 10 s
PAIRS_AT_ONCE = 4_000_000  # limits memory: a few bytes each


@dataclass(frozen=True)
class TrialOptions:
    """Which pairs become trials.

    sample: number of trials to draw, None for all pairs. Up to half of them are targets; non-targets fill the rest.
    even_targets: draw targets by enrolled speaker, as evenly as they have pairs; otherwise by pair, of which a speaker has about as
    many as the square of the recordings.
    enrol_utterances: recordings of a model. same_session: allow target trials within one session. same, cross: attributes
    in which the two speakers of a non-target trial agree, or differ. only: (attribute, value) pairs that all speakers of
    the list have. Speakers with an unknown attribute ("") of `same` or `cross` are left out, also from target trials. So
    the lists of same and of cross have the same targets (our choice).

    InputError, naming the options of `csc trials`, for values that make no list.
    """

    sample: int | None = None
    even_targets: bool = False
    enrol_utterances: int = 1
    same_session: bool = False
    same: tuple[str, ...] = ()
    cross: tuple[str, ...] = ()
    only: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.sample is not None and not 2 <= self.sample <= MOST_TRIALS:
            raise InputError(f"--sample {self.sample}: expected 2 to {MOST_TRIALS} trials, half of them targets")
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
    """All ordered pairs of a model and another recording, or a keyed choice of them, sorted by model, then by test.

    A model is one recording, or a group of `enrol_utterances` recordings of one speaker. Groups are disjoint, from one
    session if possible, and drawn by a generator keyed by (seed, speaker).

    Left out: pairs whose enrolled speaker is an interferer of the test recording; target pairs within one session, if there
    are sessions and the options do not allow them; recordings that `same`, `cross` and `only` of the options leave out.
    Interferers come from all speakers in any case, so that a recording sounds the same in all lists of one seed.

    Args:
        speakers: label of every recording, [N].
        sessions: label of every recording, [N]. None: unknown, so no target pair is left out.
        attributes: str [N] by name, "" for unknown. Must have the attributes that the options name.
        options: None for all pairs.
        seed: seed of groups, interferers and the choice of pairs.

    Raises:
        InputError: no target or no non-target trials, too many of them, a group without speakers.

    Example::

        from csc_fairseq.verification.trials.drawing import TrialOptions, build_trials

        speakers = ["anna", "anna", "ben", "ben", "cleo", "cleo", "dora", "dora"]
        trials = build_trials(speakers, options=TrialOptions(sample=6), seed=0)

        print(trials.models)  # recordings of each model; here one
        # ((0,), (1,), (2,), (4,), (7,))
        print(trials.enrol, trials.test)  # trial i compares model enrol[i] with recording test[i]
        # [0 1 2 3 3 4] [1 3 4 5 7 6]
        print(trials.targets)  # trial 0: recordings 0 and 1 are both of anna
        # [ True False False  True False  True]
        print(trials.interferers[1])  # when recording 1 is tested, recordings 6 (dora) and 2 (ben) may talk over it
        # [6 2]
    """
    options = options or TrialOptions()
    attributes = attributes or {}
    usable = usable_recordings(len(speakers), attributes, options)
    interferers = assign_interferers(speakers, seed)
    models = _models(speakers, sessions, usable, options.enrol_utterances, seed)
    if len(models) * len(speakers) > MOST_PAIRS:
        raise InputError(
            f"has {len(models)} models and {len(speakers)} recordings, expected at most {MOST_PAIRS} pairs of them; "
            "use a part of the manifest"
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
    enrol, test, targets = pairs.choose(
        _quotas(counts, options.sample), counts, generator(seed, "trials"), options.even_targets
    )
    used, enrol = np.unique(enrol, return_inverse=True)
    return TrialList(
        models=tuple(map(tuple, models[used].tolist())),
        enrol=enrol,
        test=test,
        targets=targets,
        interferers=interferers,
        names=_model_names(speakers, models, used) if options.enrol_utterances > 1 else (),
    )


def labelled_trials(manifest: Manifest, seed: int, options: TrialOptions) -> TrialList:
    """`build_trials` of a manifest with labels. If it has sessions, targets are across sessions. InputErrors name the manifest."""
    require_distinct(manifest)
    try:
        return build_trials(read_labels(manifest, "spk"), read_sessions(manifest), options=options, seed=seed)
    except InputError as error:
        raise InputError(f"{manifest.path}: {error}") from error


def read_sessions(manifest: Manifest) -> Sequence[str] | None:
    """Labels of the .session file. None without a file, or if every speaker has one session: then no trial could cross."""
    if not label_path(manifest, "session").is_file():
        return None
    sessions, speakers = read_labels(manifest, "session"), read_labels(manifest, "spk")
    return sessions if len(set(zip(speakers, sessions, strict=True))) > len(set(speakers)) else None


def require_distinct(manifest: Manifest) -> None:
    """InputError if a recording is in the manifest twice: there would be a target trial of a recording with itself."""
    lines: dict[str, int] = {}
    for line, name in enumerate(manifest.names, start=2):
        if lines.setdefault(name, line) != line:
            raise InputError(
                f"{manifest.path}:{line}: {name} is already on line {lines[name]}; keep one, because trials use names"
            )


def usable_recordings(count: int, attributes: Mapping[str, np.ndarray], options: TrialOptions) -> np.ndarray:
    """Which of `count` recordings the list may use, by `same`, `cross` and `only` of the options: bool [count].

    InputError: an attribute that does not exist, or a value that no speaker has.
    """
    usable = np.ones(count, dtype=bool)
    for name in (*options.same, *options.cross, *(name for name, _ in options.only)):
        if name not in attributes:
            known = ", ".join(attributes) or "those of a speaker table, but there is no table"
            raise InputError(f"speakers have no attribute {name!r}; expected one of {known}")
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
    """All pairs of a model and a recording, in blocks of models.

    models: int64 [m, K]. speakers, sessions, same and cross: int64 [N], labels as numbers. interfering: int64 [N, 2],
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
        """For each block: its first model, and which pairs are targets and which are non-targets, bool [b, N] each."""
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
        self, quotas: tuple[int, int], counts: tuple[int, int], rng: np.random.Generator, even: bool = False
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A random choice of `quotas` from the `counts` target and non-target pairs: model, test and target, [n] each.

        even: targets are drawn by enrolled speaker.
        """
        ranks = [_ranks(quota, count, rng) for quota, count in zip(quotas, counts, strict=True)]
        if even:
            ranks[0] = self._even_ranks(quotas[0], rng)
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

    def _even_ranks(self, quota: int, rng: np.random.Generator) -> np.ndarray:
        """Ranks of target pairs, sorted; their enrolled speakers have as equal shares as they have pairs."""
        owners = np.concatenate(
            [self.speakers[self.models[start + np.nonzero(targets)[0], 0]] for start, (targets, _) in self.blocks()]
        )
        counts = np.bincount(owners)
        by_speaker = np.split(np.argsort(owners, kind="stable"), np.cumsum(counts)[:-1])
        shares = even_quotas(counts, quota, rng)
        return np.sort(
            np.concatenate(
                [ranks[_ranks(share, len(ranks), rng)] for ranks, share in zip(by_speaker, shares, strict=True)]
            )
        )


def _ranks(quota: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """A sorted random subset of range(count) with `quota` members. Memory grows with `quota`, not with `count`."""
    if quota == count:
        return np.arange(count)
    if 2 * quota > count:
        return np.sort(rng.permutation(count)[:quota])
    drawn = np.empty(0, dtype=np.int64)
    while len(drawn) < quota:  # draws the missing number, so never too many; at least half of the draws are new
        drawn = np.union1d(drawn, rng.integers(count, size=quota - len(drawn)))
    return drawn


def _quotas(counts: tuple[int, int], sample: int | None) -> tuple[int, int]:
    """Number of target and of non-target pairs to choose."""
    if sample is not None:
        targets = min(counts[0], sample // 2)
        return targets, min(counts[1], sample - targets)
    if sum(counts) > MOST_TRIALS:
        raise InputError(
            f"all pairs are {sum(counts)} trials, expected at most {MOST_TRIALS}; draw some of them with `csc trials --sample`"
        )
    return counts


def _require_both_kinds(counts: tuple[int, int], options: TrialOptions, sessions: bool, speakers: int) -> None:
    if not counts[0] and sessions and not options.same_session:
        raise InputError(
            "has no target trial across sessions: no speaker has a recording in a session that the model does not use; "
            "add sessions, or allow target trials within one (--allow-same-session)"
        )
    if not counts[0]:
        raise InputError(
            f"has no target trial, expected a speaker with {options.enrol_utterances + 1} recordings or more; "
            "add recordings, or enrol fewer (--enrol-utterances)"
        )
    if not counts[1]:
        raise InputError(
            f"has no non-target trial among {speakers} speakers: enrolled and tested speaker must differ and fit the "
            "options, and the enrolled speaker must not interfere; add speakers, or use fewer options"
        )


def _models(
    speakers: Sequence[str], sessions: Sequence[str] | None, usable: np.ndarray, size: int, seed: int
) -> np.ndarray:
    """Recordings of every model, int64 [m, size]. See build_trials."""
    if size == 1:
        return np.flatnonzero(usable)[:, None]
    of_speaker: dict[str, list[int]] = defaultdict(list)
    for recording in np.flatnonzero(usable).tolist():
        of_speaker[speakers[recording]].append(recording)
    groups = []
    for speaker, recordings in of_speaker.items():
        # Groups within one session leave the other sessions for tests. The remaining recordings form mixed groups.
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
    """Names of the models `used`: the speaker, and the number of the model among the speaker's models, from 1."""
    seen: dict[str, int] = defaultdict(int)
    names = []
    for first in models[:, 0].tolist():
        seen[speakers[first]] += 1
        names.append(f"{speakers[first]}-{seen[speakers[first]]}")
    return tuple(names[model] for model in used.tolist())
