"""Audio that is written before it can be listed: decoded by ffmpeg, one channel of several, or a part of a recording.

Each file is written whole or not at all, and what is there already is kept. So a conversion that was stopped goes on where it was.
"""

import io
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from csc_fairseq.data.audio import write_wav
from csc_fairseq.data.parallel import parallel_map
from csc_fairseq.errors import InputError
from csc_fairseq.files import replacing
from csc_fairseq.locking import alone_in

PROGRAM = "ffmpeg"
SAMPLE_RATE = 16000  # Hz, of decoded files
ENDS_EARLY = 0.025  # seconds that a part may lack at the end of its recording, as its times are rounded (our choice)
NO_FILE = "no such file; restore it, or correct its path"
_FLOATS = ("FLOAT", "DOUBLE")
_LEFT_OVER = re.compile(r"\..+\.\d+\.tmp")  # of `files.replacing`, in a program that was killed


def require_ffmpeg(root: Path, ending: str, count: int) -> None:
    """InputError, with the line to type, unless ffmpeg can be called. ending: of the `count` files below root, such as "m4a"."""
    if shutil.which(PROGRAM) is None:
        line = (
            f"cd {shlex.quote(str(root))} && find . -name '*.{ending}' | while IFS= read -r f; do "
            f'ffmpeg -nostdin -v error -i "$f" -ac 1 -ar {SAMPLE_RATE} "${{f%.{ending}}}.flac"; done'
        )
        raise InputError(
            f"{root}: has {count} recordings as .{ending}, which ffmpeg decodes, and there is no ffmpeg on PATH; install it and "
            f"type the same command again, or write .flac files beside them, where there is one: {line}"
        )


class SourceError(InputError):
    """A file that cannot be converted, while others can."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a file is made from. path: a file. write: makes another one of it, (path, target); SourceError if it cannot."""

    path: Path
    write: Callable[[Path, Path], None]


