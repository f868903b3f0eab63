"""Where figures come from: encoders, their training, data and settings, for people and for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from csc_fairseq.digests import file_digest
from csc_fairseq.package import __version__
from csc_fairseq.verification.evaluation.benchmark_options import BenchmarkOptions
from csc_fairseq.verification.evaluation.compared_sum import Compared, FittedSum
from csc_fairseq.verification.evaluation.evaluation_set import EvaluationSet
from csc_fairseq.verification.trials.conditions import Condition


def settings_of(
    options: BenchmarkOptions,
    test: EvaluationSet,
    conditions: Sequence[Condition],
    encoders: Sequence[Compared],
    sums: Sequence[FittedSum] = (),
) -> dict[str, object]:
    """For programs: values that JSON holds, and digests of the files that were read.

    Without the number of processes, which changes nothing. sums: with their weights.
    """
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(options).items()}
    settings["noises"] = {kind: str(path) for kind, path in (options.noises or {}).items()}
    del settings["jobs"]
    trials = test.trials
    lists = (options.manifest, options.trials, options.enrolments, *(options.noises or {}).values(), options.rir)
    digests = {str(path): file_digest(path) for path in (*lists, options.dev, options.cohort) if path is not None}
    return {
        "settings": settings,
        "conditions": [asdict(condition) for condition in conditions],
        "digests": digests | {str(path): found for one in encoders for path, found in one.checkpoints.items()},
        "version": __version__,
        "targets": int(trials.targets.sum()),
        "nontargets": int((~trials.targets).sum()),
        "dropped": trials.dropped,
        "sums": {
            one.compared.name: {
                "weights": dict(zip(one.compared.part_names, one.fusion.weights, strict=True)),
                "offset": one.fusion.offset,
            }
            for one in sums
        },
    }


def facts_of(
    options: BenchmarkOptions,
    test: EvaluationSet,
    encoders: Sequence[Compared],
    uncalibrated: Mapping[str, str],
    sums: Sequence[FittedSum] = (),
) -> dict[str, str]:
    """For people, by name. uncalibrated: why there is no calibration, by encoder. sums: with their weights."""
    trials, targets = test.trials, int(test.trials.targets.sum())
    noises = options.noises or {}
    facts = {
        "recordings": f"{len(test.manifest)} of {len(test.speakers)} speakers, {test.manifest.path}, "
        f"cut to {options.seconds:g} s",
        "trials": f"{targets} target and {len(trials.targets) - targets} non-target, "
        + (f"{options.trials}" if options.trials else "all pairs")
        + (f"; {trials.dropped} left out, whose enrolled speaker interferes" if trials.dropped else ""),
        "noise": f"stationary: {noises.get('stationary', 'white')}, other: {noises.get('other', 'none')}",
        "rooms": str(options.rir or "none"),
        "enrolment": "clean, except where a condition says otherwise; the score is the best stream's",
        "intervals": f"95 %, {options.replicates} bootstrap replicates over speakers, on both sides of the trials",
        "seed": str(options.seed),
        "training speakers": _training_fact(options, encoders),
    }
    if options.cohort:
        facts["score normalisation"] = f"speakers of {options.cohort}, the {options.top_k} most similar ones"
    if options.dev:
        facts["calibration"] = f"all pairs of {options.dev}, one for all conditions"
    facts |= {f"score of {one.compared.name}": f"{one.formula}, fitted on {options.dev}" for one in sums}
    facts |= {f"calibration of {name}": f"none, {reason}" for name, reason in uncalibrated.items()}
    return facts | {f"encoder {one.name}": one.description for one in encoders}


def _training_fact(options: BenchmarkOptions, encoders: Sequence[Compared]) -> str:
    if options.force:
        return "NOT CHECKED (--force): encoders may know the test speakers"
    if options.train:
        return f"none of those of {options.train}"
    unknown = [one.name for one in encoders if one.hides_speakers]
    return "none in the test" + (f", as far as known: {', '.join(unknown)} do not tell theirs" if unknown else "")
