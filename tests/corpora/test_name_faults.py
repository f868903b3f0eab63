"""Names that agree in their hashes are all that can agree: the same faults are found as by comparing everything."""

import os

import numpy as np
import pytest

from csc_fairseq.corpora.entries import Entries
from csc_fairseq.corpora.name_faults import faulty_names, repeated, stem_hashes
from csc_fairseq.corpora.repetitions import cut_ending, without_ending
from csc_fairseq.data.texts import Names

PLAIN = [
    "a/1.wav",
    "a/1.flac",
    "a/2.wav",
    "a/2",
    "b/.wav",
    "b.c/1",
    "b.d/1",
    "b/x.",
    "b/x",
    "a.b.wav",
    "a.b.flac",
    "a.c.wav",
]
ODD = [
    *PLAIN, "./a/1.wav", "a//1.wav", "a/./2.wav", "a/../a/2.wav", "../1.wav", "/a/1.wav", "a/", "a", ".", "..", "/",
    "é.wav", "e\u0301.wav", "x.zip:3:4", "x.zip:5:6",
]  # fmt: skip


def entries(names: list[str]) -> Entries:
    own = Names.of(names)
    lines = np.arange(len(names)) + 2
    return Entries("/", lines, own, own, np.ones(len(names), dtype=np.int64), len(names))


@pytest.mark.parametrize("names", [PLAIN, ODD])
@pytest.mark.parametrize("folder", ["", "/data", "/data/../x"])
def test_hashes_agree_where_stems_do(names: list[str], folder: str):
    stems = [without_ending(os.path.normpath(os.path.join(folder, name))) for name in names]
    hashes = stem_hashes(Names.of(names), folder).tolist()
    assert [hashes.index(one) for one in hashes] == [stems.index(one) for one in stems]


def test_repeated_numbers():
    assert repeated(np.array([5, 3, 5, 7, 3, 5])).tolist() == [0, 1, 2, 4, 5]
    assert repeated(np.array([1, 2, 3])).tolist() == [] == repeated(np.array([], dtype=np.int64)).tolist()


def test_faults_of_plain_names():
    assert [(line, text.split(" differs")[0]) for line, text in faulty_names(entries(PLAIN))] == [
        (3, "a/1.flac"), (5, "a/2"), (12, "a.b.flac"),
    ]  # fmt: skip


def test_faults_of_odd_names():
    found = faulty_names(entries(ODD))
    outside = sorted(line for line, text in found if "lies outside" in text)
    assert [ODD[line - 2] for line in outside] == ["../1.wav", "/a/1.wav", "..", "/"]
    twice = {ODD[line - 2]: text for line, text in found if "already on line" in text}
    assert set(twice) == {"./a/1.wav", "a//1.wav", "a/./2.wav", "a/../a/2.wav", "a"}
    assert twice["a/./2.wav"] == "a/./2.wav is already on line 4; remove one of the two"
    assert any("in its Unicode form alone" in text for _, text in found)


@pytest.mark.parametrize(
    ("path", "cut"),
    [("a/b.wav", "a/b"), ("a.b/c", "a.b/c"), ("a/.b", "a/.b"), ("a/b.", "a/b."), ("a.b.c", "a.b"), ("", "")],
)
def test_endings(path: str, cut: str):
    assert cut_ending(path) == cut
