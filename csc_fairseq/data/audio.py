"""Mono audio from WAV, FLAC and Ogg files, packed ones too (packed.py): headers and partial reads. Every error names its file.

soundfile decodes. A crop is read by seeking: two seconds of an hour-long file cost as much as two seconds. An Opus
decoder keeps state, so the beginning of a crop may differ from the fully decoded file by about 0.003 of full scale. The
same crop always gives the same samples.
"""

import io
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from csc_fairseq.data.containers import ACCEPTED, ffmpeg, foreign_format, missing_end, put_away
from csc_fairseq.data.manifest import LONGEST
from csc_fairseq.data.packed import Slice, compressed_member, open_slice, slice_of
from csc_fairseq.errors import InputError
from csc_fairseq.text import alike_file

# In samples of the lower rate. Longer than soxr's filter: a resampled crop equals that part of the resampled file.
RESAMPLING_MARGIN = 2048
ROUNDING = 1e-6  # relative, of float32


@dataclass(frozen=True)
class AudioInfo:
    """The contents of a file's header. sample_rate: Hz. frames: samples per channel, at that rate."""

    sample_rate: int
    channels: int
    frames: int

    def frames_at(self, sample_rate: int) -> int:
        """Length in samples at `sample_rate` (Hz), rounded down: every sample lies within the recording."""
        return self.frames * sample_rate // self.sample_rate


def probe(path: str | Path) -> AudioInfo:
    """Read only the header of a file, and whether the end is there.

    InputError if the file is missing, is of no accepted format, has no samples or an unknown number of them, or was cut off.
    """
    with _open(path) as file:
        info = _info(path, file)
        _require_end(path, file)
        return info


def require_format(path: str | Path, info: AudioInfo, sample_rate: int, resample: bool = False) -> None:
    """InputError unless the file is mono and, without `resample`, sampled at `sample_rate` (Hz)."""
    other_rate = info.sample_rate != sample_rate and not resample
    if info.channels != 1:
        rate = f" -ar {sample_rate}" if other_rate else ""
        command = ffmpeg(Path(path), f"-af 'pan=mono|c0=c0'{rate}")
        raise InputError(
            f"{path}: has {info.channels} channels, expected one; write the first ({command}) or their mean "
            f"(-ac 1 in place of -af …) and {put_away(Path(path))}"
        )
    if other_rate:
        command = ffmpeg(Path(path), f"-ar {sample_rate}")
        raise InputError(
            f"{path}: has {info.sample_rate} Hz, expected {sample_rate} Hz; convert it ({command}) and {put_away(Path(path))}, or "
            "resample while reading, if the command has the option (task.resample=true, --resample, --allow-rates)"
        )


def load_crop(path: str | Path, start: int, frames: int, sample_rate: int, resample: bool = False) -> np.ndarray:
    """Read samples [start, start + frames) of a mono file; float32 [frames], full scale is 1.

    start, frames: samples at `sample_rate` (Hz); frames = -1 reads to the end. With `resample`, a file of another rate is
    resampled (soxr, HQ), and the crop equals that part of the resampled file. Without it (our default), another rate is an
    error: upsampled speech has no energy in the upper band, which would tell the network the corpus.

    InputError, naming the file: missing or corrupt file, another rate, more than one channel, NaN or infinite samples,
    fewer samples than requested; with frames = -1, also a file that was cut off.
    """
    if start < 0 or frames < -1 or frames == 0:
        raise ValueError(f"start {start}, frames {frames}: expected start >= 0 and frames >= 1, or -1 for all")
    with _open(path) as file:
        info = _info(path, file)
        require_format(path, info, sample_rate, resample)
        if frames == -1:
            _require_end(path, file)
        available = info.frames_at(sample_rate)
        stop = available if frames == -1 else start + frames
        if stop > available or start >= available:
            raise InputError(
                f"{path}: holds {available} samples at {sample_rate} Hz, expected {max(stop, start + 1)}; it was cut "
                "or replaced after its manifest was written, run `csc check`"
            )
        if info.sample_rate == sample_rate:
            samples = _read(path, file, start, stop)
        else:
            samples = _read_resampled(path, file, info, start, stop, sample_rate)
    if not np.isfinite(samples).all():
        raise InputError(f"{path}: has NaN or infinite samples between {start} and {stop}; repair it or leave it out")
    return samples


def write_wav(path: Path, samples: np.ndarray, sample_rate: int) -> None:
    """Writes samples [T] as a WAV file of float32. OSError as of any file that cannot be written."""
    content = io.BytesIO()  # libsndfile does not say why it cannot write to a file
    soundfile.write(content, samples, sample_rate, subtype="FLOAT", format="WAV")
    path.write_bytes(content.getbuffer())


