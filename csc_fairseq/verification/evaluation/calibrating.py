"""What `csc calibrate` does: from development recordings to the calibration of one model."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

import numpy as np

from csc_fairseq.checkpoints.checkpoint import Checkpoint, read_checkpoint
from csc_fairseq.data.manifest import Manifest, read_manifest
from csc_fairseq.decisions.calibration_file import Domain, ModelCalibration, Quality
from csc_fairseq.decisions.model_identity import ModelIdentity
from csc_fairseq.digests import file_digest
from csc_fairseq.errors import InputError
from csc_fairseq.inference.loading import model_of
from csc_fairseq.modules.denormals import flush_denormals
from csc_fairseq.verification.encoders.of_model import ModelEncoder
from csc_fairseq.verification.evaluation.benchmark import calibrate, chosen_conditions
from csc_fairseq.verification.evaluation.benchmark_options import check_jobs, check_rendering
from csc_fairseq.verification.evaluation.embedding_runner import EmbeddingRunner, Workers
from csc_fairseq.verification.evaluation.evaluation_set import (
    OR_FORCE,
    EvaluationSet,
    LabelledTrials,
    refuse_shared_speakers,
)
from csc_fairseq.verification.evaluation.preflight import require_interferers, require_rate
from csc_fairseq.verification.evaluation.scoring import Scores, score_encoder
from csc_fairseq.verification.metrics.calibration import Calibration, cllr
from csc_fairseq.verification.metrics.error_rates import eer
from csc_fairseq.verification.trials.condition_plans import check_banks
from csc_fairseq.verification.trials.conditions import Condition
from csc_fairseq.verification.trials.drawing import read_sessions


@dataclass(frozen=True)
class CalibrationOptions:
    """What is calibrated on what.

    model: its file. manifest: recordings of development speakers, with a .spk file. The rest is as of `BenchmarkOptions`, and
    enrol_utterances: recordings of an enrolled voice. InputError, naming the options of `csc calibrate`, for impossible values.
    """

    model: Path
    manifest: Path
    conditions: Path | None = None
    noises: Mapping[str, Path] = field(default_factory=dict)
    rir: Path | None = None
    enrol_utterances: int = 1
    seconds: float = 10.0
    seed: int = 0
    force: bool = False
    jobs: int = 1
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_rendering(self.seconds, self.seed, self.noises)
        check_jobs(self.jobs, self.device)


def calibrate_model(options: CalibrationOptions, progress: bool = False) -> ModelCalibration:
    """Scores the development trials as `EmbeddingModel.score` would, under all conditions, and fits one map to all of them.

    The model is read once. The date is today's.

    Raises:
        InputError: faulty files; files and options that do not fit; speakers that the model was trained on, unless `force`;
            scores to which no finite map fits best, or of which higher ones do not mean more alike.
    """
    checkpoint = read_checkpoint(options.model)
    flush_denormals()
    model = model_of(checkpoint).to(options.device)
    encoder = ModelEncoder(options.model.name, model)
    recordings = _recordings(options, checkpoint)
    conditions = chosen_conditions(options.conditions, recordings)
    check_banks(conditions, recordings.noises, recordings.rir)
    require_interferers(conditions, recordings)
    require_rate(encoder, [recordings.manifest])
    workers = Workers(str(options.model.absolute()), options.jobs) if options.jobs > 1 else None
    material = recordings.material(encoder.sample_rate)
    with EmbeddingRunner(encoder, material, workers, progress=progress) as runner:
        scores = score_encoder(runner, recordings.trials, conditions)
    targets = recordings.trials.targets
    try:
        found = calibrate(scores, targets)
    except InputError as error:
        raise InputError(f"{options.manifest}: {error}") from error
    if found.scale <= 0:
        raise InputError(
            f"{options.manifest}: higher scores of {options.model} do not mean more alike there, so there is no calibration; "
            "check its labels and the model"
        )
    both = {name: _sides(one, targets) for name, one in scores.items()}
    pooled = tuple(np.concatenate(side) for side in zip(*both.values(), strict=True))
    return ModelCalibration(
        map=found,
        model=ModelIdentity.of(model, options.model),
        identity_level=model.identity_level,
        domain=_domain(options, recordings, conditions, [len(side) for side in pooled]),
        date=date.today().isoformat(),
        quality=_quality(found, *pooled),
        by_condition={name: _quality(found, *sides) for name, sides in both.items()},
    )


def _recordings(options: CalibrationOptions, checkpoint: Checkpoint) -> EvaluationSet:
    manifest = read_manifest(options.manifest)
    labelled = LabelledTrials.development(manifest, options.seed, options.enrol_utterances)
    noises = {kind: read_manifest(path) for kind, path in options.noises.items()}
    rir = read_manifest(options.rir) if options.rir else None
    found = EvaluationSet(manifest, labelled, options.seconds, options.seed, noises, rir)
    if not options.force:
        trained = {options.model: checkpoint.speakers or set()}
        refuse_shared_speakers(options.manifest, found.speakers, trained, OR_FORCE)
    return found


def _sides(scores: Scores, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores of target and of non-target trials; without those that a mixed enrolment spoils."""
    valid = np.isfinite(scores.best)
    return scores.best[valid & targets], scores.best[valid & ~targets]


def _quality(found: Calibration, targets: np.ndarray, nontargets: np.ndarray) -> Quality:
    return Quality(eer(targets, nontargets), cllr(found.llr(targets), found.llr(nontargets)))


def _domain(
    options: CalibrationOptions, recordings: EvaluationSet, conditions: Sequence[Condition], counts: Sequence[int]
) -> Domain:
    manifest = recordings.manifest
    across = ", across sessions" if read_sessions(manifest) is not None else ""
    return Domain(
        manifest=manifest.path.name,
        digest=file_digest(manifest.path),
        recordings=len(manifest),
        speakers=len(recordings.speakers),
        seconds=options.seconds,
        enrol_utterances=options.enrol_utterances,
        identity=f"speaker{across}",
        conditions=tuple(asdict(condition) for condition in conditions),
        noises=_digests([*recordings.noises.values()]),
        rir=_digests([recordings.rir] if recordings.rir else []),
        targets=counts[0],
        nontargets=counts[1],
        seed=options.seed,
    )


def _digests(manifests: Sequence[Manifest]) -> dict[str, str]:
    return {one.path.name: file_digest(one.path) for one in manifests}
