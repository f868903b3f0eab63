"""Embeddings of many recordings, in portions of bounded memory, and everything that is wrong with the recordings."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from csc_fairseq.data.audio import AudioInfo, probe, require_format
from csc_fairseq.data.parallel import parallel_map
from csc_fairseq.errors import InputError
from csc_fairseq.inference.embedding_model import EmbeddingModel
from csc_fairseq.inference.recordings import read_recordings
from csc_fairseq.inference.windows import Windows

Answer = TypeVar("Answer")
SECONDS_AT_ONCE = 256  # of audio decoded together


def embed_files(
    model: EmbeddingModel, files: Sequence[Path], sources: bool = False, resample: bool = False, skip_bad: bool = False
) -> tuple[np.ndarray, dict[int, str]]:
    """Embeds what can be embedded. Shows progress.

    Args:
        sources: one embedding per talker. resample: as of `EmbeddingModel.embed`.
        skip_bad: go on after a fault. Otherwise the others are only read, to find all faults.

    Returns:
        Embeddings of the recordings without faults, in the order of the files, float32 [N, E], or [N, C, E] with `sources`, rows
        of zeros where a recording has fewer talkers than another one; empty [0] if there are none, or if there are faults without
        `skip_bad`. And the faults by position, as `embed` tells them.
    """
    embed = model.embed_sources if sources else model.embed
    rows, faults = _of_files(model, files, embed, resample, skip_bad)
    if not rows:
        return np.empty(0, np.float32), faults
    most = max(len(row) for row in rows.values())
    filled = [np.pad(row, ((0, most - len(row)), (0, 0))) if sources else row for row in rows.values()]
    return np.stack(filled), faults


def windows_of_files(
    model: EmbeddingModel,
    files: Sequence[Path],
    length: float,
    hop: float,
    resample: bool = False,
    skip_bad: bool = False,
) -> tuple[dict[int, Windows], dict[int, str]]:
    """The same with the windows of every recording, by position. length, hop: seconds, see `EmbeddingModel.windows`."""

    def windows(waveforms: Sequence[np.ndarray]) -> list[Windows]:
        return [model.windows(waveform, length=length, hop=hop) for waveform in waveforms]

    return _of_files(model, files, windows, resample, skip_bad)


def _of_files(
    model: EmbeddingModel,
    files: Sequence[Path],
    answer: Callable[[list[np.ndarray]], Iterable[Answer]],
    resample: bool,
    skip_bad: bool,
) -> tuple[dict[int, Answer], dict[int, str]]:
    """What is answered for each recording [T] without faults, by position, none if there are faults without `skip_bad`; faults."""
    rows: dict[int, Answer] = {}
    headers = list(parallel_map(partial(_header, model=model, resample=resample), files, jobs=8, progress="headers"))
    faults = {i: header for i, header in enumerate(headers) if isinstance(header, str)}
    with tqdm(total=len(files), desc="embed", unit="file", leave=False, disable=None) as bar:
        bar.update(len(faults))
        sound = {
            i: header.frames / header.sample_rate for i, header in enumerate(headers) if not isinstance(header, str)
        }
        for portion in _portions(sound):
            waveforms: dict[int, np.ndarray] = {}
            for i in portion:
                read = _waveform(files[i], model, resample)
                if isinstance(read, str):
                    faults[i] = read
                else:
                    waveforms[i] = read
            if waveforms and (skip_bad or not faults):
                rows.update(zip(waveforms, answer(list(waveforms.values())), strict=True))
            bar.update(len(portion))
    return dict(sorted(rows.items())) if skip_bad or not faults else {}, dict(sorted(faults.items()))


def _header(file: Path, model: EmbeddingModel, resample: bool) -> AudioInfo | str:
    try:
        header = probe(file)
        require_format(file, header, model.sample_rate, resample)
    except InputError as error:
        return str(error)
    return header


def _waveform(file: Path, model: EmbeddingModel, resample: bool) -> np.ndarray | str:
    """Samples [T] at the model's rate, or the fault."""
    try:
        read = read_recordings(file, None, model_rate=model.sample_rate, shortest=model.shortest, resample=resample)
        read.require_sound()
    except InputError as error:
        return str(error)
    return read.waveforms[0].numpy()


def _portions(seconds: Mapping[int, float]) -> Iterator[list[int]]:
    """Positions of recordings of like length, so that little is padded, in portions of bounded duration."""
    portion: list[int] = []
    for i in sorted(seconds, key=lambda i: seconds[i]):
        if portion and sum(seconds[j] for j in portion) + seconds[i] > SECONDS_AT_ONCE:
            yield portion
            portion = []
        portion.append(i)
    if portion:
        yield portion
