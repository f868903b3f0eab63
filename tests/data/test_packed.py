"""Slices of archives against the files they are made of, stock fairseq as second reader, and errors that name the slice."""

from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
import soundfile

from csc_fairseq.cli.main import main
from csc_fairseq.corpora.check import check_manifest
from csc_fairseq.data.audio import load_crop, probe, require_format
from csc_fairseq.data.manifest import read_manifest, write_lines, write_manifest
from csc_fairseq.data.packed import Slice, file_of, open_bytes, slice_of
from csc_fairseq.digests import stamp_digest
from tests.making import fails

RATE = 16000
FORMATS = {
    "a.wav": ("WAV", "PCM_16"),
    "b.flac": ("FLAC", "PCM_16"),
    "c.opus": ("OGG", "OPUS"),
    "d.ogg": ("OGG", "VORBIS"),
}


def pack(archive: Path, files: list[Path], compression: int = 0) -> list[Path]:
    """Packs files by hand, and returns the paths of their slices."""
    slices = []
    with ZipFile(archive, "w", compression) as content:
        for file in files:
            content.write(file, file.name)
            info = content.getinfo(file.name)
            offset = info.header_offset + 30 + len(file.name)
            slices.append(archive.with_name(f"{archive.name}:{offset}:{info.compress_size}"))
    return slices


@pytest.fixture
def loose(tmp_path: Path) -> list[Path]:
    """Recordings of all formats, of different lengths."""
    rng = np.random.default_rng(0)
    for i, (name, (container, coding)) in enumerate(FORMATS.items()):
        samples = 0.1 * rng.standard_normal(20000 + i)
        soundfile.write(tmp_path / name, samples, RATE, format=container, subtype=coding)
    return [tmp_path / name for name in FORMATS]


def test_which_paths_are_slices():
    assert slice_of("/data/a b.zip:7:12") == Slice(Path("/data/a b.zip"), 7, 12)
    for path in ("/data/a.zip", "/data/a.wav:7:12", "/data/a.zip:7", "/data/a.zip:-7:12", "a.zip:7:12:9"):
        assert slice_of(path) is None
    assert file_of("/data/a.zip:7:12") == Path("/data/a.zip")
    assert file_of("/data/a.wav") == Path("/data/a.wav")


def test_a_slice_reads_like_a_file(tmp_path: Path):
    (tmp_path / "a.zip").write_bytes(bytes(range(100)))
    with open_bytes(tmp_path / "a.zip:10:20") as content:
        assert content.read() == bytes(range(10, 30))
        assert content.seek(-5, 2) == 15
        assert content.read(99) == bytes(range(25, 30))
        assert content.seek(3) == 3
        assert content.read(2) == bytes([13, 14])
        assert content.seek(99) == 99
        assert content.read() == b""


def test_headers_and_crops_are_those_of_the_files(tmp_path: Path, loose: list[Path]):
    for file, part in zip(loose, pack(tmp_path / "x.zip", loose), strict=True):
        assert probe(part) == probe(file)
        for start, frames in [(0, -1), (0, 1), (4321, 9000), (19999, 1)]:
            np.testing.assert_array_equal(load_crop(part, start, frames, RATE), load_crop(file, start, frames, RATE))
        resampled = load_crop(file, 100, 500, 8000, resample=True)
        np.testing.assert_array_equal(load_crop(part, 100, 500, 8000, resample=True), resampled)


def test_stock_fairseq_reads_the_same_samples(tmp_path: Path, loose: list[Path]):
    from fairseq.data import FileAudioDataset

    slices = pack(tmp_path / "x.zip", loose)
    write_manifest(tmp_path / "x.tsv", tmp_path, [(path.name, probe(path).frames) for path in slices])
    stock = FileAudioDataset(str(tmp_path / "x.tsv"), sample_rate=RATE)
    for i, path in enumerate(slices):
        np.testing.assert_array_equal(stock[i]["source"].numpy(), load_crop(path, 0, -1, RATE))


def test_what_is_wrong_with_a_slice(tmp_path: Path, loose: list[Path]):
    archive = tmp_path / "x.zip"
    whole, *_ = pack(archive, loose)
    _, offset, length = whole.name.split(":")
    size = archive.stat().st_size
    gone, beyond = tmp_path / "gone.zip:1:9", tmp_path / f"x.zip:{size - 5}:6"
    assert fails(probe, gone).startswith(f"{gone}: no such archive; mount or restore it")
    assert fails(probe, beyond).startswith(f"{beyond}: names bytes {size - 5} to {size + 1} of an archive of {size}")
    empty, other = tmp_path / f"x.zip:{offset}:0", tmp_path / f"x.zip:{int(offset) + 4}:{length}"
    assert fails(probe, empty).startswith(f"{empty}: names bytes {offset} to {offset} of an archive")
    assert fails(probe, other).startswith(f"{other}: is not intact WAV, FLAC or Ogg (Opus, Vorbis): ")
    short = tmp_path / f"x.zip:{offset}:{int(length) // 2}"
    message = fails(probe, short)
    assert message.startswith(
        f"{short}: was cut off or damaged: its header promises 40000 bytes of samples, and 19978 are"
    )
    assert f"(ffmpeg -i subfile,,start,{offset},end,{int(offset) + int(length) // 2},,:{archive} " in message
    message = fails(require_format, whole, probe(whole), 8000)
    assert (
        f"-ar 8000 {tmp_path}/x-{offset}.wav) and pack the recordings again, with that one in its place, or" in message
    )


