"""Are packed recordings read as fast as loose ones? Mixtures, crops of two seconds, and whole recordings by stock fairseq.

Usage: python benchmarks/packed_audio.py [--recordings 2000] [--reads 3000]

Writes recordings of 5 to 15 seconds, FLAC at 16 kHz, to a temporary folder, and packs them. Loose and packed are read in turn, five
times; the figures are of the quickest turn, per second of one processor, with everything in the page cache. On Linux, the
administrator also gets crops from the disk, per second of time, since the cache can be emptied before each turn.
"""

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

if TYPE_CHECKING:
    from csc_fairseq.data.pool import Recordings

RATE = 16000
TURNS = 5
CACHES = Path("/proc/sys/vm/drop_caches")


def main() -> None:
    """Prints reads per second, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=int, default=2000, help="default: %(default)s")
    parser.add_argument("--reads", type=int, default=3000, help="in a turn (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        manifests = write(Path(folder), arguments.recordings)
        print("| reader | loose, reads/s | packed, reads/s | packed : loose |\n|---|---|---|---|")
        for name, reader in (
            ("items of csc_debug", items),
            ("crops of 2 s", crops),
            ("crops of 2 s, from disk", from_disk),
            ("stock fairseq, whole recordings", stock),
        ):
            if reader is from_disk and not os.access(CACHES, os.W_OK):
                continue
            loose, packed = (quickest(reads) for reads in zip(*turns(reader, manifests, arguments.reads), strict=True))
            print(f"| {name} | {loose:.0f} | {packed:.0f} | {packed / loose:.2f} |", flush=True)


def write(folder: Path, count: int) -> list[Path]:
    """The manifests of loose and packed recordings."""
    from csc_fairseq.corpora.packing import pack
    from csc_fairseq.corpora.packing_plans import plan
    from csc_fairseq.data.manifest import read_manifest, write_manifest

    rng = np.random.default_rng(0)
    noise = (0.05 * rng.standard_normal(20 * RATE)).astype(np.float32)
    entries = []
    for number in range(count):
        frames = int(rng.integers(5 * RATE, 15 * RATE))
        name = f"{number % 50:02}/{number:05}.flac"
        (folder / "loose" / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / "loose" / name, noise[number : number + frames], RATE)
        entries.append((name, frames))
    write_manifest(folder / "train.tsv", folder / "loose", entries)
    pack(plan(read_manifest(folder / "train.tsv"), folder / "packed", 2**30))
    return [folder / "train.tsv", folder / "packed" / "train.tsv"]


def turns(reader: Callable[[Path, int], float], manifests: list[Path], reads: int) -> list[list[float]]:
    """Reads per second of both manifests, in every turn."""
    return [[reads / reader(path, reads) for path in manifests] for _ in range(TURNS)]


def quickest(reads: tuple[float, ...]) -> float:
    """What others on this machine disturbed least."""
    return max(reads)


def items(path: Path, reads: int) -> float:
    """Seconds for items of the training set, each two mixtures of two seconds."""
    from csc_fairseq.data.manifest import identity_labels, read_manifest
    from csc_fairseq.data.mixing_plans import MixingOptions
    from csc_fairseq.data.mixture_dataset import MixtureDataset
    from csc_fairseq.data.pool import RecordingPool

    manifest = read_manifest(path)
    pool = RecordingPool(manifest, identity_labels(manifest, "session"), {}, RATE, cache_megabytes=0)
    dataset = MixtureDataset(pool, MixingOptions(), 1, "train")
    began = time.process_time()
    for i in range(reads):
        dataset[i % len(dataset)]
    return time.process_time() - began


def crops(path: Path, reads: int) -> float:
    """Seconds for random crops, as training reads them."""
    from csc_fairseq.data.manifest import read_manifest
    from csc_fairseq.data.pool import Recordings

    recordings = Recordings(read_manifest(path), RATE, cache_megabytes=0)
    drawn = np.random.default_rng(1).integers(len(recordings), size=reads)
    return read_crops(recordings, drawn, time.process_time)


def from_disk(path: Path, reads: int) -> float:
    """The same with an empty page cache and by the clock, as if no recording came twice."""
    from csc_fairseq.data.manifest import read_manifest
    from csc_fairseq.data.pool import Recordings

    recordings = Recordings(read_manifest(path), RATE, cache_megabytes=0)
    drawn = np.random.default_rng(1).permutation(len(recordings))[: min(reads, len(recordings) // 2)]
    os.sync()
    CACHES.write_text("3")
    return read_crops(recordings, drawn, time.perf_counter) * reads / len(drawn)


def read_crops(recordings: "Recordings", drawn: np.ndarray, clock: Callable[[], float]) -> float:
    """Seconds for a random crop of each recording that was drawn."""
    rng = np.random.default_rng(2)
    starts = [int(rng.integers(recordings.frames[i] - 2 * RATE)) for i in drawn]
    began = clock()
    for i, start in zip(drawn.tolist(), starts, strict=True):
        recordings.crop(i, start, 2 * RATE)
    return clock() - began


def stock(path: Path, reads: int) -> float:
    """Seconds for random recordings by fairseq's dataset."""
    from fairseq.data import FileAudioDataset

    logging.disable(logging.INFO)
    dataset = FileAudioDataset(str(path), sample_rate=RATE)
    drawn = np.random.default_rng(1).integers(len(dataset), size=reads).tolist()
    began = time.process_time()
    for i in drawn:
        dataset[i]
    return time.process_time() - began


if __name__ == "__main__":
    main()
