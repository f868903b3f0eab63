"""What goes into an encoder and what comes out of it, checked: one complaint for all of them, naming the encoder."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from csc_fairseq.data.audio import is_silent
from csc_fairseq.errors import InputError


def require_voices(name: str, waveforms: Sequence[np.ndarray], shortest: int) -> None:
    """InputError for a waveform [T] of fewer than `shortest` samples, or of one number alone: there is no voice to embed."""
    for position, waveform in enumerate(waveforms):
        if len(waveform) < shortest:
            raise InputError(
                f"encoder {name}: recording {position + 1} of {len(waveforms)} has {len(waveform)} samples, expected "
                f"{shortest} at least; leave short recordings out"
            )
        if is_silent(waveform):
            raise InputError(
                f"encoder {name}: recording {position + 1} of {len(waveforms)} is digitally silent, expected a voice; "
                "leave it out, see `csc check`"
            )


def unit_rows(name: str, embeddings: ArrayLike, shape: tuple[int | None, ...]) -> np.ndarray:
    """Embeddings scaled to unit norm along the last axis, float32.

    Args:
        name: of the encoder.
        embeddings: what it gave.
        shape: what was expected, None for sizes that are the encoder's own.

    Raises:
        InputError: another shape, no numbers at all, NaN or infinite ones, or zeros alone, which have no direction.
    """
    try:
        rows = np.asarray(embeddings, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"encoder {name}: gave a {type(embeddings).__name__} that is no array of numbers ({error})"
        ) from error
    fits = len(rows.shape) == len(shape) and all(
        size is None or size == found for size, found in zip(shape, rows.shape, strict=True)
    )
    if not fits:
        expected = ", ".join("any" if size is None else str(size) for size in shape)
        raise InputError(f"encoder {name}: gave embeddings of shape {list(rows.shape)}, expected [{expected}]")
    with np.errstate(over="ignore"):  # norms beyond float64 are reported below
        norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    faulty = (~np.isfinite(norms) | (norms == 0)).reshape(len(rows), -1).any(axis=1)
    if faulty.any():
        raise InputError(
            f"encoder {name}: gave NaN, infinite or all-zero embeddings for {int(faulty.sum())} of {len(rows)} "
            f"recordings, the first is number {int(np.argmax(faulty)) + 1}; check its weights, or leave it out"
        )
    return (rows / norms).astype(np.float32)
