"""Positions, strips and labels of the timeline, against cases worked out by hand."""

import re

import pytest

from csc_fairseq.data.rttm import Turn
from csc_fairseq.diarization.timeline import clock, strip_length, timeline
from tests.pages import Page

TURNS = [Turn("a", 10, 40), Turn("b", 30, 50), Turn("a", 90, 100)]


def bars(page: Page) -> list[tuple[str, float, float]]:
    """(kind, x, width) of the rectangles, in %; kind is the class, or the colour."""
    rects = [attributes for tag, attributes in page.elements if tag == "rect"]
    return [(one.get("class") or one["fill"], float(one["x"][:-1]), float(one["width"][:-1])) for one in rects]


def test_places_are_shares_of_the_strip():
    page = Page(timeline(TURNS, ["a", "b"], 100))
    assert bars(page) == [
        ("lane", 0, 100),
        ("lane", 0, 100),
        ("#0072b2", 10, 30),
        ("#d55e00", 30, 20),
        ("#0072b2", 90, 10),
        ("both", 30, 10),
    ]
    lanes = [attributes["y"] for tag, attributes in page.elements if attributes.get("rx")]
    assert lanes == ["4", "26", "4"]  # a lane each, so overlap is seen
    assert "a, 0:10.0 to 0:40.0" in page.text and "overlap, 0:30.0 to 0:40.0" in page.text
    svg = next(attributes for tag, attributes in page.elements if tag == "svg")
    assert svg["role"] == "img" and svg["aria-label"].startswith("Who speaks from 0:00 to 1:40: a 40 s, b 20 s.")


def test_a_turn_over_the_edge_of_a_strip_is_in_both():
    page = Page(timeline([Turn("a", 50, 75)], ["a"], 150))
    assert [bar for bar in bars(page) if bar[0] != "lane"] == [
        ("#0072b2", pytest.approx(100 * 50 / 60, abs=1e-3), pytest.approx(100 * 10 / 60, abs=1e-3)),
        ("#0072b2", 0, 25),
    ]
    lanes = [bar for bar in bars(page) if bar[0] == "lane"]
    assert lanes == [("lane", 0, 100), ("lane", 0, 100), ("lane", 0, 50)]  # the last strip ends with the recording
    labels = [attributes["aria-label"] for tag, attributes in page.elements if tag == "svg"]
    assert [label.split(". ")[0] for label in labels] == [
        "Who speaks from 0:00 to 1:00: a 10 s",
        "Who speaks from 1:00 to 2:00: a 15 s",
        "Who speaks from 2:00 to 2:30: a 0 s",
    ]


@pytest.mark.parametrize(
    ("seconds", "length", "strips"),
    [
        (0.4, 0.4, 1),
        (120, 120, 1),
        (121, 60, 3),
        (300, 60, 5),
        (720, 60, 12),
        (721, 120, 7),
        (3600, 300, 12),
        (90000, 7500, 12),
    ],
)
def test_strips_are_few(seconds, length, strips):
    assert strip_length(seconds) == length
    assert timeline([], ["a"], seconds).count("<svg") == strips


@pytest.mark.parametrize("seconds", [0.4, 3, 19.37, 100, 300, 3600, 90000])
def test_axis_has_few_labels_that_rise(seconds):
    first = timeline([], ["a"], seconds).split("</svg>")[0]
    labels = re.findall(r">([0-9:.]+)</text>", first)
    times = [sum(float(part) * 60**power for power, part in enumerate(label.split(":")[::-1])) for label in labels]
    assert 3 <= len(times) <= 13 and times == sorted(set(times)) and times[0] == 0
    assert first.count('class="minor"') == len(labels) // 2


def test_clock():
    assert [clock(0), clock(59.96), clock(59.96, 0.1), clock(61.04, 0.1)] == ["0:00", "1:00", "1:00.0", "1:01.0"]
    assert clock(3725.5, 0.5) == "1:02:05.5"
