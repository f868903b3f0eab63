"""Patterns of names and draws of speakers, worked out by hand."""

from dataclasses import replace
from pathlib import Path

import pytest

from csc_fairseq.corpora.corpus import Corpus, Part
from csc_fairseq.corpora.hold_out import draw_speakers
from csc_fairseq.corpora.preparation import Recording
from csc_fairseq.corpora.selection import selected, with_drawn_speakers, with_held_out, with_selected
from csc_fairseq.data.rng import text_key
from tests.making import fails

NAMES = ["a/1.wav", "a/2_mic2.wav", "b/1.wav", "Jose\u0301/1.wav"]


@pytest.mark.parametrize(
    ("include", "exclude", "kept"),
    [
        ([], [], [0, 1, 2, 3]),
        (["a/*"], [], [0, 1]),
        (["a/*", "b/?.wav"], ["*_mic2.*"], [0, 2]),
        (["Jos\u00e9*"], [], [3]),  # in another Unicode form
        ([], ["[ab]/*"], [3]),
    ],
)
def test_patterns(include: list[str], exclude: list[str], kept: list[int]):
    found, notes = selected(NAMES, include, exclude)
    assert found == [NAMES[i] for i in kept]
    left = len(NAMES) - len(kept)
    assert notes == ([f"left out by --include and --exclude: {left} of 4 recordings"] if left else [])


def test_patterns_that_fit_nothing():
    assert fails(selected, NAMES, ["A/*"], []).startswith("--include 'A/*': fits none of 4 recordings, such as a/1.wav")
    assert fails(selected, NAMES, [], ["*.flac"]).startswith("--exclude '*.flac': fits none")
    assert "leave none of 4 recordings" in fails(selected, NAMES, ["a/*"], ["a/*"])


def test_draws_follow_an_order_of_the_speakers():
    speakers = [f"s{i}" for i in range(10)]
    order = sorted(speakers, key=lambda speaker: text_key(f"5 speakers {speaker}"))
    found = draw_speakers(speakers * 2, {"test": 2, "dev": 0.26}, seed=5)  # 0.26 of 10 is 3
    assert {split: [speaker for speaker in order if found[speaker] == split] for split in ("test", "dev", "train")} == {
        "test": order[:2],
        "dev": order[2:5],
        "train": order[5:],
    }
    assert list(draw_speakers(speakers, {"dev": 0.01}, seed=5).values()).count("dev") == 1  # one at least
    assert fails(draw_speakers, speakers, {"test": 0.9}, 5).startswith(
        "10 speakers, 9 of them drawn for test: at least 2"
    )


def corpus() -> Corpus:
    """Two audio folders; train is in the second one, with two speakers of three recordings."""
    train = [Recording(f"train/{speaker}{take}", 1, speaker) for speaker in "xy" for take in range(3)]
    return Corpus([Part(Path("/one"), {"test": [Recording("test/z0", 1, "z")]}), Part(Path("/two"), {"train": train})])


def test_parts_stay_what_they_are():
    held = with_held_out(corpus(), 1, None, whoever=False, seed=1)
    assert [(part.root, sorted(part.splits)) for part in held.parts] == [
        (Path("/one"), ["test"]),
        (Path("/two"), ["train", "valid"]),
    ]
    assert sorted(one.speaker for one in held.splits["valid"]) == ["x", "y"]
    chosen = with_selected(corpus(), ["train/x*"], [])
    assert [part.root for part in chosen.parts] == [Path("/two")]  # nothing is left of the other one
    assert [one.name for one in chosen.splits["train"]] == ["train/x0", "train/x1", "train/x2"]
    assert with_selected(corpus(), [], []).parts == corpus().parts


def test_draws_that_cannot_be():
    assert fails(with_drawn_speakers, corpus(), {"test": 1}, 1).startswith(
        "--test-speakers: there are the splits test, train already"
    )
    without = replace(corpus(), parts=corpus().parts[:1])
    assert fails(with_held_out, without, 1, None, False, 1).startswith(
        "/one: has the splits test; holding out needs train"
    )
