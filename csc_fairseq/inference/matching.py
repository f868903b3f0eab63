"""Is a voice in a recording, and where?"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from csc_fairseq.inference.embedding_model import EmbeddingModel


class Match(NamedTuple):
    """How alike a voice is to the most similar talker of a recording.

    cosine: in [-1, 1]. seconds: where the window begins in which it was found; None for a recording that was heard as a whole.
    """

    cosine: float
    seconds: float | None


def best_match(model: "EmbeddingModel", voice: Tensor, recording: Tensor) -> Match:
    """Compares the voice of one recording [T] with all talkers of another [T], both at the model's rate and with sound.

    A long recording is compared window by window, in the streams that hold somebody; in all, where none does.
    """
    enrolled = model.embed(voice)
    if len(recording) <= model.longest:
        talkers = model.embed_sources(recording)
        return Match(float((talkers.to(enrolled) @ enrolled).max().clamp(-1, 1)), None)
    from csc_fairseq.inference.talkers import active_streams  # imports scipy, which takes a second

    windows = model.windows(recording)
    held = active_streams(windows)
    cosines = np.where(held | ~held.any(), windows.queries @ enrolled.cpu().numpy(), -np.inf).max(axis=1)
    best = int(cosines.argmax())
    return Match(float(np.clip(cosines[best], -1, 1)), float(windows.starts[best] / model.sample_rate))
