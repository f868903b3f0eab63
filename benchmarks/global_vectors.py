"""Does a step cost more when there are more identities? Views against a table, for a thousand and a million recordings.

Usage: python benchmarks/global_vectors.py [--steps 12]

Every recording is an identity. Each line is a process of its own: csc_debug's sizes, the criterion and Adam as in training, on
mixtures drawn from a manifest of that many recordings, whose audio is noise made on the spot. CPU seconds are of one thread and of
the quickest step; memory is what the process holds after the steps beyond what it held with manifest and pool (Linux).
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

RECORDINGS = (1_000, 1_000_000)
KINDS = ("views", "table")
FRAMES = 32000


def main() -> None:
    """Runs every combination in turn and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12, help="updates that are timed (default: %(default)s)")
    parser.add_argument("--one", nargs=2, metavar=("KIND", "N"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        measure(arguments.one[0], int(arguments.one[1]), arguments.steps)
        return
    print("| global vectors | recordings | CPU s a step | memory of the steps, MB |\n|---|---|---|---|", flush=True)
    for kind in KINDS:
        for count in RECORDINGS:
            subprocess.run(
                [sys.executable, __file__, "--steps", str(arguments.steps), "--one", kind, str(count)], check=True
            )


def measure(kind: str, count: int, steps: int) -> None:
    """Prints one line of the table."""
    import torch

    from csc_fairseq.criterions.csc import CscCriterion
    from csc_fairseq.data.manifest import Manifest
    from csc_fairseq.data.mixing_plans import MixingOptions
    from csc_fairseq.data.mixture_dataset import MixtureDataset
    from csc_fairseq.data.pool import RecordingPool
    from csc_fairseq.models.csc import CscConfig, CscModel

    class Noise(RecordingPool):
        def crop(self, recording: int, start: int, frames: int) -> np.ndarray:
            return np.random.default_rng(recording).standard_normal(frames, dtype=np.float32)

    torch.set_num_threads(1)
    torch.manual_seed(0)
    names = tuple(f"{number:07}.wav" for number in range(count))
    manifest = Manifest(Path("noise.tsv"), Path("/noise"), names, np.full(count, 2 * FRAMES, dtype=np.int64))
    pool = Noise(manifest, names, {name: row for row, name in enumerate(names)}, 16000)
    dataset = MixtureDataset(pool, MixingOptions(view_frames=FRAMES // 2), 1, "train")
    before = resident()
    sizes: dict[str, Any] = dict(
        sources=2, waveform_channels=64, channels=32, segment_summaries=4, recurrent_channels=32, attention_heads=2
    )
    sizes |= dict(shared_blocks=1, stream_channels=64, embedding_channels=64, memory="none")
    model = CscModel(CscConfig(**sizes, global_vectors=kind), names)
    criterion = CscCriterion(SimpleNamespace(), contrastive_weight=3.0, contrastive_warmup=0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    seconds = []
    for step in range(steps + 1):
        batch = dataset.collater([dataset[8 * step + item] for item in range(8)])
        started = time.process_time()
        optimizer.zero_grad()
        criterion(model, batch)[0].backward()
        optimizer.step()
        model.commit()
        seconds.append(time.process_time() - started)
    print(f"| {kind} | {count} | {min(seconds[1:]):.2f} | {(resident() - before) / 2**20:.0f} |", flush=True)


def resident() -> int:
    """Memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main()
