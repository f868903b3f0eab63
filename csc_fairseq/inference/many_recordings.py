"""Embeddings of many recordings, in portions of bounded memory."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from csc_fairseq.data.audio import probe
from csc_fairseq.data.parallel import parallel_map
from csc_fairseq.inference.embedding_model import EmbeddingModel

SECONDS_AT_ONCE = 256  # of audio decoded together


def embed_files(
    model: EmbeddingModel, files: Sequence[Path], sources: bool = False, resample: bool = False
) -> np.ndarray:
    """Embeddings in the order of the files, float32 [N, E]; with `sources`, one per talker, [N, C, E]. Shows progress.

    Errors are those of `EmbeddingModel.embed`.
    """
    embed = model.embed_sources if sources else model.embed
    rows: dict[int, np.ndarray] = {}
    with tqdm(total=len(files), desc="embed", unit="file", leave=False, disable=None) as bar:
        for portion in _portions(files):
            embedded = embed([files[i] for i in portion], resample=resample)
            rows.update(zip(portion, embedded, strict=True))
            bar.update(len(portion))
    return np.stack([rows[i] for i in range(len(files))])


def _portions(files: Sequence[Path]) -> Iterator[list[int]]:
    """Positions of recordings of like length, so that little is padded, in portions of bounded duration."""
    headers = list(parallel_map(probe, files, jobs=8, progress="headers"))
    seconds = [header.frames / header.sample_rate for header in headers]
    portion: list[int] = []
    for i in sorted(range(len(files)), key=lambda i: seconds[i]):
        if portion and sum(seconds[j] for j in portion) + seconds[i] > SECONDS_AT_ONCE:
            yield portion
            portion = []
        portion.append(i)
    yield portion
