"""The benchmark from end to end: files in, scores of every encoder under every condition, a report out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from csc_fairseq.verification.evaluation.benchmark_options import BenchmarkOptions
from csc_fairseq.verification.evaluation.compared_encoder import EncoderRun
from csc_fairseq.verification.evaluation.compared_sum import (
    Compared,
    ComparedSum,
    FittedSum,
    encoders_of,
    read_compared,
)
from csc_fairseq.verification.evaluation.evaluation_set import EvaluationSet, EvaluationSets, read_sets
from csc_fairseq.verification.evaluation.preflight import preflight
from csc_fairseq.verification.evaluation.provenance import facts_of, settings_of
from csc_fairseq.verification.evaluation.report import Report, write_report
from csc_fairseq.verification.evaluation.result_folder import open_folder, prepare_folder, save_scores
from csc_fairseq.verification.evaluation.results import Result, differences, measure
from csc_fairseq.verification.evaluation.scoring import Scores
from csc_fairseq.verification.metrics.calibration import Calibration, CalibrationError
from csc_fairseq.verification.trials.conditions import STANDARD, Condition, read_conditions


def run_benchmark(options: BenchmarkOptions, progress: bool = False) -> Report:
    """Evaluates, writes everything to `options.out`, and returns what was written.

    What is complete is kept: the same call goes on where an earlier one stopped, and repeats nothing. InputError for
    files and options that do not fit, before anything is computed where that is possible.
    """
    sets = read_sets(options)
    conditions = chosen_conditions(options.conditions, sets.test)
    compared = read_compared(options.encoders, options.device)  # all, so errors come at once
    preflight(options, sets, conditions, encoders_of(compared))
    with open_folder(options) as folder:
        prepare_folder(folder, options, sets.test)
        measured = []
        for one in compared:
            if isinstance(one, ComparedSum):
                found = measure_sum(one, [EncoderRun(part, options, conditions, progress) for part in one.parts], sets)
            else:
                found = measure_encoder(EncoderRun(one, options, conditions, progress), sets)
            save_scores(folder, one.name, found.scores)
            measured.append(found)
        report = make_report(options, sets.test, conditions, measured)
        write_report(folder, report)
    return report


def chosen_conditions(path: Path | None, test: EvaluationSet) -> tuple[Condition, ...]:
    """Those of the file, all of which must be possible, or, without one, those of the standard grid that are possible."""
    if path is not None:
        return read_conditions(path)
    return tuple(
        condition
        for condition in STANDARD
        if (condition.noise != "other" or condition.noise in test.noises)
        and (test.rir is not None or not condition.rir)
        and condition.talkers <= test.available_interferers
    )


@dataclass(frozen=True)
class MeasuredEncoder:
    """What came out for one encoder.

    scores: float32 [n] of the best stream, by condition. drawn: the bootstrap's EERs by condition. uncalibrated: why there
    is no calibration, None if there is one or none was asked for. fitted: the weights of a sum, None for an encoder.
    """

    compared: Compared
    scores: Mapping[str, np.ndarray]
    results: Sequence[Result]
    drawn: Mapping[str, np.ndarray]
    uncalibrated: str | None
    fitted: FittedSum | None


def measure_encoder(run: EncoderRun, sets: EvaluationSets) -> MeasuredEncoder:
    """Embeds, scores and measures."""
    cohort = run.cohort(sets.cohort) if sets.cohort else None
    found = run.score(sets.test, "test", cohort)
    development = run.score(sets.development, "dev") if sets.development is not None else None
    return measure_scores(run.compared, run.options, sets, found, development)


def measure_sum(compared: ComparedSum, runs: Sequence[EncoderRun], sets: EvaluationSets) -> MeasuredEncoder:
    """The same of a sum, from its parts at work. What a part has embedded before, it finds again."""
    tested = [run.score(sets.test, "test") for run in runs]
    development = [run.score(sets.development, "dev") for run in runs]
    fitted = FittedSum.fit(compared, development, sets.development.trials.targets)
    found = fitted.scores(tested)
    return measure_scores(compared, runs[0].options, sets, found, fitted.scores(development), fitted)


def measure_scores(
    compared: Compared,
    options: BenchmarkOptions,
    sets: EvaluationSets,
    found: Mapping[str, Scores],
    development: Mapping[str, Scores] | None,
    fitted: FittedSum | None = None,
) -> MeasuredEncoder:
    """Calibrates on the development scores if there are any, and measures. Scores are by condition."""
    calibration = uncalibrated = None
    if development is not None:
        try:
            calibration = calibrate(development, sets.development.trials.targets)
        except CalibrationError as error:  # the other figures are worth having
            uncalibrated = str(error)
    best = {condition: scores.best for condition, scores in found.items()}
    results, drawn = measure(compared.name, found, sets.test.labelled, options.replicates, options.seed, calibration)
    return MeasuredEncoder(compared, best, results, drawn, uncalibrated, fitted)


def calibrate(scores: Mapping[str, Scores], targets: np.ndarray) -> Calibration:
    """One map for all conditions, from their development trials together: a user cannot know the condition beforehand."""
    best = np.concatenate([found.best for found in scores.values()])
    wanted = np.tile(targets, len(scores))
    valid = np.isfinite(best)
    return Calibration.fit(best[valid & wanted], best[valid & ~wanted])


def make_report(
    options: BenchmarkOptions, test: EvaluationSet, conditions: Sequence[Condition], measured: Sequence[MeasuredEncoder]
) -> Report:
    """What is written, of all encoders."""
    encoders = [one.compared for one in measured]
    sums = [one.fitted for one in measured if one.fitted is not None]
    results = [result for one in measured for result in one.results]
    uncalibrated = {one.compared.name: one.uncalibrated for one in measured if one.uncalibrated is not None}
    scores = {
        condition.name: {
            one.compared.name: one.scores[condition.name] for one in measured if condition.name in one.scores
        }
        for condition in conditions
    }
    return Report(
        title="Speaker verification, clean and under interference",
        facts=facts_of(options, test, encoders, uncalibrated, sums),
        settings=settings_of(options, test, conditions, encoders, sums),
        conditions=conditions,
        results=results,
        differences=differences({one.compared.name: one.drawn for one in measured}, results),
        scores={condition: by_encoder for condition, by_encoder in scores.items() if by_encoder},
        targets=test.trials.targets,
    )
