"""`csc content`: does an encoder keep the words?"""

import argparse
from pathlib import Path

from csc_fairseq.cli.model_options import add_resample_argument, require_device
from csc_fairseq.errors import InputError

SUMMARY = "count the letters that a CTC probe reads wrongly from an encoder's frames"
EXAMPLE = """\
csc prepare transcripts manifests/train.tsv manifests/valid.tsv manifests/test.tsv
fairseq-hydra-train --config-name ctc_probe task.data=manifests model.pretrained=checkpoint_best.pt
csc content --model runs/ctc_probe/checkpoints/checkpoint_best.pt --manifest manifests/test.tsv --out content.json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this verb."""
    parser.add_argument("--model", required=True, metavar="CKPT", help="checkpoint of a ctc_probe training")
    parser.add_argument(
        "--manifest", required=True, metavar="X.tsv", help="recordings; X.ltr beside it holds their transcripts"
    )
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="FILE.json",
        help="file to write: the rate, its interval, every recording",
    )
    parser.add_argument("--device", default="cpu", help="where the model runs, e.g. cuda (default: %(default)s)")
    add_resample_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the character error rate in one line; writes it with all recordings to --out."""
    import json

    from tqdm import tqdm

    from csc_fairseq.data.manifest import read_manifest, write_lines
    from csc_fairseq.verification.evaluation.content import content_report, load_reader, transcribe

    if arguments.out.suffix != ".json":
        raise InputError(f"{arguments.out}: expected a name that ends in .json")
    manifest = read_manifest(arguments.manifest)
    require_device(arguments.device)
    reader = load_reader(arguments.model, arguments.device)
    readings = transcribe(reader, manifest, arguments.resample)
    bar = tqdm(readings, total=len(manifest), desc="read", unit="file", leave=False, disable=None)
    report = content_report(list(bar))
    facts = {"model": str(Path(arguments.model).absolute()), "manifest": str(manifest.path)}
    write_lines(arguments.out, [json.dumps(facts | report.as_json(), indent=1, ensure_ascii=False)])
    print(report.line())
    return 0
