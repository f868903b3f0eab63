"""`csc calibrate`: from scores to log-likelihood ratios, for one model and one kind of recordings."""

import argparse
import os
from pathlib import Path

from csc_fairseq.cli.condition_options import add_condition_arguments, noise_manifests
from csc_fairseq.cli.model_options import add_model_arguments, require_device
from csc_fairseq.errors import InputError
from csc_fairseq.inference.durations import LENGTH

SUMMARY = "fit what scores mean, on trials of development speakers, for decisions"
EXAMPLE = """\
csc calibrate --model csc.pt --manifest dev.tsv --out csc.calibration.json
csc calibrate --model csc.pt --manifest dev.tsv --conditions two.yaml --noise other=streets.tsv --out csc.calibration.json
csc score enrol.wav test.wav --model csc.pt --calibration csc.calibration.json --prior 0.1"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this verb."""
    add_model_arguments(parser)
    parser.add_argument(
        "--manifest",
        required=True,
        type=Path,
        metavar="TSV",
        help="recordings like those to decide on, of speakers unknown to the model and to any test, with their .spk file",
    )
    add_condition_arguments(parser)
    parser.add_argument(
        "--enrol-utterances",
        type=int,
        default=1,
        metavar="N",
        help="recordings of an enrolled voice, as many as will be used (default: %(default)s)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=10.0,
        help=f"recordings are cut to this length, about as much as will be heard at once: {LENGTH:g} for `csc find`, which hears "
        "windows (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of mixtures and trials (default: %(default)s)")
    parser.add_argument("--force", action="store_true", help="go on although the model was trained on these speakers")
    parser.add_argument(
        "--jobs",
        type=int,
        help="processes; they change nothing but the time (default: one a processor, one in all with --device)",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="JSON", help="file to write")


def run(arguments: argparse.Namespace) -> int:
    """Writes the calibration, and prints what it is worth under every condition."""
    if arguments.out.suffix != ".json":
        raise InputError(f"{arguments.out}: expected a name that ends in .json")
    from csc_fairseq.decisions.calibration_file import write_calibration
    from csc_fairseq.verification.evaluation.calibrating import CalibrationOptions, calibrate_model
    from csc_fairseq.verification.evaluation.tables import Table

    require_device(arguments.device)
    jobs = arguments.jobs
    if jobs is None:
        jobs = len(os.sched_getaffinity(0)) if arguments.device == "cpu" else 1
    found = calibrate_model(
        CalibrationOptions(
            model=Path(arguments.model),
            manifest=arguments.manifest,
            conditions=arguments.conditions,
            noises=noise_manifests(arguments.noise),
            rir=arguments.rir,
            enrol_utterances=arguments.enrol_utterances,
            seconds=arguments.seconds,
            seed=arguments.seed,
            force=arguments.force,
            jobs=jobs,
            device=arguments.device,
        ),
        progress=True,
    )
    write_calibration(arguments.out, found)
    domain = found.domain
    rows = [("all together", found.quality), *found.by_condition.items()]
    print(
        Table(
            f"{domain.targets} target and {domain.nontargets} non-target trials of {domain.speakers} speakers, {domain.manifest}",
            "",
            ("condition", "EER, %", "Cllr, bits"),
            [(name, f"{100 * quality.eer:.1f}", f"{quality.cllr:.3f}") for name, quality in rows],
        ).text()
    )
    print(f"\n{arguments.out}: log-likelihood ratio = {found.map.scale:.3f} × score {found.map.offset:+.3f}")
    return 0
