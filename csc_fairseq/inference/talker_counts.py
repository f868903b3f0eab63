"""Numbers of talkers that a recording cannot have, because it is heard at once."""

from typing import TYPE_CHECKING

from csc_fairseq.errors import InputError
from csc_fairseq.inference.recordings import Recordings

if TYPE_CHECKING:
    from csc_fairseq.inference.embedding_model import EmbeddingModel


def unheeded(model: "EmbeddingModel", samples: int, talkers: int | None, most: int | None) -> str | None:
    """Why a recording of so many samples, at the model's rate, cannot have these numbers of talkers; None if it can.

    talkers, most: see `EmbeddingModel`.
    """
    if not model.hears_at_once(samples):
        return None
    if talkers is not None and talkers != model.streams:
        asked = f"talkers={talkers}"
    elif most is not None and most < model.streams:
        asked = f"most={most}"
    else:
        return None
    return f"has {samples / model.sample_rate:.1f} s and is heard at once, in {model.streams} streams; {asked} changes nothing"


def require_heeded(model: "EmbeddingModel", recordings: Recordings, talkers: int | None, most: int | None) -> None:
    """InputError for numbers of talkers that one of the recordings cannot have."""
    for waveform, name in zip(recordings.waveforms, recordings.names, strict=True):
        why = unheeded(model, len(waveform), talkers, most)
        if why is not None:
            raise InputError(f"{name}: {why}; leave it out, or let `conversation` look for talkers")
