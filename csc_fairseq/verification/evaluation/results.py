"""Figures of the benchmark: error rates with intervals, kinds of trials apart, paired differences between encoders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from csc_fairseq.errors import InputError
from csc_fairseq.verification.evaluation.evaluation_set import LabelledTrials
from csc_fairseq.verification.evaluation.scoring import Scores
from csc_fairseq.verification.metrics.bootstrap import SpeakerBootstrap, interval
from csc_fairseq.verification.metrics.calibration import Calibration, actual_dcf, cllr
from csc_fairseq.verification.metrics.error_rates import eer, min_dcf

P_TARGETS = (0.01, 0.05)


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; error rates are shares in [0, 1]."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Result:
    """One encoder under one condition.

    eer: equal error rate of the best stream's scores. min_dcf: normalised minimum detection cost, by prior of a target.
    normalised: EER after score normalisation. cllr: cost of the calibrated log-likelihood ratios, in bits; None without a
    calibration. actual_dcf: cost of decisions on them at the threshold that theory gives, by prior; empty without one.
    oracle: EER with the test speaker's own stream, which is chosen with the unmixed sources at hand. wrong_stream: EER of
    that stream against the interferer's, for the same enrolled voices: whether the encoder tells the streams of one
    mixture apart. groups: EER by kind of trial, see `LabelledTrials.group_masks`.
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


def read_result(values: Mapping[str, Any]) -> Result:
    """A result from what `asdict` makes of it."""

    def estimate(figures: Mapping[str, float] | None) -> Estimate | None:
        return None if figures is None else Estimate(**figures)

    single = {name: estimate(values[name]) for name in ("eer", "normalised", "oracle", "wrong_stream")}
    several = {name: {key: estimate(one) for key, one in values[name].items()} for name in ("min_dcf", "groups")}
    return Result(**{**values, **single, **several})


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


def measure(
    encoder: str,
    scores: Mapping[str, Scores],
    labelled: LabelledTrials,
    replicates: int = 1000,
    seed: int = 0,
    calibration: Calibration | None = None,
) -> tuple[list[Result], dict[str, np.ndarray]]:
    """The results of one encoder, one a condition, and the bootstrap's EERs by condition, for paired differences.

    InputError if a condition leaves no target trials, or no non-target trials.
    """
    groups = labelled.group_masks()
    results, drawn = [], {}
    for condition, found in scores.items():
        valid = np.isfinite(found.best)
        best, targets = found.best[valid], labelled.trials.targets[valid]
        if not _has_both_kinds(targets):
            raise InputError(
                f"condition {condition!r}: too few speakers for it. In all target trials, or in all non-target trials, "
                "somebody who talks over the enrolment is heard in the test too; add speakers, or leave the condition out"
            )
        bootstrap = labelled.bootstrap(valid, replicates, seed)
        drawn[condition] = bootstrap.replicates(best, "eer")
        costs = {
            str(prior): Estimate(
                min_dcf(best[targets], best[~targets], prior),
                *interval(bootstrap.replicates(best, ("min_dcf", prior))),
            )
            for prior in P_TARGETS
        }
        llrs = calibration.llr(best) if calibration else None
        results.append(
            Result(
                encoder=encoder,
                condition=condition,
                targets=int(targets.sum()),
                nontargets=int((~targets).sum()),
                eer=Estimate(eer(best[targets], best[~targets]), *interval(drawn[condition])),
                min_dcf=costs,
                normalised=_of(found.normalised, labelled, replicates, seed),
                cllr=cllr(llrs[targets], llrs[~targets]) if calibration else None,
                actual_dcf={str(prior): actual_dcf(llrs[targets], llrs[~targets], prior) for prior in P_TARGETS}
                if calibration
                else {},
                oracle=_of(found.oracle, labelled, replicates, seed),
                wrong_stream=_wrong_stream(found, labelled, replicates, seed),
                si_snri=found.si_snri,
                sdri=found.sdri,
                groups={
                    name: _of(np.where(mask, found.best, np.nan), labelled, replicates, seed)
                    for name, mask in groups.items()
                    if _has_both_kinds(labelled.trials.targets[mask & valid])
                },
            )
        )
    return results, drawn


def _has_both_kinds(targets: np.ndarray) -> bool:
    return bool(targets.any() and not targets.all())


def _of(scores: np.ndarray | None, labelled: LabelledTrials, replicates: int, seed: int) -> Estimate | None:
    """EER of the trials that have a score; None if there are no scores."""
    if scores is None:
        return None
    chosen = np.isfinite(scores)
    targets = labelled.trials.targets[chosen]
    return _rate(scores[chosen], targets, labelled.bootstrap(chosen, replicates, seed))


def _rate(scores: np.ndarray, targets: np.ndarray, bootstrap: SpeakerBootstrap) -> Estimate:
    return Estimate(eer(scores[targets], scores[~targets]), *interval(bootstrap.replicates(scores, "eer")))


def differences(drawn: Mapping[str, Mapping[str, np.ndarray]], results: Sequence[Result]) -> list[Difference]:
    """Every encoder against every other one, under every condition that both have. drawn: by encoder, then condition."""
    rates = {(result.encoder, result.condition): result.eer.value for result in results}
    found = []
    for encoder, own in drawn.items():
        for other, theirs in drawn.items():
            for condition in (shared for shared in own if shared in theirs and encoder != other):
                value, reference = rates[encoder, condition], rates[other, condition]
                low, high = interval(own[condition] - theirs[condition])
                relative = value / reference - 1 if reference else None
                found.append(Difference(encoder, other, condition, Estimate(value - reference, low, high), relative))
    return found


def _wrong_stream(found: Scores, labelled: LabelledTrials, replicates: int, seed: int) -> Estimate | None:
    """EER of the enrolled voice's own stream against the interferer's in the same mixtures."""
    if found.oracle is None or found.wrong is None:
        return None
    trials = labelled.trials
    chosen = trials.targets & np.isfinite(found.oracle) & np.isfinite(found.wrong)
    enrolled = labelled.numbers[labelled.enrol_recordings[chosen]]
    interfering = labelled.numbers[trials.interferers[trials.test[chosen], 0]]
    targets = np.repeat([True, False], chosen.sum())
    speakers = np.concatenate([enrolled, enrolled]), np.concatenate([enrolled, interfering])
    scores = np.concatenate([found.oracle[chosen], found.wrong[chosen]])
    return _rate(scores, targets, SpeakerBootstrap(targets, *speakers, replicates, seed))
