"""What should mean nothing: does the error rate change when test recordings are turned over, amplified, offset or shifted?

Usage: python benchmarks/invariances.py CHECKPOINT TEST.tsv

All pairs of the recordings of TEST.tsv (with TEST.spk), clean; the enrolled recording as it is, the test recording changed; the
most similar stream counts. Each line is the equal error rate in %, and the difference to that of unchanged recordings in points.
"""

import argparse
from collections.abc import Callable

import numpy as np

import csc_fairseq
from csc_fairseq.data.audio import load_crop
from csc_fairseq.data.manifest import read_labels, read_manifest
from csc_fairseq.verification.metrics.error_rates import eer

LATE = 37  # samples, less than a hop and not a divisor of one
CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda samples: samples,
    "turned over": lambda samples: -samples,
    "30 dB fainter": lambda samples: samples * np.float32(10 ** (-30 / 20)),
    "an offset of 0.05": lambda samples: samples + np.float32(0.05),
    f"{LATE} samples cut off": lambda samples: samples[LATE:],
}


def main() -> None:
    """Prints a line for each change."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("manifest")
    arguments = parser.parse_args()
    model = csc_fairseq.load_model(arguments.checkpoint)
    manifest = read_manifest(arguments.manifest)
    recordings = [load_crop(manifest.file(i), 0, -1, model.sample_rate) for i in range(len(manifest))]
    speakers = np.array(read_labels(manifest, "spk"))
    same = speakers[:, None] == speakers
    others = ~np.eye(len(speakers), dtype=bool)
    enrolled = model.embed(recordings)
    unchanged = None
    for name, change in CHANGES.items():
        streams = model.embed_sources([change(recording) for recording in recordings])  # (N, C, E)
        scores = np.einsum("ie,jce->ijc", enrolled, streams).max(2)
        rate = 100 * eer(scores[same & others], scores[~same])
        unchanged = rate if unchanged is None else unchanged
        print(f"{name:24} {rate:6.2f} {rate - unchanged:+6.2f}", flush=True)


if __name__ == "__main__":
    main()
