"""`csc cluster`: pseudo-speakers for recordings that nobody has labelled, beside their manifest."""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from csc_fairseq.cli import numbers
from csc_fairseq.cli.faults import settle
from csc_fairseq.cli.model_options import add_model_arguments, add_resample_argument, load_model
from csc_fairseq.errors import InputError

if TYPE_CHECKING:
    import numpy as np

SUMMARY = "group the recordings of manifests by voice, for a training with task.identity=cluster"
EXAMPLE = "csc cluster manifests/train.tsv manifests/valid.tsv --model checkpoint_best.pt"
FEWEST = 8  # recordings
CEPSTRA = "mfcc"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this verb."""
    parser.add_argument(
        "manifests",
        nargs="+",
        type=Path,
        metavar="X.tsv",
        help="manifests, clustered together; X.cluster is written beside each",
    )
    add_model_arguments(parser, f"; or {CEPSTRA}: mean and deviation of cepstra, which nobody has to train")
    number = parser.add_mutually_exclusive_group()
    number.add_argument(
        "--clusters",
        type=int,
        metavar="K",
        help="their number (default: the one at which two halves of the recordings agree most)",
    )
    number.add_argument(
        "--per-cluster", type=float, metavar="R", help="their number is that of the recordings divided by R, up to 8000"
    )
    parser.add_argument("--seed", type=numbers.seed, default=0, help="of the clustering (default: %(default)s)")
    parser.add_argument("--force", action="store_true", help="replace .cluster files that are there")
    add_resample_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Writes the .cluster files, and prints sizes and, where there are .spk files, purity and NMI, which nothing depends on."""
    import numpy as np

    from csc_fairseq.corpora.clustering import (
        MOST_CENTROIDS,
        RECORDINGS_PER_CENTROID,
        balanced,
        cluster,
        normalised_information,
        purity,
    )
    from csc_fairseq.data.manifest import label_path, read_labels, read_manifest, write_labels
    from csc_fairseq.inference.many_recordings import embed_files

    manifests = [read_manifest(path) for path in arguments.manifests]
    outputs = [label_path(manifest, "cluster") for manifest in manifests]
    for path in outputs:
        if path.exists() and not arguments.force:
            raise InputError(f"{path}: is there already; move it away, or replace it with --force")
    files = [manifest.file(i) for manifest in manifests for i in range(len(manifest))]
    if len(files) < FEWEST:
        raise InputError(
            f"{manifests[0].path}: {len(files)} recordings in all, expected at least {FEWEST}; add recordings"
        )
    most = min(len(files) // RECORDINGS_PER_CENTROID, MOST_CENTROIDS)
    count = arguments.clusters
    if count is not None and not 2 <= count <= most:
        raise InputError(f"--clusters {count}: expected 2 to {most} for {len(files)} recordings")
    if arguments.per_cluster is not None:
        if not RECORDINGS_PER_CENTROID <= arguments.per_cluster <= len(files) / 2:
            raise InputError(
                f"--per-cluster {arguments.per_cluster:g}: expected {RECORDINGS_PER_CENTROID} to {len(files) / 2:g} for "
                f"{len(files)} recordings"
            )
        count = min(round(len(files) / arguments.per_cluster), most)
    known = all(label_path(manifest, "spk").is_file() for manifest in manifests)
    speakers = [label for manifest in manifests for label in read_labels(manifest, "spk")] if known else []
    if arguments.model == CEPSTRA:
        embeddings = balanced(_cepstra(files, arguments.resample))
    else:
        embeddings, faults = embed_files(load_model(arguments), files, resample=arguments.resample)
        settle(list(faults.values()), len(files), None, "`csc prepare --skip-bad` leaves such out")
    found = cluster(embeddings, count, arguments.seed)
    for count, stability in found.tried:
        print(f"{count:>8} clusters: two halves agree by {stability:.3f} nats")
    sizes = np.bincount(found.labels)
    print(
        f"{found.count} clusters of {len(files)} recordings: largest {sizes[0]}, median {np.median(sizes):g}, "
        f"{int((sizes == 1).sum())} with one recording"
    )
    if known:
        print(
            f"against {len(set(speakers))} speakers of .spk: purity {purity(found.labels, speakers):.3f}, "
            f"NMI {normalised_information(found.labels, speakers):.3f}"
        )
    first = 0
    for manifest, path in zip(manifests, outputs, strict=True):
        write_labels(path, [f"c{label}" for label in found.labels[first : first + len(manifest)].tolist()])
        first += len(manifest)
        print(path)
    return 0


def _cepstra(files: Sequence[Path], resample: bool) -> "np.ndarray":
    """Statistics [n, 48] of the files' cepstra."""
    import numpy as np

    from csc_fairseq.data.parallel import parallel_map

    return np.stack(list(parallel_map(partial(_cepstra_of, resample=resample), files, jobs=8, progress="cepstra")))


def _cepstra_of(path: Path, resample: bool) -> "np.ndarray":
    from csc_fairseq.inference.recordings import read_recordings
    from csc_fairseq.modules.mel import SAMPLE_RATE
    from csc_fairseq.verification.encoders.mfcc import WINDOW, embedding

    recording = read_recordings(path, None, model_rate=SAMPLE_RATE, shortest=WINDOW, resample=resample)
    recording.require_sound()
    return embedding(recording.waveforms[0].numpy())
