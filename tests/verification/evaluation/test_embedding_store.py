"""Kept embeddings: given back bit for bit, never under another key, never half written."""

import os
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from csc_fairseq.digests import digest, file_digest
from csc_fairseq.errors import InputError
from csc_fairseq.verification.evaluation.embedding import Embedded
from csc_fairseq.verification.evaluation.embedding_store import EmbeddingStore


@pytest.fixture
def embedded():
    rng = np.random.default_rng(0)
    streams = rng.standard_normal((5, 2, 7)).astype(np.float32)
    improvements = rng.standard_normal((2, 5))
    improvements[:, 3] = np.nan
    return Embedded(streams, rng.integers(-1, 2, size=(5, 3)), *improvements)


def same(found, expected):
    for field in fields(Embedded):
        own, other = getattr(found, field.name), getattr(expected, field.name)
        assert own.dtype == other.dtype
        np.testing.assert_array_equal(own, other)
    return True


def test_what_was_kept_comes_back(tmp_path, embedded):
    store = EmbeddingStore(tmp_path / "new" / "folder")
    assert store.load("talker 0 dB.test", "key") is None
    store.save("talker 0 dB.test", "key", embedded)
    assert same(store.load("talker 0 dB.test", "key"), embedded)
    assert same(EmbeddingStore(tmp_path / "new" / "folder").load("talker 0 dB.test", "key"), embedded)
    assert store.load("talker 0 dB.enrolment", "key") is None
    assert [path.name for path in store.folder.iterdir()] == ["talker 0 dB.test.embedded"]


def test_another_key_is_not_used(tmp_path, embedded):
    store = EmbeddingStore(tmp_path)
    store.save("clean.test", "one", embedded)
    assert store.load("clean.test", "two") is None
    other = Embedded(-embedded.streams, embedded.assignment, embedded.si_snri, embedded.sdri)
    store.save("clean.test", "two", other)
    assert same(store.load("clean.test", "two"), other)
    assert store.load("clean.test", "one") is None


def test_the_same_embeddings_give_the_same_bytes(tmp_path, embedded):
    store = EmbeddingStore(tmp_path)
    for name in ("a", "b"):
        store.save(name, "key", embedded)
    assert (tmp_path / "a.embedded").read_bytes() == (tmp_path / "b.embedded").read_bytes()


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage", "longer", "of NumPy"])
def test_damaged_files_are_replaced(tmp_path, embedded, damage):
    store, path = EmbeddingStore(tmp_path), tmp_path / "clean.test.embedded"
    store.save("clean.test", "key", embedded)
    whole = path.read_bytes()
    contents = {
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "garbage": b"no archive",
        "longer": whole + b"1",
        "of NumPy": whole[16:],
    }
    path.write_bytes(contents[damage])
    assert store.load("clean.test", "key") is None
    store.save("clean.test", "key", embedded)
    assert path.read_bytes() == whole


def test_no_flipped_bit_passes(tmp_path, embedded):
    store, path = EmbeddingStore(tmp_path), tmp_path / "clean.test.embedded"
    store.save("clean.test", "key", embedded)
    whole = path.read_bytes()
    for place in np.random.default_rng(0).integers(len(whole), size=200).tolist():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        assert store.load("clean.test", "key") is None


def test_an_interruption_leaves_what_was_there(tmp_path, embedded, monkeypatch):
    store = EmbeddingStore(tmp_path)
    store.save("clean.test", "old", embedded)

    def interrupted(path, content):
        path.touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.save("clean.test", "new", embedded)
    assert same(store.load("clean.test", "old"), embedded)
    assert os.listdir(tmp_path) == ["clean.test.embedded"]


def test_places_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match=r"file.*: cannot be made \((File exists|Not a directory)\); .* --out"):
            EmbeddingStore(folder)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # permissions do not stop root, who may test
    with pytest.raises(InputError, match=f"{tmp_path}: cannot be written to; choose another --out"):
        EmbeddingStore(tmp_path)


def test_digests(tmp_path):
    """Known ones, so that they are the same in every process: Python's own hashes are not."""
    assert digest({"b": [1, 2.5, None], "a": "ü"}) == digest({"a": "ü", "b": [1, 2.5, None]})
    assert digest([]) == "7ebb3c7c2a87b1a2f8a7ed729ecb040d"
    assert len({digest(value) for value in ([1], [1.5], ["1"], [[1]], None, [1, None])}) == 6
    path = tmp_path / "file"
    digests = set()
    for content in (b"", b"a", b"ab", b"a" * 100_000):
        path.write_bytes(content)
        digests.add(file_digest(path))
        assert file_digest(path) in digests
    assert len(digests) == 4 and all(len(text) == 32 for text in digests)
