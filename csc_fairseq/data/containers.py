"""Which files are recordings: WAV, FLAC and Ogg, by their content and not by their names, and whether all of a file is there.

These store their length, or it follows from the size. MP3 does not: decoders estimate it. What cannot be used is refused by the
name of its format, with the command that converts it.
"""

import shlex
import struct
from pathlib import Path
from typing import BinaryIO

import soundfile

from csc_fairseq.data.packed import open_bytes, slice_of

ACCEPTED = "WAV, FLAC or Ogg (Opus, Vorbis)"
_FORMATS = {"WAV", "WAVEX", "RF64", "FLAC", "OGG"}
_NAMES = {"MP3": "MP3, which does not store its length", "NIST": "NIST SPHERE"}
# How the files of other formats begin: (position, bytes, name).
_SIGNATURES = (
    (4, b"ftyp", "MPEG-4 audio (m4a, mp4)"),
    (0, b"ID3", "MP3"),
    (0, b"\x1aE\xdf\xa3", "WebM or Matroska"),
    (0, b"#!AMR", "AMR"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "Windows Media (wma)"),
    (0, b"\xff\xf1", "AAC"),
    (0, b"\xff\xf9", "AAC"),
    (0, b"NIST_1A", "NIST SPHERE, compressed"),
    (0, b"\xff\xfb", "MP3"),
    (0, b"\xff\xf3", "MP3"),
)
_UNSTATED = 0x7FFF0000  # from here on, a size in a header means that its writer did not know it


def ffmpeg(path: Path, options: str = "") -> str:
    """The command that converts a recording to a WAV file beside it, or beside its archive. options: between input and output."""
    if found := slice_of(path):
        given = f"subfile,,start,{found.offset},end,{found.end},,:{found.archive}"
        target = found.archive.with_name(f"{found.archive.stem}-{found.offset}.wav")
    else:
        given = str(path)
        target = path.with_suffix(".converted.wav" if path.suffix.lower() == ".wav" else ".wav")
    return " ".join(("ffmpeg -i", shlex.quote(given), *([options] if options else []), shlex.quote(str(target))))


def put_away(path: Path) -> str:
    """What to do with a recording once it is converted, after "and": another of the same name must not stay beside it."""
    return "pack the recordings again, with that one in its place" if slice_of(path) else "move this file away"


def foreign_format(path: Path, file: soundfile.SoundFile | None) -> str:
    """Name of a format that is not accepted; "" for one that is, or that nobody knows. file: None if it cannot be opened."""
    if file is not None:
        return "" if file.format in _FORMATS else _NAMES.get(file.format, file.format)
    with open_bytes(path) as content:
        head = content.read(16)
    return next((name for at, sign, name in _SIGNATURES if head[at:].startswith(sign)), "")


def missing_end(path: Path, file: soundfile.SoundFile) -> str:
    """What shows that the end of a file is missing; "" if nothing does. The file is left at another position.

    A WAV header states the size of the samples, and a FLAC header their number. An Ogg stream ends in a page that says so.
    """
    if file.format == "FLAC":
        try:
            file.seek(file.frames - 1)
            whole = len(file.read(1)) == 1
        except soundfile.SoundFileError:
            whole = False
        return "" if whole else f"its header promises {file.frames} samples, and the last one cannot be decoded"
    with open_bytes(path) as content:
        if file.format == "OGG":
            return "" if _has_last_page(content) else "it ends without the page that ends an Ogg stream"
        promised, found = _wav_bytes(content)
    return "" if found >= promised else f"its header promises {promised} bytes of samples, and {found} are there"


def _wav_bytes(content: BinaryIO) -> tuple[int, int]:
    """Bytes of samples by the header of a RIFF or RF64 file, and bytes there from their beginning on; (0, …) if unstated."""
    end = content.seek(0, 2)
    content.seek(12)
    long_size = None
    while len(head := content.read(8)) == 8:
        size = struct.unpack("<I", head[4:])[0]
        if head[:4] == b"data":
            promised = size if size < _UNSTATED else 0
            return (promised if long_size is None else long_size), end - content.tell()
        if head[:4] == b"ds64" and len(body := content.read(16)) == 16:
            long_size = struct.unpack("<Q", body[8:])[0]
            size -= 16
        content.seek(size + size % 2, 1)
    return 0, 0


def _has_last_page(content: BinaryIO) -> bool:
    """Whether the last page of an Ogg file, of at most 64 KiB, has the flag "end of stream"."""
    content.seek(max(0, content.seek(0, 2) - 2**17))
    tail = content.read()
    page = tail.rfind(b"OggS")
    return page < 0 or len(tail) < page + 6 or bool(tail[page + 5] & 4)
