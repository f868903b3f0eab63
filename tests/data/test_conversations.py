from dataclasses import replace

import pytest

from csc_fairseq.data.conversations import ConversationOptions, ConversationPlan, Piece, Talker
from csc_fairseq.data.rttm import Turn
from tests.making import fails


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"talkers": 0}, "talkers is 0"),
        ({"uses": 0}, "uses is 0"),
        ({"absent": -1}, "absent is -1"),
        ({"overlap": 0.41}, "overlap is 0.41"),
        ({"overlap": -0.1}, "overlap is -0.1"),
        ({"overlap": float("nan")}, "overlap is nan"),
        ({"talkers": 1}, "overlap is 0.15 but talkers is 1"),
        ({"pause": (1.0, 0.5)}, "pause is (1.0, 0.5)"),
        ({"turn": (0.1, 5.0)}, "turn is (0.1, 5.0)"),
        ({"noise_snr_db": (20.0, 10.0)}, "noise_snr_db is (20.0, 10.0)"),
        ({"level_spread_db": -1.0}, "level_spread_db is -1.0"),
        ({"rir_probability": 1.5}, "rir_probability is 1.5"),
        ({"seconds": 18.9}, "lasts 18.9 s, too short for 2 talkers to speak, expected 19 s"),
    ],
)
def test_impossible_options(options, message):
    assert message in fails(lambda: ConversationOptions(**options))


def test_everybody_must_have_time_to_speak():
    options = ConversationOptions(talkers=4, turn=(1.0, 2.0), pause=(0.0, 0.1), seconds=10.0)
    assert options.seconds_for_all == pytest.approx(4 * 2.5)  # one's own turns are half a second apart


def talker(name: str, *extents: tuple[int, int]) -> Talker:
    pieces = tuple(Piece(0, 0, end - start, start) for start, end in extents)
    return Talker(name, name, (), 0.0, 1, -1, pieces, 1)


def test_pieces_become_turns():
    """400 samples are the longest pause within a turn at 1 kHz."""
    plan = ConversationPlan(
        7,
        1000,
        9000,
        (talker("a", (0, 500), (900, 1500), (1901, 2500)), talker("b", (2000, 3000), (3400, 3500))),
        (),
        None,
    )
    assert plan.name == "conversation_007"
    assert plan.reference() == [Turn("a", 0.0, 1.5), Turn("a", 1.901, 2.5), Turn("b", 2.0, 3.5)]
    assert plan.overlap == pytest.approx(0.5 / (1.5 + 1.599))
    assert replace(plan, talkers=plan.talkers[:1]).overlap == 0
