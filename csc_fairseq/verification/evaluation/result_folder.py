"""The folder of the results: trials and scores in it belong to the evaluation that was asked for, and to no earlier one."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from csc_fairseq.data.manifest import Manifest
from csc_fairseq.errors import InputError
from csc_fairseq.verification.encoders.spec import encoder_name
from csc_fairseq.verification.evaluation.benchmark_options import BenchmarkOptions
from csc_fairseq.verification.evaluation.embedding_store import EmbeddingStore, slug
from csc_fairseq.verification.evaluation.evaluation_set import EvaluationSet
from csc_fairseq.verification.trials.trial_file import enrolments_path, write_trials
from csc_fairseq.verification.trials.trial_list import TrialList

TRIALS, SCORES = "trials.txt", "scores"


def prepare_folder(options: BenchmarkOptions, test: EvaluationSet) -> None:
    """Makes the folder, leaves the trials there if no other file holds them, and removes what is out of date.

    InputError if it cannot be written, or if the user's own list is in the way.
    """
    EmbeddingStore(options.out)  # makes the folder, or complains
    _leave_trials(options, test.trials, test.manifest)
    _remove_scores(options)


def save_scores(out: Path, encoder: str, scores: Mapping[str, np.ndarray]) -> None:
    """float32 [n] in the order of the trials, one .npy file a condition. Those of earlier conditions are removed."""
    folder = out / SCORES / slug(encoder)
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.npy"):
        file.unlink()
    for condition, best in scores.items():
        np.save(folder / f"{condition}.npy", best)


def _leave_trials(options: BenchmarkOptions, trials: TrialList, manifest: Manifest) -> None:
    """Writes the list unless the user's file holds just these trials. Then a list of an earlier evaluation is removed.

    Otherwise scores would be read with the wrong list.
    """
    path = options.out / TRIALS
    given = options.trials is not None and path.exists() and path.samefile(options.trials)
    if given and trials.dropped:
        raise InputError(
            f"{path}: {trials.dropped} of its trials are left out, whose enrolled speaker interferes, and the list of the "
            "others would take its place; move it elsewhere"
        )
    if options.trials is None or trials.dropped:
        write_trials(path, trials, manifest)
    elif not given:
        for file in (path, enrolments_path(path)):
            if options.enrolments is None or file.absolute() != options.enrolments.absolute():
                file.unlink(missing_ok=True)


def _remove_scores(options: BenchmarkOptions) -> None:
    """Those of encoders that were not asked for this time."""
    kept = {slug(encoder_name(text)) for text in options.encoders}
    for file in (options.out / SCORES).glob("*/*.npy"):
        if file.parent.name not in kept:
            file.unlink()
