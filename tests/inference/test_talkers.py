"""Who the streams of windows are, on windows made by hand: known voices, known times, streams in random order."""

from dataclasses import replace

import numpy as np
import pytest

from csc_fairseq.errors import InputError
from csc_fairseq.inference import talkers as module
from csc_fairseq.inference.stream_activity import active_frames, active_streams
from csc_fairseq.inference.talkers import find_talkers, somebody
from csc_fairseq.inference.windows import WindowGrid, Windows

RATE, FRAME = 1000, 20  # Hz, samples of a frame
VOICES = np.eye(16, dtype=np.float32)[:5]


def heard(turns, seconds, *, streams=2, residue_db=-25.0, noise=0.2, seed=0, levels=(0.1,) * 5):
    """Windows of 2 s every half second.

    turns: (talker, from, to) in seconds. A window's streams hold the talkers that are loudest in it, in random order; what no
    talker has holds the mixture `residue_db` below it, with the query of the window's loudest talker. noise: of the queries.
    """
    rng = np.random.default_rng(seed)
    grid = WindowGrid.of(round(seconds * RATE), RATE, 2.0, 0.5, least=1, most=12000)
    frames = -(-grid.samples // FRAME)
    talking = np.full((len(VOICES), frames), 1e-6, np.float32)
    for talker, first, last in turns:
        talking[talker, round(first / 0.02) : round(last / 0.02)] = levels[talker]
    talking[:, between_syllables(frames)] *= 1e-3
    for talker, first, last in turns:  # which begin and end with a sound
        talking[talker, [round(first / 0.02), round(last / 0.02) - 1]] = levels[talker]
    mixture = np.sqrt(np.square(talking).sum(axis=0))
    size = -(-grid.length // FRAME)
    shape = (len(grid.starts), streams, size)
    queries, own, mixed = (
        np.empty((*shape[:2], 16), np.float32),
        np.empty(shape, np.float32),
        np.empty((shape[0], size)),
    )
    for number, start in enumerate(grid.starts):
        cut = slice(start // FRAME, start // FRAME + size)
        loudest = np.argsort(-np.square(talking[:, cut]).sum(axis=1), kind="stable")[:streams]
        for place, talker in zip(rng.permutation(streams), loudest, strict=True):
            rest = talking[talker, cut].max() < 1e-4
            own[number, place] = mixture[cut] * 10 ** (residue_db / 20) if rest else talking[talker, cut]
            query = VOICES[loudest[0] if rest else talker] + noise * rng.standard_normal(16) / 4
            queries[number, place] = query / np.linalg.norm(query)
        mixed[number] = mixture[cut]
    return Windows(RATE, grid.samples, grid.length, FRAME, grid.starts, queries, own, mixed)


def between_syllables(frames):
    """(F,) short pauses of every talker: speech is no steady sound."""
    return np.arange(frames) % 6 == 3


def spoken(turns, talker, frames):
    """(F,) when a talker speaks."""
    active = np.zeros(frames, bool)
    for who, first, last in turns:
        if who == talker:
            active[round(first / 0.02) : round(last / 0.02)] = True
    return active


def require_right(found, turns, windows, order):
    """The talkers are `order`, whose times and levels are those of the turns."""
    np.testing.assert_allclose(found.centres @ VOICES[order].T, np.eye(len(order)), atol=0.15)
    np.testing.assert_allclose(np.linalg.norm(found.centres, axis=1), 1, atol=1e-5)
    assert found.of_stream.shape == windows.levels.shape[:2]
    for row, talker in enumerate(order):
        expected = spoken(turns, talker, windows.frames)
        np.testing.assert_array_equal(found.active[row], expected)
        sounds = expected & ~between_syllables(windows.frames)
        np.testing.assert_allclose(found.levels[row][sounds], 0.1, rtol=1e-5)
    for window in found.of_stream:
        named = window[window >= 0]
        assert len(set(named)) == len(named)  # no talker twice


TURNS = [(0, 0, 6), (1, 5, 12), (0, 12, 20), (1, 19, 27), (0, 27.5, 40)]


@pytest.mark.parametrize("seed", range(3))
def test_two_talkers_who_overlap_and_change_streams(seed):
    windows = heard(TURNS, 40, seed=seed)
    require_right(find_talkers(windows), TURNS, windows, [0, 1])


def test_three_talkers_of_a_model_with_two_streams():
    turns = [(0, 0, 9), (1, 8, 15), (2, 16, 28), (1, 27, 36), (0, 36.5, 40)]
    windows = heard(turns, 40)
    require_right(find_talkers(windows), turns, windows, [1, 0, 2])
    assert len(find_talkers(heard(TURNS, 40), talkers=3).centres) <= 3


def test_one_talker_whose_other_stream_holds_what_is_left_over():
    turns = [(3, 0.5, 10), (3, 12, 29)]
    windows = heard(turns, 30)
    found = find_talkers(windows)
    require_right(found, turns, windows, [3])
    assert ((found.of_stream >= 0).sum(axis=1) <= 1).all()
    # A residue that is as loud as somebody is not taken for a second voice if it sounds like the first.
    assert len(find_talkers(heard(turns, 30, residue_db=-8)).centres) == 1


def test_a_louder_stream_has_its_talker():
    """A residue that is as loud as somebody is nobody, where a louder stream is the talker that it is like."""
    turns = [(0, 0, 20), (1, 20, 40)]
    found = find_talkers(heard(turns, 40, residue_db=-8), talkers=2)
    assert found.active[:, 100:900].sum() == 800 and found.active[:, 1100:1900].sum() == 800


@pytest.mark.parametrize("level", [0.0, 1e-6])
def test_nobody(level):
    windows = heard([], 20)
    windows = replace(windows, levels=windows.levels * 0 + level, mixture_levels=windows.mixture_levels * 0 + level)
    for options in ({}, {"talkers": 2}, {"most": 2}):
        found = find_talkers(windows, **options)
        assert found.centres.shape == (0, 16) and found.levels.shape == found.active.shape == (0, 1000)
        assert (found.of_stream == -1).all()
    one = somebody(windows)
    assert one.centres.shape == (1, 16) and ((one.of_stream == 0).sum(axis=1) == 1).all()
    assert np.linalg.norm(one.centres[0]) == pytest.approx(1, abs=1e-5)


def test_somebody_is_the_mean_of_the_loudest_streams():
    windows = heard([(0, 0, 10)], 10, noise=0.0)
    one = somebody(windows)
    np.testing.assert_allclose(one.centres[0], VOICES[0], atol=1e-6)
    np.testing.assert_allclose(one.levels[0][~between_syllables(500)], 0.1, rtol=1e-5)


def alike(windows, share):
    """The same with queries that have `share` of another vector in common, so that voices are alike."""
    queries = windows.queries + share * VOICES[4]
    return replace(windows, queries=queries / np.linalg.norm(queries, axis=2, keepdims=True))


def test_two_streams_of_a_window_are_two_people():
    """Voices so alike that they are one where they take turns, and two where they talk at once."""
    windows = alike(heard([(0, 0, 30), (1, 0, 30)], 30, noise=0.0), 0.9)
    assert (windows.queries @ windows.queries[0, 0]).min() == pytest.approx(0.81 / 1.81, abs=1e-5)
    found = find_talkers(windows)
    assert len(found.centres) == 2 and (np.sort(found.of_stream, axis=1) == [0, 1]).all()
    which = windows.queries[..., 0] > windows.queries[..., 1]
    assert (found.of_stream[which] == found.of_stream[which][0]).all()
    assert len(find_talkers(alike(heard([(0, 0, 15), (1, 15, 30)], 30, noise=0.0), 0.9)).centres) == 1


def test_the_number_of_talkers_is_given():
    turns = [(0, 0, 12), (1, 12, 22), (2, 22, 30), (3, 30, 36)]
    windows = heard(turns, 36, noise=0.4)
    assert len(find_talkers(windows).centres) == 4
    for options, count in (({"talkers": 2}, 2), ({"talkers": 1}, 1), ({"most": 3}, 3), ({"most": 9}, 4)):
        found = find_talkers(windows, **options)
        assert len(found.centres) == count
        assert found.of_stream.max() == count - 1 and (found.of_stream >= 0).any(axis=1).all()
        assert (np.diff(found.active.sum(axis=1)) <= 0).all()  # who talks most first
    # More than are found without a number.
    windows = alike(heard([(0, 0, 15), (1, 15, 30)], 30, noise=0.0), 1.2)
    assert len(find_talkers(windows).centres) == 1
    np.testing.assert_array_equal(find_talkers(windows, talkers=2).active.sum(axis=1), [750, 750])


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"talkers": 0}, "talkers=0: expected 1 at least"),
        ({"most": -1}, "most=-1: expected 1 at least"),
        ({"talkers": 2, "most": 3}, "talkers=2 and most=3: give one of them"),
    ],
)
def test_impossible_numbers(options, complaint):
    with pytest.raises(InputError, match=complaint):
        find_talkers(heard(TURNS, 40), **options)


