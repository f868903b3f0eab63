"""Audio that is written before it can be listed: decoded by ffmpeg, or one channel of several.

Each file is written whole or not at all, and what is there already is kept. So a conversion that was stopped goes on where it was.
"""

import io
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping
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
ENCODED = (".m4a", ".mp3")
SAMPLE_RATE = 16000  # Hz, of decoded files
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


def decode_or_link(source: Path, target: Path) -> None:
    """`decode` for a file of ENCODED; a link to any other one."""
    if source.suffix.lower() in ENCODED:
        decode(source, target)
    else:
        target.symlink_to(source)


def convert(
    folder: Path,
    sources: Mapping[str, Path],
    write: Callable[[Path, Path], None],
    jobs: int,
    progress: str | None = None,
) -> dict[str, str]:
    """Make the files folder/name from their sources; the faults by name, one line each.

    A file that is there, and not older than its source, is kept: if all are, the folder may be read-only. jobs: files at a time.
    progress: title of the bar, None for none. What a killed program left is removed.

    InputError: a source is what would be written, a file cannot be written, or another program is at work in this folder.
    """
    for name, source in sources.items():
        if folder / name == source:
            raise InputError(f"{source}: would be replaced by what is made from it; choose another place with --audio")
    names = sorted(name for name, source in sources.items() if not _is_made(folder / name, source))
    places = {(folder / name).parent for name in sources}
    remains = [
        path for place in places if place.is_dir() for path in place.iterdir() if _LEFT_OVER.fullmatch(path.name)
    ]
    if not names and not remains:
        return {}
    with alone_in(folder, "another preparation", "choose another place with --audio"):
        for path in remains:
            path.unlink(missing_ok=True)
        make = partial(_make, folder=folder, sources=sources, write=write)
        found = zip(names, parallel_map(make, names, jobs, progress), strict=True)
        return {name: fault for name, fault in found if fault}


def _is_made(target: Path, source: Path) -> bool:
    return target.is_file() and target.stat().st_mtime_ns >= source.stat().st_mtime_ns


def _make(name: str, folder: Path, sources: Mapping[str, Path], write: Callable[[Path, Path], None]) -> str:
    """Write one file; its fault, "" for none."""
    try:
        with replacing(folder / name) as temporary:
            write(sources[name], temporary)
    except SourceError as error:
        return str(error)
    return ""
