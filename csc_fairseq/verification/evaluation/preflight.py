"""What makes a benchmark impossible or its figures worthless, found before hours of work."""

from collections.abc import Sequence
from pathlib import Path

from csc_fairseq.data.audio import probe
from csc_fairseq.data.manifest import Manifest
from csc_fairseq.errors import InputError
from csc_fairseq.verification.encoders.embedding_file import FileEncoder
from csc_fairseq.verification.encoders.encoder import Encoder
from csc_fairseq.verification.evaluation.benchmark_options import BenchmarkOptions
from csc_fairseq.verification.evaluation.compared_encoder import ComparedEncoder
from csc_fairseq.verification.evaluation.evaluation_set import (
    OR_FORCE,
    EvaluationSet,
    EvaluationSets,
    refuse_shared_speakers,
)
from csc_fairseq.verification.trials.condition_plans import check_banks
from csc_fairseq.verification.trials.conditions import Condition


def preflight(
    options: BenchmarkOptions,
    sets: EvaluationSets,
    conditions: Sequence[Condition],
    encoders: Sequence[ComparedEncoder],
) -> None:
    """InputError if encoders, sets, conditions and options do not fit together."""
    if not options.force:
        _refuse_trained_speakers(options, sets, encoders)
    check_banks(conditions, sets.test.noises, sets.test.rir)
    for tested in (sets.test, sets.development):
        if tested is not None:
            require_interferers(conditions, tested)
    given = [one for one in sets if one is not None]
    for compared in encoders:
        require_rate(compared.encoder, [one.manifest for one in given])
        _require_embeddings(compared.encoder, conditions, given)
    if sets.cohort is not None:
        _require_top_k(options.top_k, sets.cohort)


def _refuse_trained_speakers(
    options: BenchmarkOptions, sets: EvaluationSets, encoders: Sequence[ComparedEncoder]
) -> None:
    """Neither test nor development speakers are among those whom a checkpoint says that it was trained on."""
    trained = {path: speakers for compared in encoders for path, speakers in compared.speakers.items()}
    for path, one in ((options.manifest, sets.test), (options.dev, sets.development)):
        if one is not None:
            refuse_shared_speakers(path, one.speakers, trained, OR_FORCE)


def require_interferers(conditions: Sequence[Condition], tested: EvaluationSet) -> None:
    """Every tested recording has as many interferers as the fullest condition takes."""
    available = tested.available_interferers
    for condition in conditions:
        if condition.talkers > available:
            raise InputError(
                f"{tested.manifest.path}: at most {available} speakers can interfere with some of its recordings, "
                f"condition {condition.name!r} takes {condition.talkers}; add speakers, or leave the condition out "
                "(--conditions)"
            )


def require_rate(encoder: Encoder, manifests: Sequence[Manifest]) -> None:
    """By the first recording of each manifest. The others are checked when they are read."""
    if isinstance(encoder, FileEncoder):  # it hears nothing
        return
    for manifest in manifests:
        require_rate_of(encoder.name, encoder.sample_rate, manifest.file(0))


def require_rate_of(name: str, sample_rate: int, file: Path) -> None:
    """InputError if a recording has another rate than an encoder of this name and rate takes."""
    rate = probe(file).sample_rate
    if rate != sample_rate:
        raise InputError(
            f"encoder {name}: takes {sample_rate} Hz, but {file} has {rate} Hz; convert the recordings, or leave the encoder "
            "out"
        )


def _require_embeddings(encoder: Encoder, conditions: Sequence[Condition], sets: Sequence[EvaluationSet]) -> None:
    """Embeddings from a file cover all that is compared, and there is a clean condition, the only one that they are for."""
    if not isinstance(encoder, FileEncoder):
        return
    if all(condition.degraded for condition in conditions):
        raise InputError(
            f"encoder {encoder.name}: holds embeddings of clean recordings, but no condition is clean; add one"
        )
    for one in sets:
        encoder.recordings([one.manifest.names[recording] for recording in one.compared()])


def _require_top_k(top_k: int, cohort: EvaluationSet) -> None:
    """The cohort has as many speakers as normalisation adapts to."""
    found = len(cohort.speakers)
    if found < top_k:
        raise InputError(f"--top-k {top_k}: {cohort.manifest.path} has {found} speakers; ask for that many at most")
