"""What is no recording of ours is named with the command that converts it; what was cut off is told."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from csc_fairseq.data.audio import is_silent, load_crop, probe, require_format
from tests.making import fails

RATE = 16000


def noise(frames: int = RATE, channels: int = 1) -> np.ndarray:
    return 0.1 * np.random.default_rng(3).standard_normal((frames, channels) if channels > 1 else frames)


def write(path: Path, container: str, coding: str | None = None, **shape: int) -> Path:
    soundfile.write(path, noise(**shape), RATE, format=container, subtype=coding)
    return path


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.m4a", b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(99), "MPEG-4 audio (m4a, mp4)"),
        ("a.wav", b"\0\0\0\x20ftypmp42\0\0\0\0" + bytes(99), "MPEG-4 audio (m4a, mp4)"),
        ("a b.webm", b"\x1aE\xdf\xa3" + bytes(99), "WebM or Matroska"),
        ("a.amr", b"#!AMR\n" + bytes(99), "AMR"),
    ],
)
def test_other_formats_are_not_damaged(tmp_path: Path, name: str, content: bytes, found: str):
    path = tmp_path / name
    path.write_bytes(content)
    quoted = f"'{path}'" if " " in name else str(path)
    target = quoted.replace(".wav", ".converted.wav") if name == "a.wav" else quoted.replace(path.suffix, ".wav")
    command = f"ffmpeg -i {quoted} -ac 1 -ar 16000 {target}"
    expected = f"{path}: is {found}, expected WAV, FLAC or Ogg (Opus, Vorbis); convert it ({command})"
    assert fails(probe, path).startswith(expected)
    assert fails(load_crop, path, 0, -1, RATE).startswith(expected)


@pytest.mark.parametrize("name", ["a.mp3", "a.wav"])
def test_lengths_that_are_not_stored(tmp_path: Path, name: str):
    """Decoders estimate the length of an MP3 file from its size; under another name too."""
    if "MP3" not in soundfile.available_formats():
        pytest.skip("this libsndfile writes no MP3")
    path = write(tmp_path / name, "MP3")
    assert fails(probe, path).startswith(f"{path}: is MP3, which does not store its length, expected WAV")


@pytest.mark.parametrize(
    ("container", "coding", "found"),
    [
        ("WAV", "GSM610", "is GSM610 in WAV, which cannot be read in parts; convert it"),
        ("AU", "G721_32", "is AU, expected"),
    ],
)
def test_what_cannot_be_read_in_parts_is_told_when_prepared(tmp_path: Path, container: str, coding: str, found: str):
    path = write(tmp_path / "a.wav", container, coding)
    assert fails(probe, path).startswith(f"{path}: {found}")


@pytest.mark.parametrize(
    ("name", "container", "coding"), [("a.wav", "WAV", None), ("a.opus", "OGG", "OPUS"), ("a.flac", "FLAC", None)]
)
def test_eight_channels(tmp_path: Path, name: str, container: str, coding: str | None):
    path = write(tmp_path / name, container, coding, channels=8)
    message = fails(require_format, path, probe(path), RATE)
    target = tmp_path / ("a.converted.wav" if name == "a.wav" else "a.wav")
    assert message.startswith(
        f"{path}: has 8 channels, expected one; write the first (ffmpeg -i {path} -af 'pan=mono|c0=c0' {target}) or their mean"
    )
    assert f"-af 'pan=mono|c0=c0' -ar 8000 {target}" in fails(require_format, path, probe(path), 8000)


def halve(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("container", "coding", "found"),
    [
        ("WAV", "PCM_16", "its header promises 32000 bytes of samples, and 15978 are there"),
        ("WAVEX", "PCM_16", "its header promises 32000 bytes"),
        ("RF64", "PCM_16", "its header promises 32000 bytes"),
        ("FLAC", "PCM_16", "its header promises 16000 samples, and the last one cannot be decoded"),
        ("OGG", "OPUS", "it ends without the page"),
        ("OGG", "VORBIS", "it ends without the page"),
    ],
)
def test_half_a_file(tmp_path: Path, container: str, coding: str, found: str):
    frames = 10 * RATE if container == "OGG" else RATE
    path = write(tmp_path / "a", container, coding, frames=frames)
    assert probe(path).frames == frames
    halve(path)
    for refusal in (fails(probe, path), fails(load_crop, path, 0, -1, RATE)):
        assert refusal.startswith(f"{path}: was cut off or damaged: {found}")


def test_sizes_that_a_stream_did_not_know(tmp_path: Path):
    """Programs that write into a pipe give the largest size; other chunks may come before and after the samples."""
    path = write(tmp_path / "a.wav", "WAV", "PCM_16")
    content = bytearray(path.read_bytes())
    for size in (2**32 - 1, 2**31 - 1):
        content[4:8] = content[40:44] = struct.pack("<I", size)
        path.write_bytes(content)
        assert probe(path).frames == RATE
    content[40:44] = struct.pack("<I", 2 * RATE)
    chunk = b"LIST" + struct.pack("<I", 3) + b"abc\0"  # of odd length, hence filled up
    path.write_bytes(content[:36] + chunk + content[36:] + chunk)
    assert probe(path).frames == RATE


def test_silence_is_judged_without_the_mean():
    assert is_silent(np.zeros(9)) and is_silent(np.full(9, np.float32(-1 / 128)))
    assert is_silent(np.float32(0.01) + np.float32(1e-10) * noise(100))
    assert not is_silent(np.float32(1e-9) * noise(100))  # faint is not silent
    assert not is_silent(np.float32(0.02) + noise(100))


@pytest.mark.parametrize("frames", [100, 4096, 4097, 20000])
def test_a_flac_without_its_last_bytes(tmp_path: Path, frames: int):
    """However few are missing, and whatever of the last block of 4096 samples is there."""
    path = write(tmp_path / "a.flac", "FLAC", frames=frames)
    content = path.read_bytes()
    assert probe(path).frames == frames
    for missing in (1, 2, 3, 7, 40, 100):
        path.write_bytes(content[:-missing])
        assert "the last one cannot be decoded" in fails(probe, path)
    path.write_bytes(content[:-5] + bytes([content[-5] ^ 16]) + content[-4:])
    assert "the last one cannot be decoded" in fails(probe, path)
