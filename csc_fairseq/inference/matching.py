"""Is a voice in a recording, and where?"""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from csc_fairseq.inference.recordings import Audio, read_recordings

if TYPE_CHECKING:
    from csc_fairseq.inference.embedding_model import EmbeddingModel


class Match(NamedTuple):
    """How alike a voice is to the most similar talker of a recording.

    cosine: in [-1, 1]. seconds: where the window begins in which it was found; None for a recording that was heard as a whole.
    """

    cosine: float
    seconds: float | None


def best_match(model: "EmbeddingModel", enrol: Audio, test: Audio, sample_rate: int | None, resample: bool) -> Match:
    """Compares the voice of one recording with all talkers of another; see `EmbeddingModel.score`.

    One that is heard at once is compared in all its streams, whether they hold somebody or not; a longer one window by window,
    in the streams that hold somebody; in all, where none does.
    """
    both = {"enrol": enrol, "test": test}
    files = [isinstance(audio, (str, Path)) for audio in both.values()]
    # One side may be a file and the other an array, whose rate this is.
    sides = [
        read_recordings(
            audio,
            sample_rate if all(files) or not file else None,
            model_rate=model.sample_rate,
            shortest=model.shortest,
            resample=resample,
        )
        for audio, file in zip(both.values(), files, strict=True)
    ]
    for side in sides:
        side.require_sound()
    voice, recording = (side.only(name, "use embed and embed_sources") for side, name in zip(sides, both, strict=True))
    enrolled = model.embed(voice)
    if model.hears_at_once(len(recording)):
        talkers = model.embed_sources(recording)
        return Match(float((talkers.to(enrolled) @ enrolled).max().clamp(-1, 1)), None)
    from csc_fairseq.inference.stream_activity import active_streams  # imports scipy, which takes a second

    windows = model.windows(recording)
    held = active_streams(windows)
    cosines = np.where(held | ~held.any(), windows.queries @ enrolled.cpu().numpy(), -np.inf).max(axis=1)
    best = int(cosines.argmax())
    return Match(float(np.clip(cosines[best], -1, 1)), float(windows.starts[best] / model.sample_rate))
