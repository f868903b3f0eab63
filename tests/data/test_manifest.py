"""Manifests and labels: values, round trips, stock fairseq as second reader, and errors with file and line."""

from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import soundfile

from csc_fairseq.data.manifest import (
    Manifest,
    domain_labels,
    identity_labels,
    read_labels,
    read_manifest,
    write_labels,
    write_lines,
    write_manifest,
)
from csc_fairseq.errors import InputError
from tests.making import fails


@pytest.fixture
def tsv(tmp_path: Path) -> Path:
    path = tmp_path / "train.tsv"
    lines = [str(tmp_path), "anna/s1/a.wav\t16000", "anna/s2/b c.flac\t8000", "ben/s1/ä.opus\t32001"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_reads_what_the_lines_say(tsv: Path):
    manifest = read_manifest(tsv)
    assert manifest.path == tsv
    assert manifest.root == tsv.parent
    assert manifest.names == ("anna/s1/a.wav", "anna/s2/b c.flac", "ben/s1/ä.opus")
    assert manifest.frames.dtype == np.int64
    assert manifest.frames.tolist() == [16000, 8000, 32001]
    assert len(manifest) == 3
    assert manifest.file(1) == tsv.parent / "anna" / "s2" / "b c.flac"


def test_reads_windows_line_ends(tsv: Path):
    expected = read_manifest(tsv)
    tsv.write_bytes(tsv.read_bytes().replace(b"\n", b"\r\n"))
    assert read_manifest(tsv).names == expected.names
    assert read_manifest(tsv).frames.tolist() == expected.frames.tolist()


@pytest.mark.parametrize(
    ("lines", "place", "found"),
    [
        (["a.wav\t10", "b.wav\t20\tanna"], ":3: ", "'b.wav\\t20\\tanna'"),
        (["a.wav 10"], ":2: ", "'a.wav 10'"),
        (["a.wav\t10", ""], ":3: ", "''"),
        (["\t10"], ":2: ", "'\\t10'"),
        (["a.wav\t0"], ":2: ", "'0'"),
        (["a.wav\t-5"], ":2: ", "'-5'"),
        (["a.wav\t1.5"], ":2: ", "'1.5'"),
        (["a.wav\t"], ":2: ", "''"),
        ([], ": ", "holds no recordings"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, lines: list[str], place: str, found: str):
    path = tmp_path / "x.tsv"
    path.write_text("\n".join([str(tmp_path), *lines]) + "\n")
    message = fails(read_manifest, path)
    assert message.startswith(f"{path}{place}")
    assert found in message


def test_bad_roots_are_named(tmp_path: Path):
    path = tmp_path / "x.tsv"
    path.write_text("some/where\na.wav\t1\n")
    assert fails(read_manifest, path).startswith(f"{path}:1: found 'some/where', expected the absolute path")
    path.write_text(f"{tmp_path}/gone\na.wav\t1\n")
    assert fails(read_manifest, path).startswith(f"{path}:1: audio folder {tmp_path}/gone does not exist")
    path.write_text(f"{tmp_path / 'a.wav'}\t1\nb.wav\t1\n")  # the root line is missing altogether
    assert fails(read_manifest, path).startswith(f"{path}:1: found")


def test_unreadable_files_are_named(tmp_path: Path):
    path = tmp_path / "x.tsv"
    assert fails(read_manifest, path).startswith(f"{path}: cannot be read (No such file or directory)")
    path.write_text("")
    assert fails(read_manifest, path).startswith(f"{path}: holds no recordings")
    path.write_bytes(b"/\n\xff\xfe.wav\t1\n")
    assert fails(read_manifest, path).startswith(f"{path}:2: found \\xff\\xfe.wav\t1, which is not UTF-8")


def test_written_manifest_has_wav2vec_form_and_reads_back(tmp_path: Path):
    path = tmp_path / "new" / "x.tsv"
    entries = [("ben/b.wav", 7), ("anna/ü 1.wav", 123456789012)]
    write_manifest(path, tmp_path, entries)
    assert path.read_text(encoding="utf-8") == f"{tmp_path}\nben/b.wav\t7\nanna/ü 1.wav\t123456789012\n"
    manifest = read_manifest(path)
    assert list(zip(manifest.names, manifest.frames.tolist(), strict=True)) == entries


def test_stock_fairseq_reads_the_same_recordings(tmp_path: Path):
    from fairseq.data import FileAudioDataset

    lengths = {"a/1.wav": 1600, "a/2.wav": 2400, "b/1.wav": 800}
    for name, frames in lengths.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, np.full(frames, 0.1), 16000)
    write_manifest(tmp_path / "x.tsv", tmp_path, lengths.items())
    stock = FileAudioDataset(str(tmp_path / "x.tsv"), sample_rate=16000)
    assert list(stock.sizes) == list(lengths.values())
    assert [len(stock[i]["source"]) for i in range(3)] == list(lengths.values())


@pytest.mark.parametrize("name", ["a\tb.wav", "a\nb.wav", "a\rb.wav", " a.wav", "a.wav ", ""])
def test_names_that_a_line_cannot_hold_are_refused(tmp_path: Path, name: str):
    assert repr(name) in fails(write_manifest, tmp_path / "x.tsv", tmp_path, [("ok.wav", 5), (name, 5)])
    assert not (tmp_path / "x.tsv").exists()


def test_empty_recordings_and_manifests_are_refused(tmp_path: Path):
    assert "no recordings" in fails(write_manifest, tmp_path / "x.tsv", tmp_path, [])
    assert "a.wav has 0 samples" in fails(write_manifest, tmp_path / "x.tsv", tmp_path, [("a.wav", 0)])


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tsv: Path):
    before = tsv.read_bytes()

    def broken():
        yield "a.wav", 1
        raise RuntimeError("disk gone")

    with pytest.raises(RuntimeError):
        write_manifest(tsv, tsv.parent, broken())
    assert tsv.read_bytes() == before
    assert [path.name for path in tsv.parent.iterdir()] == ["train.tsv"]


def test_whoever_reads_during_a_write_sees_the_old_file(tsv: Path):
    before = tsv.read_text(encoding="utf-8")
    with open(tsv, encoding="utf-8") as reader:
        write_manifest(tsv, tsv.parent, [("a.wav", 1)])
        assert reader.read() == before
    assert read_manifest(tsv).names == ("a.wav",)


def test_unwritable_places_are_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "x.tsv"
    assert fails(write_manifest, path, tmp_path, [("a.wav", 1)]).startswith(f"{path}: cannot be written")


def test_labels_round_trip(tsv: Path):
    labels = ["anna", "anna", "ben d"]
    write_labels(tsv.with_suffix(".spk"), labels)
    assert tsv.with_suffix(".spk").read_text() == "anna\nanna\nben d\n"
    assert read_labels(read_manifest(tsv), "spk") == labels


def test_bad_labels_are_named(tsv: Path):
    manifest, path = read_manifest(tsv), tsv.with_suffix(".spk")
    assert fails(read_labels, manifest, "spk").startswith(f"{path}: no such file")
    path.write_text("anna\nben\n")
    assert f"{path}: has 2 lines, but {tsv} has 3 recordings" in fails(read_labels, manifest, "spk")
    path.write_text("anna\nanna\nben\nben\n")
    assert f"{path}: has 4 lines, but {tsv} has 3 recordings" in fails(read_labels, manifest, "spk")
    path.write_text("anna\n \nben\n")
    assert fails(read_labels, manifest, "spk") == f"{path}:2: is empty, expected the label of anna/s2/b c.flac"


@pytest.mark.parametrize("label", ["", " anna", "anna\n", "an\rna"])
def test_labels_that_would_not_read_back_are_refused(tmp_path: Path, label: str):
    assert fails(write_labels, tmp_path / "x.spk", ["ok", label]).startswith(f"{tmp_path / 'x.spk'}:2: ")


def test_identity_levels(tsv: Path):
    manifest = read_manifest(tsv)
    assert identity_labels(manifest, "utterance") == list(manifest.names)
    assert identity_labels(manifest, "session") == ["anna/s1", "anna/s2", "ben/s1"]
    write_labels(tsv.with_suffix(".session"), ["x", "y", "y"])
    assert identity_labels(manifest, "session") == ["x", "y", "y"]
    write_labels(tsv.with_suffix(".spk"), ["anna", "anna", "ben"])
    assert identity_labels(manifest, "speaker") == ["anna", "anna", "ben"]
    assert "train.cluster: no such file" in fails(identity_labels, manifest, "cluster")
    write_labels(tsv.with_suffix(".cluster"), ["7", "3", "7"])
    assert identity_labels(manifest, "cluster") == ["7", "3", "7"]
    assert "'gender'" in fails(identity_labels, manifest, "gender")


def test_domains_are_top_folders_or_labels(tmp_path: Path):
    names = ("libri/19/a.flac", "ocean/b.flac", "c.flac")
    manifest = Manifest(tmp_path / "train.tsv", tmp_path, names, np.array([1, 1, 1]))
    assert domain_labels(manifest) == ["libri", "ocean", ""]
    (tmp_path / "train.domain").write_text("phone\nphone\nstudio\n")
    assert domain_labels(manifest) == ["phone", "phone", "studio"]
    (tmp_path / "train.domain").write_bytes("phone\r\nphone\r\nstudio\r\n".encode("utf-8-sig"))
    assert domain_labels(manifest) == ["phone", "phone", "studio"]
    (tmp_path / "train.domain").write_text("phone\n")
    with pytest.raises(InputError, match="train.domain: has 1 lines"):
        domain_labels(manifest)


def test_folders_of_names_of_any_form(tmp_path: Path):
    """Sessions and domains without files are what paths say, one by one."""
    names = ["a/b/1.wav", "a/b/2.wav", "1.wav", "a", "b", "./a/1.wav", "a/", "a/b/", "a/b/.", "a/./b/1", "/x", "//x"]
    names += ["/", "..", "../a/1", "a//1"]
    write_lines(tmp_path / "x.tsv", [str(tmp_path), *(f"{name}\t1" for name in names)])
    manifest = read_manifest(tmp_path / "x.tsv")
    assert identity_labels(manifest, "session") == [str(PurePosixPath(name).parent) for name in names]
    assert domain_labels(manifest) == [PurePosixPath(name).parts[0] if "/" in name else "" for name in names]
