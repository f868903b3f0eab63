"""Figures of the benchmark: error rates with intervals, kinds of trials apart, paired differences between encoders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from csc_fairseq.errors import InputError
from csc_fairseq.verification.bootstrap import SpeakerBootstrap, interval
from csc_fairseq.verification.calibration import Calibration, actual_dcf, cllr
from csc_fairseq.verification.evaluation import Scores
from csc_fairseq.verification.metrics import eer, min_dcf
from csc_fairseq.verification.trials import TrialList

P_TARGETS = (0.01, 0.05)
FEWEST = 5  # speakers with target trials; an interval from fewer would be a guess


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; error rates are shares in [0, 1]."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Cell:
    """One encoder under one condition.

    min_dcf: normalised minimum detection cost by prior of a target. normalised: EER after score normalisation. cllr,
    actual_dcf: cost of the log-likelihood ratios, in bits, and of decisions at the threshold that theory gives, by prior;
    of calibrated scores, None and empty without a calibration. oracle: EER with the test speaker's own stream, as
    chosen with the unmixed sources at hand. wrong_stream: EER of that stream against the interferer's, for the same
    enrolled voices: whether the streams of one mixture are told apart. groups: EER by kind of trial, see `group_masks`.
    """

    encoder: str
    condition: str
    targets: int
    nontargets: int
    eer: Estimate
    min_dcf: dict[str, Estimate]
    normalised: Estimate | None
    cllr: float | None
    actual_dcf: dict[str, float]
    oracle: Estimate | None
    wrong_stream: Estimate | None
    si_snri: float | None
    sdri: float | None
    groups: dict[str, Estimate]


def read_cell(values: Mapping[str, Any]) -> Cell:
    """A cell from what `asdict` makes of it."""

    def estimate(figures: Mapping[str, float] | None) -> Estimate | None:
        return None if figures is None else Estimate(**figures)

    single = {name: estimate(values[name]) for name in ("eer", "normalised", "oracle", "wrong_stream")}
    several = {name: {key: estimate(one) for key, one in values[name].items()} for name in ("min_dcf", "groups")}
    return Cell(**{**values, **single, **several})


@dataclass(frozen=True)
class Difference:
    """EER of `encoder` less that of `other`, on the same trials and the same bootstrap draws.

    eer: shares. relative: share of the other's EER, None where that is 0.
    """

    encoder: str
    other: str
    condition: str
    eer: Estimate
    relative: float | None


@dataclass(frozen=True)
class Trialled:
    """The trials with what is known of their speakers.

    speakers: str [N], of every recording. attributes: further labels of every recording, by name (gender, …).
    """

    trials: TrialList
    speakers: np.ndarray
    attributes: Mapping[str, np.ndarray]
    _bootstraps: dict[tuple[bytes, int, int], SpeakerBootstrap] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @cached_property
    def enrol_recordings(self) -> np.ndarray:
        """int64 [n]: a recording of every trial's enrolled voice."""
        first = np.array([recordings[0] for recordings in self.trials.models], dtype=np.int64)
        return first[self.trials.enrol]

    @cached_property
    def numbers(self) -> np.ndarray:
        """int64 [N]: speakers by number, since millions of texts take long to compare."""
        return np.unique(self.speakers, return_inverse=True)[1]

    def bootstrap(self, chosen: np.ndarray, replicates: int, seed: int) -> SpeakerBootstrap:
        """For the trials `chosen`, bool [n]; the same one for the same trials."""
        key = np.packbits(chosen).tobytes(), replicates, seed
        if key not in self._bootstraps:
            self._bootstraps[key] = SpeakerBootstrap(
                self.trials.targets[chosen],
                self.numbers[self.enrol_recordings[chosen]],
                self.numbers[self.trials.test[chosen]],
                replicates,
                seed,
            )
        return self._bootstraps[key]

    def group_masks(self) -> dict[str, np.ndarray]:
        """Kinds of trials, bool [n], by name.

        "same gender": all targets, and non-targets whose two speakers agree in it; "cross gender": likewise, disagree;
        "gender=f": both sides are that. Trials of speakers of whom it is unknown ("") are in none of them, and a kind
        without non-targets, or with targets of fewer than FEWEST speakers, is left out.
        """
        targets = self.trials.targets
        masks = {}
        for name, values in self.attributes.items():
            enrol, test = values[self.enrol_recordings], values[self.trials.test]
            known = (enrol != "") & (test != "")
            masks[f"same {name}"] = known & (targets | (enrol == test))
            masks[f"cross {name}"] = known & (targets | (enrol != test))
            for value in np.unique(values[values != ""]):
                masks[f"{name}={value}"] = (enrol == value) & (test == value)
        return {
            name: mask
            for name, mask in masks.items()
            if not targets[mask].all() and len(np.unique(self.speakers[self.trials.test[mask & targets]])) >= FEWEST
        }


