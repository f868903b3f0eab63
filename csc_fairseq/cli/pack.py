"""`csc pack`: the recordings of manifests in a few large archives, which stock fairseq reads, too."""

import argparse
import re
from pathlib import Path

from csc_fairseq.errors import InputError

SUMMARY = "pack the recordings of manifests into a few archives, with manifests of their slices"
EXAMPLE = "csc pack manifests/train.tsv manifests/valid.tsv --out packed"

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this verb."""
    parser.add_argument("manifests", nargs="+", type=Path, metavar="MANIFEST.tsv", help="recordings, with their labels")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of the archives, new manifests and label files"
    )
    parser.add_argument(
        "--shard-size",
        default="1G",
        metavar="BYTES",
        help="of an archive at most, with K, M or G (default: %(default)s)",
    )
    parser.add_argument("--jobs", type=int, default=4, help="threads that look at files (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Packs one manifest after the other, and prints a line for each."""
    from csc_fairseq.corpora.packing import pack
    from csc_fairseq.corpora.packing_plans import plan
    from csc_fairseq.data.manifest import read_manifest

    size = _bytes(arguments.shard_size)
    names = [path.name for path in arguments.manifests]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"{twice}: two manifests have this name, and would be one in {arguments.out}; rename one")
    # All are looked at before the first one is packed.
    packings = [plan(read_manifest(path), arguments.out, size, arguments.jobs) for path in arguments.manifests]
    for packing in packings:
        labels = pack(packing)
        archives = f"{packing.archives} archive{'s' if packing.archives > 1 else ''}"
        megabytes = packing.sizes.sum() / 1e6
        count = f"{len(packing.manifest)} recordings"
        if packing.mixtures is not None:
            count = f"{len(packing.manifest)} mixtures and {len(packing.names) - len(packing.manifest)} sources"
        beside = f", with {' '.join(path.suffix for path in labels)}" if labels else ""
        print(f"{packing.target}: {count} in {archives}, {megabytes:.1f} MB{beside}")
    return 0


def _bytes(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,12})([KMG]?)", text.upper())
    if found is None or int(found[1]) == 0:
        raise InputError(f"--shard-size {text}: expected a number of bytes of at least 1, such as 500M or 1G")
    return int(found[1]) * _UNITS[found[2]]
