"""Turns and talking times against cases worked out by hand."""

import numpy as np
import pytest

from csc_fairseq.data.rttm import Turn
from csc_fairseq.diarization.turns import TalkingTime, table, talking_times, turns_of
from tests.diarization.made import talkers, windows


@pytest.fixture
def case():
    """0.15 s: seven frames of 20 ms and one of 10; the first talker's last turn is cut by the end."""
    found = windows(150, np.ones((1, 2, 4)))
    active = np.array([[0, 1, 1, 1, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0, 0, 0]])
    return talkers(active, np.eye(2, 4), [[0, 1]]), found


def test_turns_overlap_and_end_with_the_recording(case):
    expected = [("talker_1", 0.02, 0.08), ("talker_2", 0.06, 0.10), ("talker_1", 0.12, 0.15)]
    assert turns_of(*case) == [Turn(name, pytest.approx(start), pytest.approx(end)) for name, start, end in expected]


def test_turns_that_begin_together_are_in_the_order_of_talkers(case):
    people, found = case
    together = talkers(people.active[:, [1, 3, 3, 3, 4, 4, 4, 4]][::-1], np.eye(2, 4), [[0, 1]])
    assert [(turn.talker, turn.start) for turn in turns_of(together, found)] == [
        ("talker_1", 0.02),
        ("talker_2", 0.0),
    ][::-1]
    both = talkers([[1] * 8, [1] * 8], np.eye(2, 4), [[0, 1]])
    assert [turn.talker for turn in turns_of(both, found)] == ["talker_1", "talker_2"]


def test_talking_times(case):
    times = talking_times(*case)
    assert [one.talker for one in times] == ["talker_1", "talker_2"]
    assert [one.seconds for one in times] == pytest.approx([0.06 + 0.03, 0.04])
    assert [one.alone for one in times] == pytest.approx([0.04 + 0.03, 0.02])
    assert [one.turns for one in times] == [2, 1]
    assert table(times, 0.15) == [("talker_1", "0.09", "0.07", "60.0", "2"), ("talker_2", "0.04", "0.02", "26.7", "1")]


def test_nobody_and_somebody_who_never_speaks(case):
    nobody = talkers(np.zeros((0, 8)), np.zeros((0, 4)), [[-1, -1]])
    assert turns_of(nobody, case[1]) == [] and talking_times(nobody, case[1]) == []
    quiet = talkers(np.zeros((1, 8)), np.eye(1, 4), [[0, -1]])
    assert turns_of(quiet, case[1]) == []
    assert talking_times(quiet, case[1]) == [TalkingTime("talker_1", 0.0, 0.0, 0)]
