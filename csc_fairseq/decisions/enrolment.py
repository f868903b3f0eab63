"""From recordings of one person to a voice, or to rows of a gallery."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from csc_fairseq.data.audio import is_silent
from csc_fairseq.decisions.gallery import Enrolment, Voice, each_once
from csc_fairseq.digests import file_digest
from csc_fairseq.errors import InputError
from csc_fairseq.inference.embedding_model import EmbeddingModel
from csc_fairseq.inference.recordings import read_recordings

SHORTEST_SECONDS = 0.5  # of a recording: less than a word or two holds no voice (our choice)
ENOUGH_SECONDS = 3.0  # of all recordings of a voice; with less it is worth a warning (our choice)


def enrolment_of(model: EmbeddingModel, file: str | Path, resample: bool = False) -> Enrolment:
    """The embedding of the loudest voice of a recording, as of `EmbeddingModel.embed`.

    resample: see `EmbeddingModel`. InputError: what `EmbeddingModel.embed` refuses; a recording below SHORTEST_SECONDS, or one
    without sound, with its length.
    """
    read = read_recordings(file, None, model_rate=model.sample_rate, shortest=1, resample=resample)
    samples = read.waveforms[0]
    seconds = len(samples) / model.sample_rate
    if seconds < SHORTEST_SECONDS or len(samples) < model.shortest:
        least = max(SHORTEST_SECONDS, model.shortest / model.sample_rate)
        raise InputError(f"{file}: has {seconds:.2f} s, expected {least:g} s of one voice at least; record more")
    if is_silent(samples):
        raise InputError(f"{file}: is {seconds:.2f} s of digital silence, expected a voice; record it again")
    embedding = np.asarray(model.embed(samples.numpy()), dtype=np.float32)
    return Enrolment(Path(file).name, file_digest(Path(file)), seconds, embedding)


def voice_of(model: EmbeddingModel, files: Sequence[str | Path], resample: bool = False) -> Voice:
    """The voice of one or several recordings, which need no gallery; it has their names. A recording counts once.

    InputError: a recording that `enrolment_of` refuses, or embeddings that cancel out.
    """
    voice = Voice(", ".join(map(str, files)), each_once(enrolment_of(model, file, resample) for file in files))
    voice.centre  # noqa: B018  # an error now
    return voice
