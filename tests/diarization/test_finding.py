"""Where a voice speaks, of windows made by hand."""

from dataclasses import replace

import numpy as np
import pytest

from csc_fairseq.diarization.finding import Stretch, find_voice, window_stretches
from tests.diarization.made import FRAME, RATE, windows

VOICE = np.eye(1, 4, dtype=np.float32)[0]
OTHER = [0.0, 1.0, 0.0, 0.0]
LIKE = [0.8, 0.6, 0.0, 0.0]  # cosine 0.8


def made(speech: dict[int, list[tuple[float, float]]], like: dict[int, float], seconds: int = 12):
    """Windows of 3 s, one a second. speech: stretches in seconds of each stream; like: cosine of stream 1 by window, else 0.

    Stream 0 is another talker.
    """
    count = seconds - 2
    queries = np.tile(np.array([OTHER, OTHER], np.float32), (count, 1, 1))
    for number, cosine in like.items():
        queries[number, 1] = [cosine, np.sqrt(1 - cosine**2), 0, 0]
    found = windows(seconds * RATE, queries)
    spoken = np.full((2, seconds * RATE // FRAME), 1e-5, np.float32)
    for stream, stretches in speech.items():
        for start, end in stretches:
            spoken[stream, round(start * 50) : round(end * 50)] = 0.1
    levels = np.stack([spoken[:, start // FRAME : (start + found.length) // FRAME] for start in found.starts])
    return replace(found, levels=levels, mixture_levels=levels.max(axis=1))


def rounded(stretches: list[Stretch]) -> list[tuple[float, float, float]]:
    return [(round(one.start, 2), round(one.end, 2), round(one.cosine, 2)) for one in stretches]


def test_activity_of_the_stream_narrows_the_ends():
    """The voice speaks from 2.5 to 5.3 s; the windows that begin at 1 to 4 s are like it, and reach from 1 to 7 s."""
    found = made({0: [(0, 12)], 1: [(2.5, 5.3)]}, {1: 0.6, 2: 0.9, 3: 0.8, 4: 0.7})
    assert rounded(find_voice(found, VOICE, lambda cosine: cosine >= 0.5)) == [(2.5, 5.3, 0.9)]
    # With 0.75, windows 2 and 3 are left, from 2 to 6 s.
    assert rounded(find_voice(found, VOICE, lambda cosine: cosine >= 0.75)) == [(2.5, 5.3, 0.9)]
    # With 0.85, window 2 alone, up to 5 s.
    assert rounded(find_voice(found, VOICE, lambda cosine: cosine >= 0.85)) == [(2.5, 5.0, 0.9)]
    assert find_voice(found, VOICE, lambda cosine: cosine >= 0.95) == []


def test_short_pauses_are_part_of_a_stretch_and_long_ones_are_not():
    cosines = {number: 0.6 + number / 100 for number in range(10)}
    found = made({0: [(0, 12)], 1: [(1, 3), (3.9, 5), (6.1, 8)]}, cosines)
    assert rounded(find_voice(found, VOICE, lambda cosine: cosine > 0)) == [(1.0, 5.0, 0.64), (6.1, 8.0, 0.67)]


def test_streams_that_hold_nobody_are_not_looked_at():
    """Stream 1 is like the voice in all windows, but holds a sound in the first three seconds only."""
    found = made({0: [(0, 6)], 1: [(0, 1.5)]}, dict.fromkeys(range(10), 0.9))
    assert rounded(find_voice(found, VOICE, lambda cosine: cosine > 0.5)) == [(0.0, 1.5, 0.9)]
    heard = rounded(window_stretches(found, VOICE))
    assert heard == [(0, 3, 0.9), (1, 4, 0.9), *[(float(n), n + 3.0, 0.0) for n in range(2, 6)]]


def test_nobody_speaks_and_a_short_recording():
    silent = made({}, {})
    assert window_stretches(replace(silent, levels=silent.levels * 0), VOICE) == []
    assert find_voice(replace(silent, levels=silent.levels * 0), VOICE, lambda cosine: True) == []
    short = windows(1010, np.array([[LIKE, OTHER]]))
    assert rounded(window_stretches(short, VOICE)) == [(0, 1.01, 0.8)]
    assert rounded(find_voice(short, VOICE, lambda cosine: True)) == [(0, 1.01, 0.8)]  # the last frame is shorter


@pytest.mark.parametrize("cosine", [1.0000001, -1.0000001])
def test_cosines_are_in_range(cosine):
    found = windows(3000, np.array([[[1.0, 0, 0, 0]]]))
    (heard,) = window_stretches(found, VOICE * np.float32(cosine))
    assert abs(heard.cosine) == 1
