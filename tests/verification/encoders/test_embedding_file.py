"""Embeddings from a file: found by name, refused for mixtures."""

import numpy as np
import pytest

from csc_fairseq.errors import InputError
from csc_fairseq.verification.encoders.embedding_file import FileEncoder


@pytest.fixture
def save(tmp_path):
    def write(**arrays):
        np.savez(tmp_path / "e.npz", **arrays)
        return tmp_path / "e.npz"

    return write


def test_recordings_by_name(save):
    path = save(
        names=np.array(["a/1.wav", "b/1", "c.d/1.flac"]), embeddings=np.array([[3.0, 4.0], [0.0, 2.0], [-1.0, 0.0]])
    )
    encoder = FileEncoder("mine", path)
    found = encoder.recordings(["c.d/1.flac", "a/1.wav", "b/1.wav", "a/1.wav"])
    np.testing.assert_allclose(found, [[-1, 0], [0.6, 0.8], [0, 1], [0.6, 0.8]], rtol=1e-6)
    assert found.dtype == np.float32
    with pytest.raises(InputError, match="e.npz: has no embedding of a/2.wav"):
        encoder.recordings(["a/1.wav", "a/2.wav"])
    for embed in (encoder.enrol, encoder.test):
        with pytest.raises(InputError, match="encoder mine: .*e.npz holds embeddings of recordings and cannot embed"):
            embed([np.ones(16000, dtype=np.float32)])


def test_files_of_another_form(save, tmp_path):
    with pytest.raises(InputError, match=r"e.npz: has a twice"):
        FileEncoder("x", save(names=np.array(["b", "a", "a"]), embeddings=np.ones((3, 2))))
    with pytest.raises(InputError, match=r"encoder x: gave embeddings of shape \[2, 2\], expected \[3, any\]"):
        FileEncoder("x", save(names=np.array(["b", "a", "c"]), embeddings=np.ones((2, 2))))
    with pytest.raises(InputError, match="encoder x: gave NaN"):
        FileEncoder("x", save(names=np.array(["b"]), embeddings=np.full((1, 2), np.nan)))
    with pytest.raises(InputError, match="e.npz: embeddings is not a file in the archive; expected names"):
        FileEncoder("x", save(names=np.array(["b"])))
    objects = np.empty(1, dtype=object)
    with pytest.raises(InputError, match="e.npz: cannot be read .*allow_pickle"):
        FileEncoder("x", save(names=objects, embeddings=np.ones((1, 2))))
    for content in (b"", b"hello", b"PK\x03\x04 damaged"):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(InputError, match="bad.npz: cannot be read"):
            FileEncoder("x", tmp_path / "bad.npz")
    with open(tmp_path / "array.npz", "wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(InputError, match="array.npz: cannot be read"):
        FileEncoder("x", tmp_path / "array.npz")
    with pytest.raises(InputError, match="absent.npz: cannot be read"):
        FileEncoder("x", tmp_path / "absent.npz")