def decode(source: Path, target: Path) -> None:
    """The first audio stream of a file as FLAC: 16 bits, mono (ffmpeg's mix of its channels), SAMPLE_RATE.

    SourceError if ffmpeg fails.
    """
    # Samples come through a pipe, so that a full disk is told as such, and not as a file that cannot be decoded.
    command = [PROGRAM, "-nostdin", "-v", "error", "-i", str(source), "-map", "0:a:0", "-ac", "1"]
    done = subprocess.run([*command, "-ar", str(SAMPLE_RATE), "-f", "s16le", "-"], capture_output=True, check=False)
    samples = np.frombuffer(done.stdout[: len(done.stdout) // 2 * 2], dtype="<i2")
    if done.returncode != 0 or not len(samples):
        said = done.stderr.decode(errors="replace").strip().splitlines()
        reason = said[-1] if said else f"status {done.returncode}, {len(samples)} samples"
        raise SourceError(f"{source}: ffmpeg cannot decode it ({reason}); restore it")
    content = io.BytesIO()
    soundfile.write(content, samples, SAMPLE_RATE, subtype="PCM_16", format="FLAC")
    target.write_bytes(content.getbuffer())


def first_channel(source: Path, target: Path) -> None:
    """The first channel of a file as WAV, float32, at its own rate. SourceError if it cannot be read."""
    try:
        samples, rate = soundfile.read(source, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise SourceError(f"{source}: cannot be read ({error}); restore it") from error
    write_wav(target, samples[:, 0], rate)


def excerpt(source: Path, target: Path, channel: int, start: float, end: float, sample_rate: int | None = None) -> None:
    """A part of one channel (the first is 0) as FLAC at the file's own rate: 24 bits if the file has more than 16, otherwise 16.

    start, end: of the part, in seconds. sample_rate: that the file must have, in Hz; None: any. SourceError: it has another one, or
    cannot be read, or lacks the channel or the part, or has samples that FLAC cannot hold.
    """
    place = f"{source}, channel {channel} from {start:g} to {end:g} s"
    if not source.is_file():
        raise SourceError(f"{place}: {NO_FILE}")
    try:
        with soundfile.SoundFile(source) as file:
            rate, subtype = file.samplerate, file.subtype
            if sample_rate not in (None, rate):
                raise SourceError(
                    f"{place}: has {rate} Hz, expected {sample_rate} Hz; convert the file, or add --allow-rates"
                )
            first, last = (round(time * rate) for time in (start, end))
            if channel >= file.channels or first >= file.frames or last - file.frames > ENDS_EARLY * rate:
                raise SourceError(
                    f"{place}: the file has {file.channels} channels of {file.frames / rate:g} s; restore it, or correct the times"
                )
            file.seek(first)
            samples = file.read(last - first, always_2d=True)[:, channel]
    except (soundfile.SoundFileError, OSError) as error:
        raise SourceError(f"{place}: cannot be read ({error}); restore it, or convert it to WAV or FLAC") from error
    if not np.isfinite(samples).all():
        raise SourceError(f"{place}: has NaN or infinite samples; repair it or leave it out")
    peak = np.abs(samples).max(initial=0)
    # Decoders of MP3 and the like exceed full scale by a little, which is clipped; floating point says what was meant.
    if peak > 1 and subtype in _FLOATS:
        raise SourceError(
            f"{place}: has a peak of {peak:.2f}, which FLAC cannot hold; lower the level of the file to 1"
        )
    bits = 24 if subtype in (*_FLOATS, "PCM_24", "PCM_32") else 16
    full = 2 ** (bits - 1)
    integers = np.clip(np.rint(samples * full), -full, full - 1).astype(np.int32) << (32 - bits)
    content = io.BytesIO()
    soundfile.write(content, integers, rate, subtype=f"PCM_{bits}", format="FLAC")
    target.write_bytes(content.getbuffer())


def link(source: Path, target: Path) -> None:
    """A symbolic link. SourceError if there is no file."""
    if not source.is_file():
        raise SourceError(f"{source}: {NO_FILE}")
    target.symlink_to(source)


def convert(folder: Path, origins: Mapping[str, Origin], jobs: int, progress: str | None = None) -> dict[str, str]:
    """Make the files folder/name from their origins; the faults by name, one line each.

    A file that is there, and not older than its origin, is kept, and so is whatever is the same file as that which it would link
    to: if all are, the folder may be read-only. jobs: files at a time. progress: title of the bar, None for none. What a killed
    program left is removed.

    InputError: an origin would be replaced by what is made from it, or another file by a link; a file cannot be written, or another
    program is at work in this folder.
    """
    names = sorted(name for name, origin in origins.items() if not _is_made(folder / name, origin))
    places = {(folder / name).parent for name in origins}
    remains = [
        path for place in places if place.is_dir() for path in place.iterdir() if _LEFT_OVER.fullmatch(path.name)
    ]
    if not names and not remains:
        return {}
    with alone_in(folder, "another preparation", "choose another place with --audio"):
        for path in remains:
            path.unlink(missing_ok=True)
        make = partial(_make, folder=folder, origins=origins)
        found = zip(names, parallel_map(make, names, jobs, progress), strict=True)
        return {name: fault for name, fault in found if fault}


def _is_made(target: Path, origin: Origin) -> bool:
    """Whether there is nothing to do. InputError for a file that no conversion of this origin can have written."""
    if not target.exists():  # or a link to what is gone
        return False
    same = origin.path.exists() and target.samefile(origin.path)
    if origin.write is link:
        if not same:
            raise InputError(
                f"{target}: is there, and is not {origin.path}; move it away, or choose another place with --audio"
            )
        return True
    if same:
        raise InputError(f"{origin.path}: would be replaced by what is made from it; choose another place with --audio")
    return origin.path.exists() and target.stat().st_mtime_ns >= origin.path.stat().st_mtime_ns


def _make(name: str, folder: Path, origins: Mapping[str, Origin]) -> str:
    """Write one file; its fault, "" for none."""
    try:
        with replacing(folder / name) as temporary:
            origins[name].write(origins[name].path, temporary)
    except SourceError as error:
        return str(error)
    return ""
