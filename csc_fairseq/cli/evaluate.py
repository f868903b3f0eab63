"""`csc evaluate`: error rates and separation on speakers that were not trained on."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from csc_fairseq.cli.model_options import add_model_arguments, load_model

if TYPE_CHECKING:
    from csc_fairseq.verification.interference import ConditionResult

SUMMARY = "measure speaker verification, clean and while another talker speaks"
EXAMPLE = "csc evaluate --model checkpoint_best.pt --manifest test.tsv --sir 5 0 -5 --out results.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this verb."""
    add_model_arguments(parser)
    parser.add_argument(
        "--manifest", required=True, metavar="TSV", help="recordings of unseen speakers, with their .spk file"
    )
    parser.add_argument(
        "--sir",
        nargs="*",
        type=float,
        default=[0.0],
        metavar="DB",
        help="level of the test speaker over another talker (default: 0)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of interferers, crops and bootstrap (default: %(default)s)"
    )
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="recordings are cut to this length (default: %(default)s)"
    )
    parser.add_argument("--replicates", type=int, default=1000, help="bootstrap replicates (default: %(default)s)")
    parser.add_argument("--out", metavar="JSON", help="also write the results to this file")


def run(arguments: argparse.Namespace) -> int:
    """Prints a table, one row per condition; writes the same figures with all settings to --out."""
    from csc_fairseq.data.manifest import read_labels, read_manifest
    from csc_fairseq.verification.interference import evaluate

    manifest = read_manifest(arguments.manifest)
    speakers = read_labels(manifest, "spk")
    model = load_model(arguments)
    results = evaluate(
        model,
        manifest,
        speakers,
        sirs=arguments.sir,
        seed=arguments.seed,
        longest_seconds=arguments.seconds,
        replicates=arguments.replicates,
        progress="evaluate",
    )
    facts = f"{len(manifest)} recordings of {len(set(speakers))} speakers"
    print(f"{facts}; trained on {model.identity_level} identities; seed {arguments.seed}")
    print(table(results))
    if arguments.out:
        settings = {
            "model": str(Path(arguments.model).resolve()),
            "identity_level": model.identity_level,
            "manifest": str(manifest.path),
            "recordings": len(manifest),
            "speakers": len(set(speakers)),
            "seed": arguments.seed,
            "longest_seconds": arguments.seconds,
            "replicates": arguments.replicates,
        }
        out = Path(arguments.out)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps({**settings, "conditions": [asdict(result) for result in results]}, indent=2) + "\n")
    return 0


def table(results: "list[ConditionResult]") -> str:
    """Results as aligned text: EER in % with its 95 % interval, SI-SNR improvement in dB, number of trials."""
    lines = [
        f"{'condition':16}{'EER %':>7}  {'95 % interval':>15}  {'SI-SNRi dB':>10}  {'targets':>8}{'non-targets':>13}"
    ]
    for result in results:
        name = result.condition if result.sir_db is None else f"{result.condition} {result.sir_db:g} dB"
        interval = f"{100 * result.eer_low:.1f} to {100 * result.eer_high:.1f}"
        improvement = "–" if result.si_snri_db is None else f"{result.si_snri_db:.1f}"
        lines.append(
            f"{name:16}{100 * result.eer:7.1f}  {interval:>15}  {improvement:>10}"
            f"  {result.targets:8}{result.nontargets:13}"
        )
    return "\n".join(lines)