def test_who_talks_for_a_moment_is_left_out():
    turns = [(0, 0, 14), (1, 14.2, 15.0), (0, 16, 30)]
    found = find_talkers(heard(turns, 30))
    assert len(found.centres) == 1 and found.centres[0] @ VOICES[0] > 0.95


def test_more_streams_than_are_clustered(monkeypatch):
    windows = heard(TURNS, 40)
    monkeypatch.setattr(module, "MOST_CLUSTERED", 12)
    require_right(find_talkers(windows), TURNS, windows, [0, 1])


def test_pauses_are_filled_and_blips_left_out():
    turns = [(0, 0, 5), (0, 5.2, 10), (0, 11, 20), (0, 25, 25.04)]
    found = find_talkers(heard(turns, 30))
    expected = spoken([(0, 0, 10), (0, 11, 20)], 0, 1500)
    np.testing.assert_array_equal(found.active[0], expected)


def by_hand(streams, mixture):
    return Windows(RATE, 100, 100, FRAME, np.array([0]), VOICES[None, :2], np.float32([streams]), np.array([mixture]))


def test_active_frames_by_hand():
    """Loud frames at 0.1 (-20 dB): a floor 35 dB below in a quiet room, and 9 dB below the other stream."""
    quiet = [0.1, 0.1, 1e-5, 0.1, 1e-5]
    windows = by_hand([[0.1, 0.1, 0.1, 0.0018, 0.0017], [0.035, 0.036, 0.0, 0.1, 0.0017]], quiet)
    assert active_frames(windows).tolist() == [[[True, True, True, False, False], [False, True, False, True, False]]]
    assert active_streams(windows).tolist() == [[True, False]]  # half of a window of 0.1 s is asked for
    # In a room 20 dB below, the floor is 5 dB above the room: 0.0178.
    noisy = [0.1, 0.1, 0.01, 0.1, 0.01]
    windows = by_hand([[0.1, 0.018, 0.017, 0.03, 0.01], [0.09, 0.0, 0.0, 0.0, 0.0]], noisy)
    assert active_frames(windows).tolist() == [[[True, True, False, True, False], [True, False, False, False, False]]]


def test_one_level_throughout_is_a_voice():
    """Nothing tells a voice without a pause from a hum."""
    windows = by_hand([[0.1] * 5, [0.01] * 5], [0.1] * 5)
    assert active_frames(windows).tolist() == [[[True] * 5, [False] * 5]]


def test_one_voice_for_a_moment_in_long_noise():
    """Four seconds of speech in two minutes of noise 20 dB below."""
    windows = heard([(2, 60, 64)], 120)
    room = np.float32(0.01)
    windows = replace(
        windows,
        levels=np.maximum(windows.levels, room / 2),
        mixture_levels=np.sqrt(windows.mixture_levels**2 + room**2),
    )
    found = find_talkers(windows)
    assert len(found.centres) == 1 and found.centres[0] @ VOICES[2] > 0.9
    np.testing.assert_array_equal(np.flatnonzero(found.active[0])[[0, -1]], [3000, 3199])


def test_a_recording_shorter_than_a_window():
    windows = heard([(0, 0, 1.0)], 1.0)
    found = find_talkers(windows)
    assert found.centres.shape == (1, 16) and found.active.all() and found.active.shape == (1, 50)
