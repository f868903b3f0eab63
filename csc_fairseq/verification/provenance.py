"""Where figures come from: encoders, their training, data and settings, for people and for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from csc_fairseq import __version__
from csc_fairseq.inference.fairseq_files import architecture, hides_speakers, read_state
from csc_fairseq.verification.benchmark_options import BenchmarkOptions
from csc_fairseq.verification.conditions import Condition
from csc_fairseq.verification.encoders.registry import is_untrained, parse_spec
from csc_fairseq.verification.ground import Ground
from csc_fairseq.verification.store import file_digest


def checkpoint_of(text: str) -> Path | None:
    """The checkpoint that an encoder is made of, if it is one."""
    path = Path(parse_spec(text).target)
    return path if path.is_file() and path.suffix != ".npz" else None


def settings_of(options: BenchmarkOptions, test: Ground, conditions: Sequence[Condition]) -> dict[str, object]:
    """For programs: values that JSON holds, and digests of the files that were read.

    Without the number of processes, which changes nothing.
    """
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(options).items()}
    settings["noises"] = {kind: str(path) for kind, path in (options.noises or {}).items()}
    del settings["jobs"]
    trials = test.trialled.trials
    lists = (options.manifest, options.trials, options.enrolments, *(options.noises or {}).values(), options.rir)
    return {
        "settings": settings,
        "conditions": [asdict(condition) for condition in conditions],
        "digests": {
            str(path): file_digest(path)
            for path in (*lists, options.dev, options.cohort, *map(checkpoint_of, options.encoders))
            if path is not None
        },
        "version": __version__,
        "targets": int(trials.targets.sum()),
        "nontargets": int((~trials.targets).sum()),
        "dropped": trials.dropped,
    }


def facts_of(options: BenchmarkOptions, test: Ground, uncalibrated: Mapping[str, str]) -> dict[str, str]:
    """For people, by name. uncalibrated: why there is no calibration, by encoder."""
    trials, speakers = test.trialled.trials, len(np.unique(test.trialled.speakers))
    targets = int(trials.targets.sum())
    noises = options.noises or {}
    facts = {
        "recordings": f"{len(test.manifest)} of {speakers} speakers, {test.manifest.path}, cut to {options.seconds:g} s",
        "trials": f"{targets} target and {len(trials.targets) - targets} non-target, "
        + (f"{options.trials}" if options.trials else "all pairs")
        + (f"; {trials.dropped} left out, whose enrolled speaker interferes" if trials.dropped else ""),
        "noise": f"stationary: {noises.get('stationary', 'white')}, other: {noises.get('other', 'none')}",
        "rooms": str(options.rir or "none"),
        "enrolment": "clean, except where a condition says otherwise; the score is the best stream's",
        "intervals": f"95 %, {options.replicates} bootstrap replicates over speakers, on both sides of the trials",
        "seed": str(options.seed),
        "training speakers": _training_fact(options),
    }
    if options.cohort:
        facts["score normalisation"] = f"speakers of {options.cohort}, the {options.top_k} most similar ones"
    if options.dev:
        facts["calibration"] = f"all pairs of {options.dev}, one for all conditions"
    facts |= {f"calibration of {name}": f"none, {reason}" for name, reason in uncalibrated.items()}
    return facts | {f"encoder {parse_spec(text).name}": description(text) for text in options.encoders}


def _training_fact(options: BenchmarkOptions) -> str:
    if options.force:
        return "NOT CHECKED (--force): encoders may know the test speakers"
    if options.train:
        return f"none of those of {options.train}"
    unknown = [parse_spec(text).name for text in options.encoders if _hides_its_speakers(text)]
    return "none in the test" + (f", as far as known: {', '.join(unknown)} do not tell theirs" if unknown else "")


def _hides_its_speakers(text: str) -> bool:
    """Whether an encoder was, or may have been, trained on speakers that nothing tells."""
    path = checkpoint_of(text)
    if path is not None:
        return hides_speakers(path)
    return not is_untrained(text)


def description(text: str) -> str:
    """What an encoder is and was trained on, as far as its checkpoint tells."""
    path = checkpoint_of(text)
    if path is None:
        return parse_spec(text).target
    state = read_state(path)
    facts = [f"{architecture(state)}, {path}"]
    task = state.get("task_state") or {}
    if "identity_level" in task:
        facts.append(f"{len(task['identities'])} identities of level {task['identity_level']}")
    elif state.get("identity_level"):  # of a bundle
        facts.append(f"identities of level {state['identity_level']}")
    history = state.get("optimizer_history")
    if history:
        facts.append(f"{history[-1]['num_updates']} updates")
    seconds = (state.get("extra_state") or {}).get("previous_training_time")
    if seconds:
        facts.append(f"{seconds / 60:.0f} minutes of training")
    return ", ".join(facts)
