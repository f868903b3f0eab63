"""One voice drawn out of a recording in which others talk, too."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from csc_fairseq.data.audio import is_silent
from csc_fairseq.inference.embedding_model import EmbeddingModel
from csc_fairseq.inference.recordings import read_recordings


@dataclass(frozen=True)
class Extracted:
    """The talker of a recording who is most like a voice.

    samples: float32 [T], what the talker says, at the model's rate and the recording's level. cosine: in [-1, 1], of the voices.
    heard: seconds that the talker was compared by, the whole recording.
    """

    samples: np.ndarray
    cosine: float
    heard: float


def extract_voice(
    model: EmbeddingModel, file: str | Path, voice: np.ndarray, resample: bool = False
) -> Extracted | None:
    """The talker who is most like the voice, however little; None if no voice is found.

    A recording of up to 12 s is heard at once, as `EmbeddingModel.separate` does. In a longer one the talkers are found first.

    Args:
        voice: [E], unit norm.
        resample: see `EmbeddingModel`.

    Raises:
        InputError: a faulty recording, or a model that does not separate.
    """
    model.require_separation()
    read = read_recordings(file, None, model_rate=model.sample_rate, shortest=model.shortest, resample=resample)
    (samples,) = read.waveforms
    heard = len(samples) / model.sample_rate
    if is_silent(samples):
        return None
    if model.hears_at_once(len(samples)):
        ((_, voices),) = model.analyse([samples])
        cosines = voices.queries.cpu() @ torch.from_numpy(voice)
        best = int(cosines.argmax())
        return Extracted(voices.estimates[best].cpu().numpy(), float(cosines[best].clamp(-1, 1)), heard)
    found = model.conversation(samples, waveforms=True)
    if not len(found.talkers.centres):
        return None
    alike = np.clip(found.talkers.centres @ voice, -1, 1)
    talker = int(alike.argmax())
    return Extracted(found.waveform(talker), float(alike[talker]), heard)
