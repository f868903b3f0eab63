"""`csc export`: a checkpoint to pass on."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from csc_fairseq.errors import InputError

if TYPE_CHECKING:
    from csc_fairseq.inference.embedding_model import EmbeddingModel

SUMMARY = "turn a training checkpoint into a small file for inference"
EXAMPLE = """\
csc export checkpoint_best.pt --format bundle --out csc.pt
csc export csc.pt --calibration csc.calibration.json --out csc_calibrated.pt
csc export checkpoint_1_4500.pt checkpoint_1_5000.pt --average --out csc.pt"""
FORMATS = ("bundle",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this verb."""
    parser.add_argument(
        "checkpoints", nargs="+", metavar="checkpoint", help="checkpoint of fairseq-hydra-train; several with --average"
    )
    parser.add_argument("--average", action="store_true", help="write the mean of the checkpoints' weights")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="bundle",
        help="bundle: sizes and weights, no optimiser, table or paths (default)",
    )
    parser.add_argument(
        "--calibration",
        metavar="JSON",
        help="of `csc calibrate`, for this model: verbs that decide find it in the bundle",
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="file to write")


def run(arguments: argparse.Namespace) -> int:
    """Writes the bundle and says how large it is."""
    from csc_fairseq.inference.averaging import average
    from csc_fairseq.inference.loading import load_model, save_bundle

    given = arguments.checkpoints
    if Path(arguments.out).resolve() in [Path(checkpoint).resolve() for checkpoint in given]:
        raise InputError(f"{arguments.out}: is a checkpoint that was given, which would be lost; choose another name")
    if (len(given) > 1) != arguments.average:
        raise InputError(
            f"{len(given)} checkpoints; give one, or several with --average"
            if len(given) > 1
            else "--average needs several checkpoints"
        )
    models = [load_model(checkpoint) for checkpoint in given]
    model = average(models, given) if arguments.average else models[0]
    if arguments.calibration is not None:
        model.calibration = _calibration_of(model, arguments)
    save_bundle(model, arguments.out)
    before, after = (Path(path).stat().st_size / 1e6 for path in (given[-1], arguments.out))
    print(f"{arguments.out}: {after:.1f} MB, the checkpoint has {before:.1f} MB")
    return 0


def _calibration_of(model: "EmbeddingModel", arguments: argparse.Namespace) -> str:
    """The text of --calibration. InputError if it is another model's."""
    from csc_fairseq.decisions.calibration_file import calibration_text, read_calibration
    from csc_fairseq.decisions.model_identity import ModelIdentity

    return calibration_text(read_calibration(arguments.calibration, ModelIdentity.of(model, arguments.checkpoints[-1])))
