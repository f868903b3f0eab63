"""`csc evaluate`: one or several encoders on trials, clean and under interference, on conversations, or on fixed mixtures."""

import argparse
import os
from pathlib import Path

from csc_fairseq.cli.condition_options import add_condition_arguments, noise_manifests
from csc_fairseq.cli.model_options import require_device
from csc_fairseq.errors import InputError

SUMMARY = "measure speaker verification, clean and under interference, who speaks when, or separation, with intervals"
EXAMPLE = """csc evaluate --encoder checkpoint_best.pt --manifest test.tsv --out evaluation
csc evaluate --encoder csc=a/checkpoint_last.pt --encoder wav2vec=b/checkpoint_last.pt --encoder mfcc \\
    --manifest test.tsv --trials trials.txt --noise stationary=fans.tsv other=streets.tsv --rir rir.tsv --out evaluation
csc evaluate --conversations two three --dev dev_conversations --encoder csc.pt --encoder ge2e --out evaluation
csc evaluate --mixtures libri2mix/test.tsv --encoder csc.pt --out evaluation"""
NOT_OF_TRIALS = ("encoder", "noise", "debug", "conversations", "mixtures", "of_trials")
# Options of trials and of something else; all others are of trials alone.
OF_SEVERAL = "encoder conversations mixtures manifest dev force seed replicates device out help".split()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this verb."""
    parser.add_argument(
        "--encoder",
        action="append",
        required=True,
        metavar="[NAME=]ENCODER",
        help="a checkpoint, mfcc, ge2e, campplus, untrained:CONFIG, module:function or embeddings.npz; ENCODER,separate=csc.pt; "
        "A+B with --dev; repeat it to compare",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--manifest", type=Path, metavar="TSV", help="recordings of unseen speakers, with their .spk file"
    )
    what.add_argument(
        "--conversations",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="folders of `csc mix --conversation`, or of recordings with RTTM; each is a row of the table",
    )
    what.add_argument(
        "--mixtures",
        nargs="+",
        type=Path,
        metavar="TSV",
        help="manifests of fixed mixtures, as of `csc prepare librimix`; each is a row of the table",
    )
    parser.add_argument(
        "--trials", type=Path, metavar="TXT", help="a list of `csc trials`, VoxCeleb or Kaldi (default: all pairs)"
    )
    parser.add_argument(
        "--enrolments", type=Path, metavar="TXT", help="recordings of every enrolled model, as Kaldi's spk2utt"
    )
    add_condition_arguments(parser)
    parser.add_argument(
        "--speaker-table", type=Path, metavar="TSV", help="a table of speakers, for kinds of trials (gender, …)"
    )
    parser.add_argument(
        "--groups",
        nargs="+",
        action="extend",
        default=[],
        metavar="COLUMN",
        help="its columns by which trials are told apart",
    )
    parser.add_argument(
        "--train", type=Path, metavar="TSV", help="what encoders were trained on: shared speakers are an error"
    )
    parser.add_argument(
        "--dev",
        type=Path,
        metavar="TSV",
        help="further unseen speakers, to calibrate and sum scores on; with --conversations, a folder of theirs, to fit the "
        "clustering of encoders that only embed",
    )
    parser.add_argument(
        "--cohort", type=Path, metavar="TSV", help="speakers to normalise scores with, e.g. the training's"
    )
    parser.add_argument(
        "--top-k", type=int, default=100, help="speakers of it that normalisation adapts to (default: %(default)s)"
    )
    parser.add_argument("--force", action="store_true", help="go on although encoders were trained on test speakers")
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="recordings are cut to this length (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of mixtures, trials and bootstrap (default: %(default)s)")
    parser.add_argument("--replicates", type=int, default=1000, help="bootstrap replicates (default: %(default)s)")
    parser.add_argument(
        "--jobs",
        type=int,
        help="processes; they change nothing but the time (default: one a processor, one in all with --device)",
    )
    parser.add_argument(
        "--device", default="cpu", help="where encoders run, e.g. cuda, with one process (default: cpu)"
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="results; the same command goes on there"
    )
    others = {one.dest: (one.option_strings[0], one.default) for one in parser._actions if one.dest not in OF_SEVERAL}
    parser.set_defaults(of_trials=others)


def run(arguments: argparse.Namespace) -> int:
    """Prints the table of error rates; writes everything to --out."""
    if arguments.manifest is None:
        _refuse_options_of_trials(arguments)
    require_device(arguments.device)
    if arguments.conversations is not None:
        return _conversations(arguments)
    if arguments.mixtures is not None:
        return _mixtures(arguments)
    from csc_fairseq.verification.evaluation.benchmark import run_benchmark
    from csc_fairseq.verification.evaluation.benchmark_options import BenchmarkOptions

    if arguments.jobs is None:
        arguments.jobs = len(os.sched_getaffinity(0)) if arguments.device == "cpu" else 1
    options = {name: value for name, value in vars(arguments).items() if name not in NOT_OF_TRIALS}
    report = run_benchmark(
        BenchmarkOptions(**options, encoders=tuple(arguments.encoder), noises=noise_manifests(arguments.noise)),
        progress=True,
    )
    print(report.tables()[0].text())
    print(f"\n{arguments.out / 'report.html'}; results.json, results.md, scores and figures beside it")
    return 0


def _conversations(arguments: argparse.Namespace) -> int:
    """Prints the tables; writes them to --out."""
    from csc_fairseq.verification.conversations.evaluation import ConversationEvaluation, evaluate_conversations

    options = ConversationEvaluation(
        tuple(arguments.conversations),
        tuple(arguments.encoder),
        arguments.out,
        dev=arguments.dev,
        device=arguments.device,
        force=arguments.force,
        replicates=arguments.replicates,
        seed=arguments.seed,
    )
    print("\n\n".join(table.text() for table in evaluate_conversations(options, progress=True)))
    print(f"\n{arguments.out / 'results.md'}; results.json beside it")
    return 0


def _mixtures(arguments: argparse.Namespace) -> int:
    """Prints the table; writes it to --out."""
    from csc_fairseq.verification.mixtures.evaluation import MixtureEvaluation, evaluate_mixtures

    options = MixtureEvaluation(
        tuple(arguments.mixtures),
        tuple(arguments.encoder),
        arguments.out,
        device=arguments.device,
        force=arguments.force,
        replicates=arguments.replicates,
        seed=arguments.seed,
    )
    print(evaluate_mixtures(options, progress=True).text())
    print(f"\n{arguments.out / 'results.md'}; results.json beside it")
    return 0


def _refuse_options_of_trials(arguments: argparse.Namespace) -> None:
    """InputError for options that say nothing of conversations or mixtures."""
    for name, (option, default) in arguments.of_trials.items():
        if getattr(arguments, name) != default:
            raise InputError(f"{option} goes with --manifest; leave it out")
    if arguments.mixtures is not None and arguments.dev is not None:
        raise InputError("--dev goes with --manifest or --conversations; leave it out")
