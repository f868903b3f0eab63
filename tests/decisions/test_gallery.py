"""Galleries: means by hand, what a second enrolment does, and every fault of a file in one line."""

import io
import zipfile

import numpy as np
import pytest

from csc_fairseq.decisions.gallery import Enrolment, Gallery, read_gallery, write_gallery
from csc_fairseq.decisions.model_identity import ModelIdentity
from tests.making import fails

MODEL = ModelIdentity("csc.pt", "a" * 32)


def row(digest: str, *embedding: float, seconds: float = 2.0) -> Enrolment:
    """Of the recording DIGEST.wav; the embedding is made unit norm."""
    vector = np.array(embedding, dtype=np.float32)
    return Enrolment(f"{digest}.wav", digest, seconds, vector / np.linalg.norm(vector))


@pytest.fixture
def gallery() -> Gallery:
    """anna with two recordings, Ünal with one."""
    return (
        Gallery(MODEL)
        .enrolled("anna", [row("a1", 1, 0), row("a2", 0, 1, seconds=3)])
        .enrolled("Ünal", [row("u", 3, 4)])
    )


def test_a_voice_is_the_mean_of_its_recordings(gallery):
    np.testing.assert_allclose(gallery.centres, [[0.5**0.5, 0.5**0.5], [0.6, 0.8]], atol=1e-6)
    assert gallery.centres.dtype == np.float32 and gallery.voice("anna").seconds == 5.0
    assert [voice.name for voice in gallery.voices] == ["anna", "Ünal"]
    assert gallery.voice("U\u0308nal") is gallery.voices[1] and gallery.voice("ben") is None  # another Unicode form


def test_a_name_again_extends_or_replaces(gallery):
    third = row("a3", 1, 0)
    longer = gallery.enrolled("anna", [third])
    assert [one.digest for one in longer.voice("anna").enrolments] == ["a1", "a2", "a3"]
    np.testing.assert_allclose(longer.centres[0], np.array([2, 1]) / 5**0.5, atol=1e-6)  # of all three alike
    assert [one.digest for one in gallery.enrolled("anna", [third], True).voice("anna").enrolments] == ["a3"]
    assert [voice.name for voice in longer.voices] == ["anna", "Ünal"]
    # The same command again changes nothing, and a recording given twice counts once.
    assert longer.enrolled("anna", [row("a3", 0, 1), third]).voice("anna").enrolments == longer.voice("anna").enrolments
    message = fails(gallery.enrolled, "ben", [row("u", 3, 4)])
    assert message.startswith("u.wav: is a recording of Ünal in this gallery; enrol it for one of the two")


def test_recordings_that_cancel_out(gallery):
    assert "ben: the embeddings of the recordings cancel out; are all of one person?" in fails(
        gallery.enrolled, "ben", [row("b1", 1, 0), row("b2", -1, 0)]
    )


@pytest.mark.parametrize("name", ["", " anna", "a\tb", "a\nb", "\x1b[2J", "caf\udce9"])
def test_impossible_names(gallery, name):
    assert fails(gallery.enrolled, name, []).startswith(f"name {name!r}: expected printable text")


def test_nobody_is_called_unknown(gallery):
    assert "is what is said of voices that are not enrolled" in fails(gallery.enrolled, "unknown", [row("x", 1, 0)])


def test_round_trip(gallery, tmp_path):
    path = tmp_path / "new" / "team.npz"
    write_gallery(path, gallery)
    assert list(path.parent.iterdir()) == [path]
    found = read_gallery(path, ModelIdentity("elsewhere.pt", MODEL.digest))
    assert found.model == MODEL
    for own, other in zip(found.voices, gallery.voices, strict=True):
        assert own.name == other.name
        for one, another in zip(own.enrolments, other.enrolments, strict=True):
            assert (one.file, one.digest, one.seconds) == (another.file, another.digest, another.seconds)
            np.testing.assert_array_equal(one.embedding, another.embedding)
    np.testing.assert_array_equal(found.centres, gallery.centres)


def test_a_failed_write_leaves_the_old_gallery(gallery, tmp_path, monkeypatch):
    path = tmp_path / "team.npz"
    write_gallery(path, gallery)
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    assert "team.npz: cannot be written" in fails(write_gallery, path, gallery.enrolled("ben", [row("b", 1, 1)]))
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_gallery_of_another_model_is_refused(gallery, tmp_path):
    path = tmp_path / "team.npz"
    write_gallery(path, gallery)
    assert fails(read_gallery, path, ModelIdentity("tuned.pt", "b" * 32)) == (
        f"{path}: was enrolled with the model csc.pt (aaaaaaaa…), not with tuned.pt (bbbbbbbb…); use that model, or enrol the "
        "voices again in a new gallery"
    )


def changed(path, gallery: Gallery, **entries) -> None:
    """Writes the gallery with other entries; None leaves one out."""
    write_gallery(path, gallery)
    with np.load(path) as file:
        found = {name: file[name] for name in file.files} | entries
    np.savez(path, **{name: value for name, value in found.items() if value is not None})


FAULTY = [
    ({"format": np.array(["else", "1"])}, "is no gallery; expected a gallery, as `csc enrol` writes it"),
    ({"format": np.array(["csc-gallery", "2"])}, "is a gallery of version 2, expected 1; update csc-fairseq"),
    ({"format": None}, "is damaged or no gallery"),
    ({"names": None}, "is damaged (it lacks names)"),
    ({"digests": np.arange(3)}, "is damaged (digests are int64)"),
    ({"names": np.array(["anna"])}, "is damaged ("),
    ({"names": np.array(["anna", "anna", "unknown"])}, "name 'unknown': is what is said"),
    ({"seconds": np.array([1.0, 2.0, np.nan])}, "is damaged (a recording has no length)"),
    ({"embeddings": np.ones((3, 2), np.float32)}, "is damaged (an embedding is not of unit norm)"),
    ({"embeddings": np.full((3, 2), np.nan, np.float32)}, "is damaged (an embedding is not of unit norm)"),
    ({"embeddings": np.eye(3)}, "is damaged (embeddings are float64 [3, 3], expected float32 [N, E])"),
    ({"files": np.array([{}], dtype=object)}, "is damaged or no gallery (Object arrays cannot be loaded"),
]


@pytest.mark.parametrize(("entries", "message"), FAULTY)
def test_faulty_content(gallery, tmp_path, entries, message):
    path = tmp_path / "team.npz"
    changed(path, gallery, **entries)
    found = fails(read_gallery, path, MODEL)
    assert found.startswith(f"{path}: ") and message in found


def test_not_such_a_file(gallery, tmp_path):
    path = tmp_path / "team.npz"
    assert "team.npz: no such file; expected a gallery" in fails(read_gallery, path, MODEL)
    write_gallery(path, gallery)
    content = path.read_bytes()
    for damaged in (b"nonsense", b"", content[: len(content) // 2]):
        path.write_bytes(damaged)
        assert "team.npz: is damaged or no gallery" in fails(read_gallery, path, MODEL)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("embeddings.npy", bytes(10**7))
    path.write_bytes(packed.getvalue())
    assert "claims 10000000 bytes, more than it can have" in fails(read_gallery, path, MODEL)