def test_archives_that_cannot_be_opened(tmp_path: Path, loose: list[Path], capsys):
    """A line each, and the rest is checked."""
    good, *_ = pack(tmp_path / "x.zip", loose)
    (tmp_path / "loop.zip").symlink_to("loop.zip")
    names = ["loop.zip:0:9", f"{'n' * 300}.zip:0:9", f"x.zip:{'7' * 5000}:10", f"{'n' * 300}.wav", "gone.zip:0:9"]
    write_manifest(tmp_path / "x.tsv", tmp_path, [(name, 9) for name in names] + [(good.name, probe(good).frames)])
    assert main(["check", str(tmp_path / "x.tsv")]) == 1
    told = capsys.readouterr().out.splitlines()
    for number, (line, said) in enumerate(
        zip(
            told,
            (
                ".zip:0:9: the archive cannot be read (Too many levels of symbolic links); see to its path",
                ".zip:0:9: the archive cannot be read (File name too long); see to its path",
                f"names bytes {10**18} to {10**18 + 10} of an archive of ",
                "n.wav: cannot be read (File name too long); see to its path",
                "gone.zip:0:9: no such archive",
            ),
            strict=True,
        ),
        start=2,
    ):
        assert line.startswith(f"{tmp_path / 'x.tsv'}:{number}: ") and said in line
    assert main(["pack", str(tmp_path / "x.tsv"), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path / 'x.tsv'}:2: " in error and error.count("\n") == 1


def test_a_compressed_member(tmp_path: Path):
    soundfile.write(tmp_path / "a.wav", np.zeros(9000), RATE)
    (packed,) = pack(tmp_path / "x.zip", [tmp_path / "a.wav"], ZIP_DEFLATED)
    assert fails(load_crop, packed, 0, 1, RATE).startswith(
        f"{packed}: is within a.wav, which is compressed in its archive"
    )


def test_another_format_in_an_archive(tmp_path: Path):
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(99))
    (part,) = pack(tmp_path / "x.zip", [tmp_path / "a.m4a"])
    assert fails(probe, part).startswith(f"{part}: is MPEG-4 audio (m4a, mp4), expected WAV, FLAC or Ogg")


def test_a_changed_archive_has_another_stamp(tmp_path: Path, loose: list[Path]):
    slices = pack(tmp_path / "x.zip", loose[:2])
    before = stamp_digest(slices)
    assert stamp_digest(slices) == before
    pack(tmp_path / "x.zip", loose[1:3])
    assert stamp_digest(slices) != before


@pytest.fixture
def tsv(tmp_path: Path, loose: list[Path]) -> Path:
    """A manifest of the first two recordings, packed, with their names."""
    slices = pack(tmp_path / "x.zip", loose[:2])
    write_manifest(tmp_path / "x.tsv", tmp_path, [(path.name, probe(path).frames) for path in slices])
    write_lines(tmp_path / "x.name", ["anna/a.wav", "ben/b.flac"])
    return tmp_path / "x.tsv"


def test_names_of_packed_recordings(tmp_path: Path, tsv: Path):
    manifest = read_manifest(tsv)
    assert manifest.names == ("anna/a.wav", "ben/b.flac")
    assert slice_of(manifest.file(1)).archive == tmp_path / "x.zip"
    (tmp_path / "x.name").unlink()
    without = read_manifest(tsv)
    assert without.names == tuple(without.file(i).name for i in range(2)) == manifest.slices


def test_names_that_do_not_fit(tmp_path: Path, tsv: Path):
    names = tmp_path / "x.name"
    names.write_text("anna/a.wav\n")
    assert fails(read_manifest, tsv).startswith(f"{names}: has 1 lines, but {tsv} has 2 recordings")
    names.write_text("anna/a.wav\n\n")
    assert fails(read_manifest, tsv).startswith(f"{names}:2: is empty")
    assert [str(problem) for problem in check_manifest(tsv)] == [f"{names}:2: is empty, expected a label"]


def test_names_beside_files_mean_nothing(tmp_path: Path, loose: list[Path]):
    write_manifest(tmp_path / "x.tsv", tmp_path, [("a.wav", 20000)])
    write_lines(tmp_path / "x.name", ["anna/a.wav"])
    assert read_manifest(tmp_path / "x.tsv").names == ("a.wav",)


def test_check(tmp_path: Path, tsv: Path):
    assert check_manifest(tsv, deep=True) == []
    (tmp_path / "x.name").unlink()
    assert check_manifest(tsv) == []
    lines = tsv.read_text().splitlines()
    tsv.write_text("\n".join([lines[0], lines[1].replace("\t20000", "\t20001"), lines[2], lines[2]]) + "\n")
    path = tmp_path / lines[1].split("\t")[0]
    assert [str(problem).partition(";")[0] for problem in check_manifest(tsv)] == [
        f"{tsv}:2: {path}: has 20000 samples, the manifest says 20001",
        f"{tsv}:4: {lines[2].split(chr(9))[0]} is already on line 3",
    ]
