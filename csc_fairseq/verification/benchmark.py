"""The benchmark from end to end: files in, scores of every encoder under every condition, a report out."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from csc_fairseq.data.manifest import Manifest, read_labels, read_manifest
from csc_fairseq.errors import InputError
from csc_fairseq.verification.benchmark_options import BenchmarkOptions
from csc_fairseq.verification.calibration import Calibration, CalibrationError
from csc_fairseq.verification.cells import Cell, Trialled, differences, measure
from csc_fairseq.verification.condition_plans import check_banks
from csc_fairseq.verification.conditions import STANDARD, Condition, read_conditions
from csc_fairseq.verification.encoders.csc import CONFIGURATIONS
from csc_fairseq.verification.encoders.files import FileEncoder
from csc_fairseq.verification.encoders.ge2e import PACKAGE as GE2E_PACKAGE
from csc_fairseq.verification.encoders.protocol import Encoder
from csc_fairseq.verification.encoders.registry import UNTRAINED, make_encoder, parse_spec
from csc_fairseq.verification.evaluation import Scores, embed_speakers, score_encoder
from csc_fairseq.verification.ground import Ground, all_pairs, development_trials, without_trials
from csc_fairseq.verification.normalisation import Cohort
from csc_fairseq.verification.preflight import (
    check_options,
    refuse_shared_speakers,
    require_cohort,
    require_embeddings,
    require_interferers,
    require_rate,
)
from csc_fairseq.verification.provenance import facts_of, settings_of
from csc_fairseq.verification.report import Report, write_report
from csc_fairseq.verification.runner import EmbeddingRunner, Workers
from csc_fairseq.verification.speaker_attributes import read_speaker_attributes, require_columns
from csc_fairseq.verification.store import EmbeddingStore, code_digest, digest, file_digest, slug
from csc_fairseq.verification.trial_file import enrolments_path, read_trials, write_trials
from csc_fairseq.verification.trials import TrialList

LIST = "trials.txt"


def run_benchmark(options: BenchmarkOptions, progress: bool = False) -> Report:
    """Evaluates, writes everything to `options.out`, and returns what was written.

    What is complete is kept: the same call goes on where an earlier one stopped, and repeats nothing. InputError, before
    anything is computed where that is possible, for files and options that do not fit.
    """
    check_options(options)
    manifest = read_manifest(options.manifest)
    speakers = read_labels(manifest, "spk")
    refuse_shared_speakers(options, speakers)
    noises = {kind: read_manifest(path) for kind, path in (options.noises or {}).items()}
    rir = read_manifest(options.rir) if options.rir else None

    def ground(recordings: Manifest, trialled: Trialled) -> Ground:
        return Ground(recordings, trialled, noises, rir, options.seconds, options.seed)

    attributes = _attributes(options, manifest, speakers)
    test = ground(manifest, Trialled(_trials(options, manifest), np.array(speakers), attributes))
    conditions = _conditions(options, test)
    dev = cohort = None
    if options.dev is not None:
        recordings = read_manifest(options.dev)
        own = Trialled(development_trials(recordings, options.seed), np.array(read_labels(recordings, "spk")), {})
        dev = ground(recordings, own)
    if options.cohort is not None:
        recordings = read_manifest(options.cohort)
        cohort = ground(recordings, without_trials(recordings))
    encoders = [make_encoder(text, options.device) for text in options.encoders]  # all, so that errors come at once
    check_banks(conditions, noises, rir)
    for tested in (test, dev):
        if tested is not None:
            require_interferers(conditions, tested)
    grounds = [heard for heard in (test, dev, cohort) if heard is not None]
    for encoder in encoders:
        require_rate(encoder, [heard.manifest for heard in grounds])
        require_embeddings(encoder, conditions, grounds)
    if cohort is not None:
        require_cohort(options, cohort)
    root = EmbeddingStore(options.out)
    _leave_trials(options, test.trialled.trials, manifest)
    _remove_scores(options)
    scores: dict[str, dict[str, np.ndarray]] = {}
    cells: list[Cell] = []
    drawn: dict[str, dict[str, np.ndarray]] = {}
    uncalibrated: dict[str, str] = {}
    for text, encoder in zip(options.encoders, encoders, strict=True):
        run = _EncoderRun(options, text, encoder, conditions, progress)
        normalisation = run.cohort(cohort) if cohort else None
        found = run.score(test, "test", normalisation)
        calibration = None
        if dev is not None:
            try:
                calibration = calibrate(run.score(dev, "dev"), dev.trialled.trials.targets)
            except CalibrationError as error:  # the other figures are worth having
                uncalibrated[encoder.name] = str(error)
        scores[encoder.name] = {condition: one.best for condition, one in found.items()}
        _save_scores(options.out / "scores" / slug(encoder.name), scores[encoder.name])
        own, drawn[encoder.name] = measure(
            encoder.name, found, test.trialled, options.replicates, options.seed, calibration
        )
        cells += own
    report = Report(
        title="Speaker verification, clean and under interference",
        facts=facts_of(options, test, uncalibrated),
        settings=settings_of(options, test, conditions),
        conditions=conditions,
        cells=cells,
        differences=differences(drawn, cells),
        scores={
            condition.name: by_encoder for condition in conditions if (by_encoder := _under(condition.name, scores))
        },
        targets=test.trialled.trials.targets,
    )
    write_report(root.folder, report)
    return report


@dataclass(frozen=True)
class _EncoderRun:
    """One encoder, with where and how it embeds. text: what it was made of."""

    options: BenchmarkOptions
    text: str
    encoder: Encoder
    conditions: Sequence[Condition]
    progress: bool

    def score(self, ground: Ground, name: str, cohort: Cohort | None = None) -> dict[str, Scores]:
        """Scores by condition; name: of the folder where embeddings are kept."""
        # Embeddings from a file are those of clean recordings.
        possible = [one for one in self.conditions if not (isinstance(self.encoder, FileEncoder) and one.degraded)]
        with self._runner(ground, name) as runner:
            return score_encoder(runner, ground.trialled.trials, possible, cohort)

    def cohort(self, ground: Ground) -> Cohort:
        """The cohort's speakers, each the mean of their clean recordings."""
        with self._runner(ground, "cohort") as runner:
            return Cohort(embed_speakers(runner), self.options.top_k)

    def _runner(self, ground: Ground, name: str) -> EmbeddingRunner:
        jobs = self.options.jobs
        return EmbeddingRunner(
            self.encoder,
            ground.material(self.encoder.sample_rate),
            Workers(self.text, jobs) if jobs > 1 else None,
            self._store(name),
            self._key(ground),
            self.progress,
        )

    def _store(self, name: str) -> EmbeddingStore:
        # Names of encoders may hold anything, folders may not.
        folder = f"{slug(self.encoder.name)}-{digest(self.text)[:8]}"
        return EmbeddingStore(self.options.out / "embeddings" / folder / name)

    def _key(self, ground: Ground) -> list[object]:
        """All that an embedding depends on besides the condition: weights and code of the encoder by their file, or package."""
        target = parse_spec(self.text).target
        module = sys.modules.get(target.partition(":")[0])  # of somebody's function, imported by now
        if target.startswith(UNTRAINED):
            target = str(CONFIGURATIONS / f"{target.removeprefix(UNTRAINED)}.yaml")
        path = Path(getattr(module, "__file__", None) or target)
        package = version(GE2E_PACKAGE) if target == "ge2e" else None
        own = file_digest(path) if path.is_file() else package
        return [code_digest(), self.text, own, self.options.device, *ground.key]


