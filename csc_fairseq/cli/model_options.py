"""Options that all verbs with a model share."""

import argparse
from typing import TYPE_CHECKING

from csc_fairseq.cli import numbers
from csc_fairseq.inference.durations import LONG

if TYPE_CHECKING:
    from csc_fairseq.inference.embedding_model import EmbeddingModel


def add_model_arguments(parser: argparse.ArgumentParser, others: str = "") -> None:
    """--model and --device. others: what else --model may name, for the help."""
    parser.add_argument(
        "--model",
        required=True,
        metavar="CKPT",
        help=f"a checkpoint of csc, a fine-tuned verifier, wav2vec 2.0 or HuBERT, or a bundle{others}",
    )
    parser.add_argument("--device", default="cpu", help="where the model runs, e.g. cuda (default: %(default)s)")


def add_resample_argument(parser: argparse.ArgumentParser) -> None:
    """--resample."""
    parser.add_argument(
        "--resample", action="store_true", help="convert recordings of another rate instead of refusing them"
    )


def add_talker_arguments(
    parser: argparse.ArgumentParser,
    where: str = f" in recordings over {LONG:g} s; shorter ones have the streams that the model was trained with",
) -> None:
    """--talkers or --most, whole numbers from 1; None without them. where: of which recordings, for the help."""
    counts = parser.add_mutually_exclusive_group()
    counts.add_argument(
        "--talkers",
        type=numbers.count,
        metavar="N",
        help=f"how many people talk{where} (default: as many as are found)",
    )
    counts.add_argument("--most", type=numbers.count, metavar="N", help=f"how many people talk at most{where}")


def require_device(device: str) -> None:
    """InputError for a device that is not there."""
    import torch

    from csc_fairseq.errors import InputError

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts, an unknown device is a RuntimeError
        reason = str(error).splitlines()[0]
        raise InputError(f"--device {device}: cannot be used ({reason}); use cpu") from error


def load_model(arguments: argparse.Namespace) -> "EmbeddingModel":
    """The model that --model and --device name. InputError for a device that is not there."""
    from csc_fairseq.inference.loading import load_model

    require_device(arguments.device)
    return load_model(arguments.model, arguments.device)