def is_silent(samples: Any) -> bool:
    """Whether nothing is left of samples [T], array or tensor, when their mean is taken away, beyond rounding."""
    low, high = float(samples.min()), float(samples.max())
    return high - low <= ROUNDING * max(abs(low), abs(high))


def _open(path: str | Path) -> soundfile.SoundFile:
    if packed := slice_of(path):
        return _open_slice(path, packed)
    try:
        there = Path(path).is_file()
    except OSError as error:  # in the way there, for instance a folder that may not be entered
        raise InputError(f"{path}: cannot be read ({error.strerror}); see to its path and permissions") from error
    if not there:
        if Path(path).is_dir():
            raise InputError(
                f"{path}: is a folder, expected a recording; make a manifest of what is in it: "
                f"`csc prepare audio {path} --out all.tsv`"
            )
        other = alike_file(Path(path).absolute())
        found = (
            f"no file of this name, but {ascii(str(other))}, another Unicode form of it; rename one" if other else ""
        )
        raise InputError(f"{path}: {found or f'no such file; expected a recording, {ACCEPTED}'}")
    if Path(path).suffix.lower() == ".raw":
        raise InputError(f"{path}: raw samples have no sample rate; expected {ACCEPTED}")
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.SoundFileError, OSError) as error:
        _refuse_format(path, None)
        raise InputError(f"{path}: is not intact {ACCEPTED}: {_reason(error)}; restore it") from error
    _refuse_format(path, file)
    return file


def _open_slice(path: str | Path, packed: Slice) -> soundfile.SoundFile:
    content = open_slice(packed)  # soundfile keeps it, and it is closed with the last reference
    try:
        file = soundfile.SoundFile(content)
    except soundfile.SoundFileError as error:
        content.close()
        if member := compressed_member(packed):
            raise InputError(
                f"{path}: is within {member}, which is compressed in its archive, expected one that is stored; pack the recordings "
                "again (`csc pack`)"
            ) from error
        _refuse_format(path, None)
        raise InputError(
            f"{path}: is not intact {ACCEPTED}: {_reason(error)}; restore the archive, or pack the recordings again (`csc pack`)"
        ) from error
    _refuse_format(path, file)
    return file


def _refuse_format(path: str | Path, file: soundfile.SoundFile | None) -> None:
    """InputError for a known format that is not accepted. file: None if it cannot be opened."""
    if name := foreign_format(Path(path), file):
        command = ffmpeg(Path(path), "-ac 1 -ar 16000")
        raise InputError(f"{path}: is {name}, expected {ACCEPTED}; convert it ({command}) and {put_away(Path(path))}")


def _reason(error: Exception) -> str:
    text = error.error_string if isinstance(error, soundfile.LibsndfileError) else str(error)
    return " ".join(text.split()).strip(" .:")


def _info(path: str | Path, file: soundfile.SoundFile) -> AudioInfo:
    if not file.seekable():
        raise InputError(
            f"{path}: is {file.subtype} in {file.format}, which cannot be read in parts; convert it ({ffmpeg(Path(path))})"
        )
    if file.frames < 1:
        raise InputError(f"{path}: is empty; leave it out")
    if file.frames >= LONGEST:  # libsndfile reports the largest integer
        raise InputError(
            f"{path}: its header states no length, as a streaming encoder writes it; write it again "
            f"({ffmpeg(Path(path))})"
        )
    return AudioInfo(file.samplerate, file.channels, file.frames)


def _require_end(path: str | Path, file: soundfile.SoundFile) -> None:
    if fault := missing_end(Path(path), file):
        raise InputError(
            f"{path}: was cut off or damaged: {fault}; restore it, or write what is left to another file ({ffmpeg(Path(path))})"
        )


def _read(path: str | Path, file: soundfile.SoundFile, start: int, stop: int) -> np.ndarray:
    """Samples [start, stop) at the file's own rate. Their number is checked: a decoder may end early without an error."""
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
    """Samples [start, stop) at `sample_rate`. Reading begins at a time at which both rates have a sample."""
    divisor = gcd(info.sample_rate, sample_rate)
    grid_in, grid_out = info.sample_rate // divisor, sample_rate // divisor
    margin = RESAMPLING_MARGIN * max(1, -(-sample_rate // info.sample_rate))  # in output samples
    first = max(0, start - margin) // grid_out
    last = -(-(stop + margin) // grid_out)
    stretch = _read(path, file, first * grid_in, min(info.frames, last * grid_in))
    offset = start - first * grid_out
    resampled = soxr.resample(stretch, info.sample_rate, sample_rate)
    return np.ascontiguousarray(resampled[offset : offset + stop - start])