def measure(
    encoder: str,
    scores: Mapping[str, Scores],
    trialled: Trialled,
    replicates: int = 1000,
    seed: int = 0,
    calibration: Calibration | None = None,
) -> tuple[list[Cell], dict[str, np.ndarray]]:
    """The cells of one encoder, one a condition, and the bootstrap's EERs by condition, for paired differences."""
    groups = trialled.group_masks()
    cells, drawn = [], {}
    for condition, found in scores.items():
        valid = np.isfinite(found.best)
        best, targets = found.best[valid], trialled.trials.targets[valid]
        if not _has_both_kinds(targets):
            raise InputError(
                f"condition {condition!r}: too few speakers for it, no trials of one kind are left where nobody talks "
                "over both the enrolment and the test; add speakers, or leave the condition out"
            )
        bootstrap = trialled.bootstrap(valid, replicates, seed)
        drawn[condition] = bootstrap.replicates(best, "eer")
        costs = {
            str(prior): Estimate(
                min_dcf(best[targets], best[~targets], prior),
                *interval(bootstrap.replicates(best, ("min_dcf", prior))),
            )
            for prior in P_TARGETS
        }
        llrs = calibration.llr(best) if calibration else None
        cells.append(
            Cell(
                encoder=encoder,
                condition=condition,
                targets=int(targets.sum()),
                nontargets=int((~targets).sum()),
                eer=Estimate(eer(best[targets], best[~targets]), *interval(drawn[condition])),
                min_dcf=costs,
                normalised=_of(found.normalised, trialled, replicates, seed),
                cllr=cllr(llrs[targets], llrs[~targets]) if calibration else None,
                actual_dcf={str(prior): actual_dcf(llrs[targets], llrs[~targets], prior) for prior in P_TARGETS}
                if calibration
                else {},
                oracle=_of(found.oracle, trialled, replicates, seed),
                wrong_stream=_wrong_stream(found, trialled, replicates, seed),
                si_snri=found.si_snri,
                sdri=found.sdri,
                groups={
                    name: _of(np.where(mask, found.best, np.nan), trialled, replicates, seed)
                    for name, mask in groups.items()
                    if _has_both_kinds(trialled.trials.targets[mask & valid])
                },
            )
        )
    return cells, drawn


def _has_both_kinds(targets: np.ndarray) -> bool:
    return bool(targets.any() and not targets.all())


def _of(scores: np.ndarray | None, trialled: Trialled, replicates: int, seed: int) -> Estimate | None:
    """EER of the trials that have a score, None without any."""
    if scores is None:
        return None
    chosen = np.isfinite(scores)
    targets = trialled.trials.targets[chosen]
    return _rate(scores[chosen], targets, trialled.bootstrap(chosen, replicates, seed))


def _rate(scores: np.ndarray, targets: np.ndarray, bootstrap: SpeakerBootstrap) -> Estimate:
    return Estimate(eer(scores[targets], scores[~targets]), *interval(bootstrap.replicates(scores, "eer")))


def differences(drawn: Mapping[str, Mapping[str, np.ndarray]], cells: Sequence[Cell]) -> list[Difference]:
    """Every encoder against every other one, under every condition. drawn: by encoder, then condition."""
    rates = {(cell.encoder, cell.condition): cell.eer.value for cell in cells}
    found = []
    for encoder, own in drawn.items():
        for other, theirs in drawn.items():
            for condition in (shared for shared in own if shared in theirs and encoder != other):
                value, reference = rates[encoder, condition], rates[other, condition]
                low, high = interval(own[condition] - theirs[condition])
                relative = value / reference - 1 if reference else None
                found.append(Difference(encoder, other, condition, Estimate(value - reference, low, high), relative))
    return found


def _wrong_stream(found: Scores, trialled: Trialled, replicates: int, seed: int) -> Estimate | None:
    """EER of the enrolled voice's own stream against the interferer's in the same mixtures."""
    if found.oracle is None or found.wrong is None:
        return None
    trials = trialled.trials
    chosen = trials.targets & np.isfinite(found.oracle) & np.isfinite(found.wrong)
    enrolled = trialled.numbers[trialled.enrol_recordings[chosen]]
    interfering = trialled.numbers[trials.interferers[trials.test[chosen], 0]]
    targets = np.repeat([True, False], chosen.sum())
    speakers = np.concatenate([enrolled, enrolled]), np.concatenate([enrolled, interfering])
    scores = np.concatenate([found.oracle[chosen], found.wrong[chosen]])
    return _rate(scores, targets, SpeakerBootstrap(targets, *speakers, replicates, seed))
