"""What makes a benchmark impossible or its figures worthless, found before hours of work."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from csc_fairseq.data.audio import probe
from csc_fairseq.data.manifest import Manifest, read_labels, read_manifest
from csc_fairseq.errors import InputError
from csc_fairseq.inference.fairseq_files import speakers_of
from csc_fairseq.verification.benchmark_options import BenchmarkOptions
from csc_fairseq.verification.conditions import NOISES, Condition
from csc_fairseq.verification.encoders.files import FileEncoder
from csc_fairseq.verification.encoders.protocol import Encoder
from csc_fairseq.verification.encoders.registry import parse_spec
from csc_fairseq.verification.ground import Ground
from csc_fairseq.verification.provenance import checkpoint_of
from csc_fairseq.verification.store import slug

SHORTEST_SECONDS = 0.1


def check_options(options: BenchmarkOptions) -> None:
    """InputError for values that cannot be, whatever the files hold."""
    if not SHORTEST_SECONDS <= options.seconds < float("inf"):
        raise InputError(
            f"--seconds {options.seconds:g}: recordings cannot be cut to that, expected {SHORTEST_SECONDS} or more"
        )
    if options.seed < 0:
        raise InputError(f"--seed {options.seed}: expected 0 or more")
    if options.speaker_table is not None and not options.groups:
        raise InputError(f"--speaker-table {options.speaker_table}: say by which columns, with --groups")
    if options.jobs < 1:
        raise InputError(f"--jobs {options.jobs}: expected at least 1")
    if options.jobs > 1 and options.device != "cpu":
        raise InputError(f"--jobs {options.jobs} would share {options.device}; use --jobs 1 there")
    if options.replicates < 1:
        raise InputError(f"--replicates {options.replicates}: expected at least 1, 1000 for figures to be printed")
    if options.top_k < 2:
        raise InputError(f"--top-k {options.top_k}: expected at least 2")
    names = [parse_spec(text).name for text in options.encoders]
    for name in names:
        if [slug(other) for other in names].count(slug(name)) > 1:  # they would share files
            raise InputError(f"--encoder: two are called {name!r}; name them apart, --encoder NAME={name}")
    unknown = [kind for kind in options.noises or {} if kind not in NOISES]
    if unknown:
        raise InputError(f"--noise {unknown[0]}=…: expected {' or '.join(NOISES)}")


def refuse_shared_speakers(options: BenchmarkOptions, speakers: Sequence[str]) -> None:
    """Test speakers are nobody else's: not of the training, by its manifest and by what checkpoints of csc say of it,
    not of the cohort, not of the development; and neither are development speakers of the training.

    `force` lifts what is said of the training alone: the other files are the caller's own choice.
    """

    def of(path: Path) -> set[str]:
        return set(read_labels(read_manifest(path), "spk"))

    def refuse(manifest: Path, own: set[str], others: Mapping[Path, set[str]], remedy: str) -> None:
        for path, names in others.items():
            if shared := sorted(names & own):
                raise InputError(
                    f"{manifest}: {len(shared)} of its {len(own)} speakers are those of {path} too ({shared[0]}, …); "
                    f"figures of speakers that were trained, calibrated or normalised on say nothing: choose others{remedy}"
                )

    dev, cohort = ({path: of(path)} if path else {} for path in (options.dev, options.cohort))
    refuse(options.manifest, set(speakers), {**dev, **cohort}, "")
    if options.force:
        return
    trained = {options.train: of(options.train)} if options.train else {}
    trained |= {path: speakers_of(path) or set() for path in map(checkpoint_of, options.encoders) if path is not None}
    for manifest, own in {options.manifest: set(speakers), **dev}.items():
        refuse(manifest, own, trained, ", or --force")


def require_interferers(conditions: Sequence[Condition], ground: Ground) -> None:
    """Every tested recording has as many interferers as the fullest condition takes."""
    available = ground.available_interferers
    for condition in conditions:
        if condition.talkers > available:
            raise InputError(
                f"{ground.manifest.path}: at most {available} speakers can interfere with some of its recordings, condition "
                f"{condition.name!r} takes {condition.talkers}; add speakers, or leave the condition out (--conditions)"
            )


def require_embeddings(encoder: Encoder, conditions: Sequence[Condition], grounds: Sequence[Ground]) -> None:
    """Embeddings from a file are there for all that is compared, and there is a condition that they can stand for."""
    if not isinstance(encoder, FileEncoder):
        return
    if all(condition.degraded for condition in conditions):
        raise InputError(f"encoder {encoder.name}: holds embeddings of clean recordings, but no condition is clean; add one")
    for ground in grounds:
        encoder.recordings([ground.manifest.names[recording] for recording in ground.compared()])


def require_rate(encoder: Encoder, manifests: Sequence[Manifest]) -> None:
    """By the first recording of each; reading the others checks them."""
    if isinstance(encoder, FileEncoder):  # it hears nothing
        return
    for manifest in manifests:
        rate = probe(manifest.file(0)).sample_rate
        if rate != encoder.sample_rate:
            raise InputError(
                f"encoder {encoder.name}: takes {encoder.sample_rate} Hz, but {manifest.file(0)} has {rate} Hz; convert the "
                "recordings, or leave the encoder out"
            )


def require_cohort(options: BenchmarkOptions, cohort: Ground) -> None:
    """It has as many speakers as normalisation adapts to."""
    found = len(np.unique(cohort.trialled.speakers))
    if found < options.top_k:
        raise InputError(
            f"--top-k {options.top_k}: {cohort.manifest.path} has {found} speakers; ask for that many at most"
        )
