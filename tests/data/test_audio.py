"""Crops against whole files, resampled crops against resampled files, and an error with the file's name for bad files."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from csc_fairseq.data.audio import AudioInfo, load_crop, probe
from csc_fairseq.errors import InputError

RATE = 16000
FORMATS = {
    "a.wav": ("WAV", "PCM_16"),
    "a.float.wav": ("WAV", "FLOAT"),
    "a.flac": ("FLAC", "PCM_16"),
    "a.opus": ("OGG", "OPUS"),
}
CROPS = [(0, 1), (0, 16000), (1, 4000), (12345, 20000), (47999, 1), (30000, 18000)]


def noise(frames: int, level: float = 0.1) -> np.ndarray:
    return (level * np.random.default_rng(3).standard_normal(frames)).clip(-1, 1).astype(np.float32)


@pytest.fixture(params=FORMATS)
def recording(request, tmp_path: Path) -> Path:
    """Three seconds of noise."""
    path = tmp_path / request.param
    container, coding = FORMATS[request.param]
    soundfile.write(path, noise(3 * RATE), RATE, format=container, subtype=coding)
    return path


def fails(path: Path, start: int, frames: int, **options) -> str:
    with pytest.raises(InputError) as caught:
        load_crop(path, start, frames, RATE, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_header(recording: Path):
    assert probe(recording) == AudioInfo(sample_rate=RATE, channels=1, frames=3 * RATE)


@pytest.mark.parametrize(("start", "frames"), CROPS)
def test_crop_equals_that_stretch_of_the_whole(recording: Path, start: int, frames: int):
    whole, _ = soundfile.read(recording, dtype="float32")
    crop = load_crop(recording, start, frames, RATE)
    assert crop.dtype == np.float32
    assert crop.shape == (frames,)
    # An Opus decoder keeps state, so a crop may differ slightly from the whole. Its position must be right.
    tolerance = 0.01 if recording.suffix == ".opus" else 0
    np.testing.assert_allclose(crop, whole[start : start + frames], atol=tolerance, rtol=0)
    np.testing.assert_array_equal(crop, load_crop(recording, start, frames, RATE))


def test_minus_one_reads_to_the_end(recording: Path):
    assert load_crop(recording, 0, -1, RATE).shape == (3 * RATE,)
    assert load_crop(recording, 40000, -1, RATE).shape == (8000,)


def test_asking_for_more_than_there_is_fails(recording: Path):
    assert fails(recording, 40000, 8001).startswith("holds 48000 samples at 16000 Hz, expected 48001")
    assert fails(recording, 48000, -1).startswith("holds 48000 samples")
    assert fails(recording, 60000, 5).startswith("holds 48000 samples at 16000 Hz, expected 60005")


@pytest.mark.parametrize(("start", "frames"), [(-1, 5), (0, 0), (0, -2)])
def test_meaningless_crops_are_the_programmers_fault(recording: Path, start: int, frames: int):
    with pytest.raises(ValueError, match="expected start >= 0") as caught:
        load_crop(recording, start, frames, RATE)
    assert not isinstance(caught.value, InputError)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_resampled_crop_equals_the_resampled_whole(tmp_path: Path, rate: int):
    path = tmp_path / "a.wav"
    samples = noise(4 * rate + 13)
    soundfile.write(path, samples, rate, subtype="FLOAT")
    whole = soxr.resample(samples, rate, RATE)
    available = probe(path).frames_at(RATE)
    assert available == (4 * rate + 13) * RATE // rate
    for start, frames in [(0, 1000), (1, 16000), (31234, 777), (available - 500, 500)]:
        crop = load_crop(path, start, frames, RATE, resample=True)
        assert crop.shape == (frames,)
        np.testing.assert_allclose(crop, whole[start : start + frames], atol=2e-6)
    assert load_crop(path, 0, -1, RATE, resample=True).shape == (available,)
    assert fails(path, available - 500, 501, resample=True).startswith(f"holds {available} samples at 16000 Hz")


def test_another_rate_is_an_error_unless_asked_for(tmp_path: Path):
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(8000), 8000)
    assert fails(path, 0, 100).startswith("has 8000 Hz, expected 16000 Hz")


@pytest.mark.parametrize("resample", [False, True])
def test_stereo_is_an_error(tmp_path: Path, resample: bool):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([noise(900), noise(900)], axis=1), RATE)
    assert fails(path, 0, 100, resample=resample).startswith("has 2 channels, expected one")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(tmp_path: Path, value: float):
    path = tmp_path / "a.wav"
    samples = noise(1000)
    samples[500] = value
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    assert "NaN or infinite" in fails(path, 400, 200)
    assert load_crop(path, 501, 200, RATE).shape == (200,)  # the damage is elsewhere


def test_files_that_are_no_audio(tmp_path: Path):
    assert fails(tmp_path / "gone.wav", 0, 1).startswith("no such file")
    for name, content in [("a.flac", b"no audio at all"), ("b.wav", b""), ("c.opus", b"OggS" + bytes(200))]:
        (tmp_path / name).write_bytes(content)
        assert fails(tmp_path / name, 0, 1).startswith("is not intact WAV, FLAC or Ogg (Opus, Vorbis): ")
    (tmp_path / "d.raw").write_bytes(bytes(2000))
    assert "raw samples" in fails(tmp_path / "d.raw", 0, 1)
    assert fails(tmp_path, 0, 1).startswith(
        "is a folder, expected a recording; make a manifest of what is in it: `csc prepare"
    )


def test_an_empty_recording(tmp_path: Path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), RATE)
    assert fails(tmp_path / "a.wav", 0, -1).startswith("is empty")


def test_a_truncated_recording(recording: Path):
    content = recording.read_bytes()
    recording.write_bytes(content[: len(content) * 7 // 10])
    message = fails(recording, 40000, 4000)
    assert message.startswith(("corrupt within samples 40000 to 44000", "holds "))


def test_one_flipped_bit_in_a_flac(tmp_path: Path):
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(3 * RATE), RATE)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)
    assert fails(path, 0, -1).startswith("corrupt within samples 0 to 48000")
    assert load_crop(path, 0, 4000, RATE).shape == (4000,)  # before the damage


def test_a_decoder_that_ends_early_without_a_word(tmp_path: Path):
    path = tmp_path / "a.ogg"
    soundfile.write(path, noise(3 * RATE), RATE, format="OGG", subtype="VORBIS")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    path.write_bytes(content)
    assert probe(path).frames == 3 * RATE
    with soundfile.SoundFile(path) as file:
        assert len(file.read()) < 3 * RATE  # soundfile alone reports nothing
    assert fails(path, 0, -1).startswith("corrupt")


def test_a_flac_without_its_length(tmp_path: Path):
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(RATE), RATE)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # STREAMINFO: the 36 bits of the number of samples; 0 is unknown, as streaming encoders write
    content[22:26] = bytes(4)
    path.write_bytes(content)
    assert "states no length" in fails(path, 0, 100)


def test_crops_of_real_opus_files(shared_data: Path):
    paths = sorted((shared_data / "speech").rglob("*.opus"))[::97]
    assert len(paths) > 40
    draw = np.random.default_rng(0)
    for path in paths:
        info = probe(path)
        whole, _ = soundfile.read(path, dtype="float32")
        assert info == AudioInfo(RATE, 1, len(whole))
        for _ in range(3):
            start = int(draw.integers(info.frames))
            frames = int(draw.integers(1, info.frames - start + 1))
            crop = load_crop(path, start, frames, RATE)
            assert crop.shape == (frames,)
            np.testing.assert_allclose(crop, whole[start : start + frames], atol=0.01, rtol=0)
