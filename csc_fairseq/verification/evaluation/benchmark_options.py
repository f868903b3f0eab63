"""What a benchmark is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from csc_fairseq.errors import InputError
from csc_fairseq.verification.encoders.spec import encoder_name, parse_sum
from csc_fairseq.verification.evaluation.embedding_store import slug
from csc_fairseq.verification.trials.conditions import NOISES

SHORTEST_SECONDS = 0.1


@dataclass(frozen=True)
class BenchmarkOptions:
    """What is evaluated on what.

    encoders: as spec.py takes them apart. manifest: recordings of unseen speakers, with a .spk file. trials: a list,
    None for all pairs. enrolments: recordings of its models. conditions: a YAML file, None for all of the standard grid
    for which there are recordings. noises: manifests by kind. rir: a manifest. speaker_table, groups: a table, and its
    columns by which trials are told apart. train: manifest of the speakers that encoders were trained on; shared ones
    are an error unless `force`. dev: manifest of further unseen speakers, on whose trials scores are calibrated and summed.
    cohort, top_k: manifest of the cohort of score normalisation, and how many of its speakers it adapts to. seconds:
    recordings are cut to so many. seed: of mixtures, trials and bootstrap. replicates: of the bootstrap. jobs:
    processes. device: where encoders run. out: folder of the results.

    InputError, naming the options of `csc evaluate`, for values that are wrong whatever the files hold.
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

    def __post_init__(self) -> None:
        check_rendering(self.seconds, self.seed, self.noises or {})
        if self.speaker_table is not None and not self.groups:
            raise InputError(f"--speaker-table {self.speaker_table}: say by which columns, with --groups")
        if self.speaker_table is None and self.groups:
            raise InputError(f"--groups {self.groups[0]}: is a column of a table; give it with --speaker-table")
        if self.enrolments is not None and self.trials is None:
            raise InputError(f"--enrolments {self.enrolments}: belongs to a list of trials; give it with --trials")
        check_jobs(self.jobs, self.device)
        check_bootstrap(self.replicates, self.seed)
        if self.top_k < 2:
            raise InputError(f"--top-k {self.top_k}: expected at least 2")
        names = [encoder_name(text) for text in self.encoders]
        for name in names:
            if [slug(other) for other in names].count(slug(name)) > 1:  # they would share files
                raise InputError(f"--encoder: two are called {name!r}; name them apart, --encoder NAME={name}")
        for text in self.encoders:
            if parse_sum(text) is not None and self.dev is None:
                raise InputError(
                    f"--encoder {text}: is a sum of two, whose weights are fitted on development trials; give speakers for "
                    "them with --dev"
                )


def check_rendering(seconds: float, seed: int, noises: Mapping[str, Path]) -> None:
    """InputError, naming the options of `csc`, for recordings that cannot be cut to `seconds`, a bad seed or kind of noise."""
    if not SHORTEST_SECONDS <= seconds < float("inf"):
        raise InputError(
            f"--seconds {seconds:g}: recordings cannot be cut to that, expected {SHORTEST_SECONDS} or more"
        )
    check_seed(seed)
    unknown = [kind for kind in noises if kind not in NOISES]
    if unknown:
        raise InputError(f"--noise {unknown[0]}=…: expected {' or '.join(NOISES)}")


def check_jobs(jobs: int, device: str) -> None:
    """InputError, naming the options of `csc`, for a number of processes that cannot be."""
    if jobs < 1:
        raise InputError(f"--jobs {jobs}: expected at least 1")
    if jobs > 1 and device != "cpu":
        raise InputError(f"--jobs {jobs} would share {device}; use --jobs 1 there")


def check_bootstrap(replicates: int, seed: int) -> None:
    """InputError, naming the options of `csc`, for a seed or a number of replicates that cannot be."""
    check_seed(seed)
    if replicates < 1:
        raise InputError(f"--replicates {replicates}: expected at least 1, 1000 for figures to be printed")


def check_seed(seed: int) -> None:
    """InputError, naming the option of `csc`, for a seed that cannot be."""
    if seed < 0:
        raise InputError(f"--seed {seed}: expected 0 or more")


def check_named_once(option: str, paths: Sequence[Path]) -> None:
    """InputError, naming the option of `csc`, for files or folders one of which is there twice."""
    resolved = [path.resolve() for path in paths]
    for place, path in enumerate(paths):
        if resolved.index(path.resolve()) < place:
            raise InputError(f"{option} {path}: is named twice; leave one out")


def check_names_differ(names: Sequence[str]) -> None:
    """InputError, naming the option of `csc`, for encoders two of which have one name."""
    if len(set(names)) < len(names):
        raise InputError("--encoder: two have one name; name them apart: --encoder NAME=ENCODER")
