"""`csc trials`: a list of trials, made once and used for every model and condition."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from csc_fairseq.errors import InputError
from csc_fairseq.text import normal

if TYPE_CHECKING:
    import numpy as np

    from csc_fairseq.data.manifest import Manifest
    from csc_fairseq.verification.trials.drawing import TrialOptions

SUMMARY = "list verification trials of a manifest, with the talkers who will interfere"
EXAMPLE = """
csc trials --manifest manifests/test.tsv --out trials/test.txt
csc trials --manifest manifests/test.tsv --out trials/same.txt --speaker-table speakers.tsv --gender same --sample 20000
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this verb."""
    parser.add_argument(
        "--manifest", required=True, metavar="TSV", help="recordings, with their .spk file and perhaps a .session file"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE.txt", help="the list: label, enrol, test, interferers"
    )
    parser.add_argument(
        "--sample", type=int, metavar="N", help="draw N trials, all targets up to half of them (default: all pairs)"
    )
    parser.add_argument(
        "--enrol-utterances",
        type=int,
        default=1,
        metavar="K",
        help="recordings of each enrolled model; several are listed in FILE.enrolments (default: %(default)s)",
    )
    parser.add_argument(
        "--allow-same-session",
        action="store_true",
        help="target trials within a session too, although a .session file tells sessions apart",
    )
    parser.add_argument("--seed", type=int, default=0, help="of interferers and choices (default: %(default)s)")
    groups = parser.add_argument_group("groups of speakers; targets stay the same, but for --only")
    groups.add_argument(
        "--speaker-table",
        type=Path,
        metavar="TABLE",
        help="tab-separated, with a header: the column speaker, perhaps corpus (the folder above), and the columns below",
    )
    groups.add_argument("--gender", choices=("same", "cross"), help="short for --same gender or --cross gender")
    groups.add_argument(
        "--same",
        nargs="+",
        action="extend",
        default=[],
        metavar="COLUMN",
        help="non-targets only of speakers that agree in these columns",
    )
    groups.add_argument(
        "--cross",
        nargs="+",
        action="extend",
        default=[],
        metavar="COLUMN",
        help="non-targets only of speakers that differ in these columns",
    )
    groups.add_argument(
        "--only",
        nargs="+",
        action="extend",
        default=[],
        metavar="COLUMN=VALUE",
        help="only speakers with these values, e.g. age_group=child",
    )


def run(arguments: argparse.Namespace) -> int:
    """Writes the list, and the enrolments beside it if models have several recordings; prints what is in it."""
    import numpy as np

    from csc_fairseq.data.manifest import label_path, read_labels, read_manifest
    from csc_fairseq.verification.trials.drawing import build_trials, require_distinct, usable_recordings
    from csc_fairseq.verification.trials.trial_file import enrolments_path, write_trials

    options = _options(arguments)
    manifest = read_manifest(arguments.manifest)
    speakers = read_labels(manifest, "spk")
    require_distinct(manifest)
    sessions = read_labels(manifest, "session") if label_path(manifest, "session").is_file() else None
    attributes = _attributes(arguments, options, manifest, speakers)
    try:
        trials = build_trials(speakers, sessions, attributes, options, arguments.seed)
    except InputError as error:
        raise InputError(f"{manifest.path}: {error}") from error
    write_trials(arguments.out, trials, manifest)

    targets = int(trials.targets.sum())
    print(
        f"{arguments.out}: {len(trials.targets)} trials, {targets} target and {len(trials.targets) - targets} non-target; "
        f"{len(trials.models)} models, {len(np.unique(trials.test))} test recordings, "
        f"{len({speakers[model[0]] for model in trials.models})} enrolled speakers"
    )
    if trials.names:
        print(f"{enrolments_path(arguments.out)}: the models' recordings, {options.enrol_utterances} each")
    if sessions is None:
        print("no .session file: target trials may stay within one session")
    elif not options.same_session:
        print("every target trial is across sessions")
    print(f"interferers: {int((trials.interferers[0] >= 0).sum())} for every recording, of other speakers")
    left_out = ~usable_recordings(len(manifest), attributes, options)
    if left_out.any():
        print(f"left out, of other groups or unknown in {arguments.speaker_table}: {left_out.sum()} recordings")
    return 0


def _options(arguments: argparse.Namespace) -> "TrialOptions":
    from csc_fairseq.verification.trials.drawing import TrialOptions

    asked = {"same": list(arguments.same), "cross": list(arguments.cross)}
    if arguments.gender and "gender" not in asked[arguments.gender]:
        asked[arguments.gender].append("gender")
    given = [normal(text) for text in arguments.only]
    for text in given:
        if not all(text.partition("=")):
            raise InputError(f"--only {text}: expected COLUMN=VALUE, such as age_group=child")
    only = tuple((column, value) for column, _, value in (text.partition("=") for text in given))
    return TrialOptions(
        sample=arguments.sample,
        enrol_utterances=arguments.enrol_utterances,
        same_session=arguments.allow_same_session,
        same=tuple(asked["same"]),
        cross=tuple(asked["cross"]),
        only=only,
    )


def _attributes(
    arguments: argparse.Namespace, options: "TrialOptions", manifest: "Manifest", speakers: Sequence[str]
) -> "dict[str, np.ndarray]":
    """Columns of the table; none without one."""
    from csc_fairseq.verification.trials.speaker_attributes import read_speaker_attributes, require_columns

    columns = [*options.same, *options.cross, *(column for column, _ in options.only)]
    table = arguments.speaker_table
    if table is None:
        if columns:
            raise InputError(f"{columns[0]} is a column of a table of speakers; give the table with --speaker-table")
        return {}
    if not columns:
        raise InputError(
            f"--speaker-table {table}: is for --gender, --same, --cross and --only; add one, or leave it out"
        )
    attributes = read_speaker_attributes(table, manifest, speakers)
    require_columns(table, attributes, columns)
    return attributes
