"""Mono audio from WAV, FLAC and Ogg-Opus files: headers and partial reads, every failure named.

soundfile decodes. A crop is read by seeking, so a two-second view of an hour-long file costs two seconds. Opus decoders
keep state: a crop may differ from the same stretch of the wholly decoded file by some 0.003 of full scale at its
beginning, but the same crop always gives the same samples.
"""

from dataclasses import dataclass
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
import soxr

from csc_fairseq.errors import InputError

# Samples of the lower rate; longer than soxr's filter, so that a resampled crop equals that of the resampled whole.
RESAMPLING_MARGIN = 2048


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says. sample_rate: Hz. frames: samples per channel, at that rate."""

    sample_rate: int
    channels: int
    frames: int

    def frames_at(self, sample_rate: int) -> int:
        """Samples at `sample_rate` (Hz), rounded down: every one of them lies within the recording."""
        return self.frames * sample_rate // self.sample_rate


def probe(path: str | Path) -> AudioInfo:
    """Read a file's header only. InputError if the file is missing, is not audio or holds no samples."""
    with _open(path) as file:
        return _info(path, file)


def require_format(path: str | Path, info: AudioInfo, sample_rate: int, resample: bool = False) -> None:
    """InputError unless the file is mono and, without `resample`, sampled at `sample_rate` (Hz)."""
    if info.channels != 1:
        raise InputError(f"{path}: has {info.channels} channels, expected one; convert it: sox IN OUT remix 1")
    if info.sample_rate != sample_rate and not resample:
        raise InputError(
            f"{path}: has {info.sample_rate} Hz, expected {sample_rate} Hz; convert it (sox IN -r {sample_rate} OUT), "
            "or let a command resample that has an option for it (task.resample=true, --resample)"
        )


def load_crop(path: str | Path, start: int, frames: int, sample_rate: int, resample: bool = False) -> np.ndarray:
    """Read samples [start, start + frames) of a mono file; float32 [frames], full scale is 1.

    start, frames: samples at `sample_rate` (Hz); frames = -1 reads to the end. With `resample`, files of another rate
    are resampled (soxr, HQ), and a crop equals that stretch of the resampled whole; without it (our default) they are
    errors, because upsampled speech has no energy in the upper band and gives its corpus away.

    InputError, naming the file: missing or corrupt file, another rate, more than one channel, NaN or infinite samples,
    fewer samples than asked for.
    """
    if start < 0 or frames < -1 or frames == 0:
        raise ValueError(f"start {start}, frames {frames}: expected start >= 0 and frames >= 1, or -1 for all")
    with _open(path) as file:
        info = _info(path, file)
        require_format(path, info, sample_rate, resample)
        available = info.frames_at(sample_rate)
        stop = available if frames == -1 else start + frames
        if stop > available or start >= available:
            raise InputError(
                f"{path}: holds {available} samples at {sample_rate} Hz, expected {max(stop, start + 1)}; it was cut "
                "or replaced after its manifest was written, see `csc check`"
            )
        if info.sample_rate == sample_rate:
            samples = _read(path, file, start, stop)
        else:
            samples = _read_resampled(path, file, info, start, stop, sample_rate)
    if not np.isfinite(samples).all():
        raise InputError(f"{path}: has NaN or infinite samples within {start} to {stop}; repair it or drop it")
    return samples


def _open(path: str | Path) -> soundfile.SoundFile:
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; expected a WAV, FLAC or Ogg-Opus recording")
    if Path(path).suffix.lower() == ".raw":
        raise InputError(f"{path}: raw samples state no rate; expected a WAV, FLAC or Ogg-Opus file")
    try:
        return soundfile.SoundFile(path)
    except (soundfile.SoundFileError, OSError) as error:
        raise InputError(f"{path}: is not intact WAV, FLAC or Ogg-Opus ({_reason(error)}); restore it") from error


def _reason(error: Exception) -> str:
    text = error.error_string if isinstance(error, soundfile.LibsndfileError) else str(error)
    return " ".join(text.split()).strip(" .:")


def _info(path: str | Path, file: soundfile.SoundFile) -> AudioInfo:
    # A streamed FLAC may lack its length; libsndfile then reports the largest integer there is.
    if not 0 < file.frames < 2**48:
        raise InputError(f"{path}: is empty, or its header states no length; write it anew: sox IN OUT")
    return AudioInfo(file.samplerate, file.channels, file.frames)


def _read(path: str | Path, file: soundfile.SoundFile, start: int, stop: int) -> np.ndarray:
    """Samples [start, stop) at the file's own rate; the decoder may fail, or end early without saying so."""
    try:
        file.seek(start)
        samples = file.read(stop - start, dtype="float32")
    except soundfile.SoundFileError as error:
        raise InputError(f"{path}: corrupt within samples {start} to {stop} ({_reason(error)}); restore it") from error
    if len(samples) != stop - start:
        raise InputError(f"{path}: corrupt, decodes to {start + len(samples)} samples, expected {stop}; restore it")
    return samples


def _read_resampled(
    path: str | Path, file: soundfile.SoundFile, info: AudioInfo, start: int, stop: int, sample_rate: int
) -> np.ndarray:
    """Samples [start, stop) at `sample_rate`, from a stretch that begins where both sampling grids coincide."""
    divisor = gcd(info.sample_rate, sample_rate)
    grid_in, grid_out = info.sample_rate // divisor, sample_rate // divisor
    margin = RESAMPLING_MARGIN * max(1, -(-sample_rate // info.sample_rate))  # in output samples
    first = max(0, start - margin) // grid_out
    last = -(-(stop + margin) // grid_out)
    stretch = _read(path, file, first * grid_in, min(info.frames, last * grid_in))
    offset = start - first * grid_out
    resampled = soxr.resample(stretch, info.sample_rate, sample_rate)
    return np.ascontiguousarray(resampled[offset : offset + stop - start])
