"""What do manifests of millions of lines cost? Time and memory of reading, and of a training set with two workers.

Usage: python benchmarks/manifest_scale.py [--lines 10000000] [--speakers 100000]

Writes a manifest with speakers and domains to a temporary folder; there is no audio. Each measurement is a process of its own.
Peak: the most memory that it held, with Python and what it imports. A worker's own: memory that it shares with nobody (USS), after
it has drawn the mixtures of 200 items (Linux).
"""

import argparse
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

WORKERS, ITEMS = 2, 200


def main() -> None:
    """Writes the manifest, and measures in processes of their own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=10_000_000, help="default: %(default)s")
    parser.add_argument("--speakers", type=int, default=100_000, help="default: %(default)s")
    parser.add_argument("--one", nargs=2, metavar=("WHAT", "MANIFEST"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        what, manifest = arguments.one
        began = time.perf_counter()
        found = MEASURED[what](Path(manifest))
        seconds, peak = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"| {what} | {seconds:.1f} | {peak:.2f} | {found} |", flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), arguments.lines, arguments.speakers)
        print(f"{arguments.lines} lines, {arguments.speakers} speakers, {path.stat().st_size / 1e6:.0f} MB", flush=True)
        print("| | seconds | peak, GB | |\n|---|---|---|---|", flush=True)
        for what in MEASURED:
            subprocess.run([sys.executable, __file__, "--one", what, str(path)], check=True)


def write(folder: Path, lines: int, speakers: int) -> Path:
    """A manifest in the form of LibriSpeech's, sorted, with .spk and .domain."""
    path, each = folder / "train.tsv", -(-lines // speakers)
    rng = np.random.default_rng(0)
    with open(path, "w") as tsv, open(folder / "train.spk", "w") as spk, open(folder / "train.domain", "w") as domain:
        tsv.write(f"{folder}\n")
        for speaker in range(speakers):
            count = min(each, lines - speaker * each)
            name, corpus = f"{speaker:06}", f"corpus{speaker % 10}"
            frames = rng.integers(2 * 16000, 16 * 16000, max(count, 0)).tolist()
            tsv.writelines(
                f"{corpus}/{name}/{i // 20:04}/{name}-{i // 20:04}-{i % 20:04}.flac\t{frames[i]}\n"
                for i in range(count)
            )
            spk.write(f"{corpus}/{name}\n" * count)
            domain.write(f"{corpus}\n" * count)
    return path


def read(path: Path) -> str:
    """Manifest, speakers and domains."""
    from csc_fairseq.data.manifest import read_labels, read_manifest

    manifest = read_manifest(path)
    speakers, domains = read_labels(manifest, "spk"), read_labels(manifest, "domain")
    return f"{len(manifest)} recordings, {len(speakers.values)} speakers, {len(domains.values)} domains"


def dataset(path: Path) -> str:
    """The training set of csc_pretraining, and two forks of it that draw mixtures."""
    from csc_fairseq.data.identities import identity_table
    from csc_fairseq.data.manifest import identity_labels, read_manifest
    from csc_fairseq.data.mixing_plans import MixingOptions
    from csc_fairseq.data.mixture_dataset import MixtureDataset
    from csc_fairseq.data.pool import RecordingPool

    manifest = read_manifest(path)
    labels = identity_labels(manifest, "speaker")
    table = {name: row for row, name in enumerate(identity_table(labels))}
    data = MixtureDataset(RecordingPool(manifest, labels, table, 16000), MixingOptions(), 1, "train")

    def work(worker: int, answers: multiprocessing.SimpleQueue) -> None:
        for item in range(worker, WORKERS * ITEMS, WORKERS):
            plans = data.plans(item * (len(data) // (WORKERS * ITEMS)))
            _ = [data.pool.path(source.recording) for plan in plans for source in plan.sources]
        rollup = Path("/proc/self/smaps_rollup").read_text().splitlines()
        answers.put(sum(int(line.split()[1]) for line in rollup if line.startswith("Private")) / 1e3)

    context = multiprocessing.get_context("fork")  # as PyTorch starts its workers on Linux
    answers = context.SimpleQueue()
    workers = [context.Process(target=work, args=(number, answers)) for number in range(WORKERS)]
    for one in workers:
        one.start()
    own = sorted(answers.get() for _ in workers)
    for one in workers:
        one.join()
    return f"a worker's own: {' and '.join(f'{megabytes:.0f}' for megabytes in own)} MB"


MEASURED = {"read": read, "dataset": dataset}


if __name__ == "__main__":
    main()
