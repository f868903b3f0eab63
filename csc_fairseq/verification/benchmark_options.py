"""What a benchmark is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class BenchmarkOptions:
    """What is evaluated on what.

    encoders: as `make_encoder` reads them. manifest: recordings of unseen speakers, with a .spk file. trials: a list,
    None for all pairs. enrolments: recordings of its models. conditions: a YAML file, None for all of the standard grid
    for which there are recordings. noises: manifests by kind. rir: a manifest. speaker_table, groups: a table, and its
    columns by which trials are told apart. train: manifest of the speakers that encoders were trained on; shared ones
    are an error unless `force`. dev: manifest of further unseen speakers, on whose trials scores are calibrated.
    cohort, top_k: manifest of the cohort of score normalisation, and how many of its speakers it adapts to. seconds:
    recordings are cut to so many. seed: of mixtures, trials and bootstrap. replicates: of the bootstrap. jobs:
    processes. device: where encoders run. out: folder of the results.
    """

    encoders: Sequence[str]
    manifest: Path
    out: Path
    trials: Path | None = None
    enrolments: Path | None = None
    conditions: Path | None = None
    noises: Mapping[str, Path] | None = None
    rir: Path | None = None
    speaker_table: Path | None = None
    groups: Sequence[str] = ()
    train: Path | None = None
    force: bool = False
    dev: Path | None = None
    cohort: Path | None = None
    top_k: int = 100
    seconds: float = 10.0
    seed: int = 0
    replicates: int = 1000
    jobs: int = 1
    device: str = "cpu"
