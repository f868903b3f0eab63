"""`csc export`: a checkpoint to pass on."""

import argparse
from pathlib import Path

from csc_fairseq.errors import InputError

SUMMARY = "turn a training checkpoint into a small file for inference"
EXAMPLE = "csc export checkpoint_best.pt --format bundle --out csc.pt"
FORMATS = ("bundle",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this verb."""
    parser.add_argument("checkpoint", help="checkpoint of fairseq-hydra-train")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="bundle",
        help="bundle: sizes and weights, no optimiser, table or paths (default)",
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="file to write")


def run(arguments: argparse.Namespace) -> int:
    """Writes the bundle and says how large it is."""
    from csc_fairseq.inference.loading import load_model, save_bundle

    if Path(arguments.out).resolve() == Path(arguments.checkpoint).resolve():
        raise InputError(f"{arguments.out}: is the checkpoint itself, which would be lost; choose another name")
    save_bundle(load_model(arguments.checkpoint), arguments.out)
    before, after = (Path(path).stat().st_size / 1e6 for path in (arguments.checkpoint, arguments.out))
    print(f"{arguments.out}: {after:.1f} MB, the checkpoint has {before:.1f} MB")
    return 0
