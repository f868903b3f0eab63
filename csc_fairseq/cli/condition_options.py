"""Options of what recordings go through, and what they are degraded with."""

import argparse
from pathlib import Path

from csc_fairseq.errors import InputError


def add_condition_arguments(parser: argparse.ArgumentParser) -> None:
    """--conditions, --noise and --rir."""
    parser.add_argument(
        "--conditions",
        type=Path,
        metavar="YAML",
        help="what test recordings go through (default: the standard grid, as far as possible)",
    )
    parser.add_argument(
        "--noise",
        nargs="+",
        action="extend",
        default=[],
        metavar="KIND=TSV",
        help="noise recordings: stationary=TSV, other=TSV",
    )
    parser.add_argument("--rir", type=Path, metavar="TSV", help="room responses")


def noise_manifests(texts: list[str]) -> dict[str, Path]:
    """Manifests by kind, from --noise. InputError for another form, or a kind that is given twice."""
    noises = {}
    for text in texts:
        kind, _, path = text.partition("=")
        if not path or kind in noises:
            raise InputError(f"--noise {text}: expected KIND=FILE.tsv, stationary or other, each once")
        noises[kind] = Path(path)
    return noises