def _under(condition: str, scores: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The scores of those encoders that could be evaluated under a condition."""
    return {name: found[condition] for name, found in scores.items() if condition in found}


def calibrate(scores: Mapping[str, Scores], targets: np.ndarray) -> Calibration:
    """One map for all conditions, from the development trials of all of them together: what a user has who cannot know
    the condition beforehand."""
    best = np.concatenate([found.best for found in scores.values()])
    wanted = np.tile(targets, len(scores))
    valid = np.isfinite(best)
    return Calibration.fit(best[valid & wanted], best[valid & ~wanted])


def _conditions(options: BenchmarkOptions, test: Ground) -> tuple[Condition, ...]:
    """Those of the file, all of which must be possible, or those of the grid that are."""
    if options.conditions is not None:
        return read_conditions(options.conditions)
    return tuple(
        condition
        for condition in STANDARD
        if (condition.noise != "other" or condition.noise in test.noises)
        and (test.rir is not None or not condition.rir)
        and condition.talkers <= test.available_interferers
    )


def _trials(options: BenchmarkOptions, manifest: Manifest) -> TrialList:
    if options.trials is not None:
        return read_trials(options.trials, manifest, options.enrolments, options.seed)
    if options.enrolments is not None:
        raise InputError(f"--enrolments {options.enrolments}: belongs to a list of trials; give it with --trials")
    return all_pairs(manifest, options.seed)


def _leave_trials(options: BenchmarkOptions, trials: TrialList, manifest: Manifest) -> None:
    """The list in `out` if no file holds just these trials; none of an earlier time, which scores would be read with."""
    path = options.out / LIST
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
    """Those of encoders that are not asked for any more."""
    kept = {slug(parse_spec(text).name) for text in options.encoders}
    for file in (options.out / "scores").glob("*/*.npy"):
        if file.parent.name not in kept:
            file.unlink()


def _attributes(options: BenchmarkOptions, manifest: Manifest, speakers: Sequence[str]) -> dict[str, np.ndarray]:
    if not options.groups:
        return {}
    if options.speaker_table is None:
        raise InputError(f"--groups {options.groups[0]}: is a column of a table; give it with --speaker-table")
    known = read_speaker_attributes(options.speaker_table, manifest, speakers)
    require_columns(options.speaker_table, known, options.groups)
    return {name: known[name] for name in options.groups}


def _save_scores(folder: Path, scores: Mapping[str, np.ndarray]) -> None:
    """float32 [n] in the order of the trials, one .npy file a condition; those of earlier conditions go."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.npy"):
        file.unlink()
    for condition, best in scores.items():
        np.save(folder / f"{condition}.npy", best)
