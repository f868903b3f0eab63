"""Recordings of one length side by side, so that nothing is padded."""

from collections.abc import Iterator, Sequence

BATCH_SECONDS = 32  # of audio at once; the first layer of wav2vec 2.0 takes some 20 MB a second


def equal_batches(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Positions of equal length, together at most `most` unless alone; shortest first."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if batch and (lengths[i] != lengths[batch[0]] or (len(batch) + 1) * lengths[i] > most):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
