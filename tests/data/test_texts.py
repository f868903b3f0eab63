"""Names and labels in arrays are what lists of the same strings are."""

import pickle

import numpy as np
import pytest

from csc_fairseq.data.texts import Labels, Names

NAMES = ("anna/1.wav", "ä/ö.flac", "", "ben", "ben/2")
LABELS = ["ben", "ä", "ben", "anna", "ä"]


@pytest.mark.parametrize(("texts", "plain"), [(Names.of(NAMES), NAMES), (Labels.of(LABELS), LABELS)])
def test_they_are_sequences_of_strings(texts, plain):
    assert len(texts) == len(plain)
    assert list(texts) == list(plain)
    assert [texts[i] for i in range(-len(plain), len(plain))] == [*plain, *plain]
    assert texts[1:4] == list(plain[1:4]) and texts[::-2] == list(plain[::-2])
    assert texts.index(plain[3]) == plain.index(plain[3]) and plain[4] in texts and "nobody" not in texts
    for index in (len(plain), -len(plain) - 1):
        with pytest.raises(IndexError):
            texts[index]
    copy = pickle.loads(pickle.dumps(texts))
    assert copy == texts == tuple(plain) and texts == list(plain)
    assert texts != [*plain[:-1], "other"] and texts != plain[:-1] and texts != "benben"
    assert np.array(texts).tolist() == list(plain)


def test_labels_are_numbers_and_sorted_values():
    labels = Labels.of(LABELS)
    assert labels.values == ("anna", "ben", "ä")
    assert labels.codes.dtype == np.int32 and labels.codes.tolist() == [1, 2, 1, 0, 2]
    assert Labels.of(labels) is labels
    merged = Labels.merged(np.array([0, 1, 2, 1]), ["b", "a", "b"])
    assert merged == ["b", "a", "b", "a"] and merged.values == ("a", "b")


def test_they_are_small():
    """Ten bytes of text and twelve of numbers for a name; four for a label."""
    names = Names.of(f"{i:06}.wav" for i in range(1000))
    assert len(names.buffer) + names.starts.nbytes + names.lengths.nbytes == 22_000
    assert Labels.of("ab"[i % 2] for i in range(1000)).codes.nbytes == 4000
