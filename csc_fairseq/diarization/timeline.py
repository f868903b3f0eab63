"""The timeline of a page, as SVG: a lane for every talker, in strips of minutes where the recording is long.

Positions along time are percentages and sizes of letters are pixels, so that a picture may be as wide as a screen or a telephone.
"""

from collections.abc import Sequence
from html import escape

from csc_fairseq.data.rttm import Turn, stretches

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b58900", "#56b4e9", "#6f4ba0", "#7a5230")
"""Told apart by colour-blind people: M. Okabe and K. Ito, with two further ones. Talkers are numbered, too."""
STRIP_SECONDS = (120, 60, 120, 300, 600, 1200, 1800, 3600)  # the first is for recordings that fit into one strip
MOST_STRIPS = 12
TICK_SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
MOST_TICKS = 12  # of a wide screen; every second one has a label on a narrow one
LANE, BAR, AXIS = 22, 14, 22  # pixels

STYLE = """
 .strip { display: flex; margin: .5rem 0 1.1rem }
 .strip .names { flex: none; width: 5.6rem; font-size: 13px; line-height: 22px }
 .chip { display: inline-block; width: .7em; height: .7em; margin-right: .4em; border-radius: .15em }
 .strip svg { flex: 1; min-width: 0; overflow: visible; display: block }
 .strip text { font: 12px system-ui, sans-serif; fill: #4a5265 }
 .lane { fill: #eef1f6 } .tick { stroke: #c3c9d6 } .both { fill: #1d2330; opacity: .13 }
 @media (max-width: 700px) { .strip .names { width: 4.9rem; font-size: 12px } .minor { display: none } }
"""


def colour_of(talker: int) -> str:
    """The colour of a talker's lane and points. The ninth talker has the first one's again."""
    return COLOURS[talker % len(COLOURS)]


def chip(talker: int) -> str:
    """A small square of a talker's colour."""
    return f'<span class="chip" style="background:{colour_of(talker)}"></span>'


def clock(seconds: float, step: float = 1.0) -> str:
    """Minutes and seconds, with hours where there are any; tenths where the step is below a second."""
    tenths = round(seconds * 10)
    whole, rest = divmod(tenths, 10)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    text = f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
    return f"{text}.{rest}" if step < 1 else text


def timeline(turns: Sequence[Turn], talkers: Sequence[str], seconds: float) -> str:
    """The strips, one below the other. talkers: names, a lane each, in this order. seconds: of the recording."""
    length = strip_length(seconds)
    starts = [length * number for number in range(max(1, -(-round(seconds * 1000) // round(length * 1000))))]
    return "".join(_strip(turns, talkers, start, length, min(start + length, seconds)) for start in starts)


def strip_length(seconds: float) -> float:
    """Seconds of a strip: the whole recording up to two minutes, else at most twelve strips of whole minutes."""
    whole, *steps = STRIP_SECONDS
    if seconds <= whole:
        return seconds
    return next((step for step in steps if seconds <= MOST_STRIPS * step), seconds / MOST_STRIPS)


def _strip(turns: Sequence[Turn], talkers: Sequence[str], start: float, length: float, end: float) -> str:
    def place(time: float) -> float:
        return 100 * (min(max(time, start), end) - start) / length

    def bar(first: float, last: float, y: float, height: float, attributes: str, title: str = "") -> str:
        width = place(last) - place(first)
        inner = f"<title>{escape(title)}</title>" if title else ""
        return f'<rect x="{place(first):.3f}%" y="{y:g}" width="{width:.3f}%" height="{height:g}" {attributes}>{inner}</rect>'

    height = LANE * len(talkers)
    parts = [bar(start, end, LANE * lane + 1, LANE - 2, 'class="lane"') for lane in range(len(talkers))]
    parts += _ticks(start, length, end, height)
    within = [turn for turn in turns if turn.start < end and turn.end > start]
    for turn in within:
        lane = talkers.index(turn.talker)
        title = f"{turn.talker}, {clock(turn.start, 0.1)} to {clock(turn.end, 0.1)}"
        attributes = f'rx="1.5" fill="{colour_of(lane)}"'
        parts.append(bar(turn.start, turn.end, LANE * lane + (LANE - BAR) / 2, BAR, attributes, title))
    for first, last in stretches(turns, 2):
        if first < end and last > start:
            parts.append(
                bar(first, last, 0, height, 'class="both"', f"overlap, {clock(first, 0.1)} to {clock(last, 0.1)}")
            )
    names = "".join(f"<div>{chip(lane)}{escape(name)}</div>" for lane, name in enumerate(talkers))
    label = escape(_description(within, talkers, start, end))
    return (
        f'<div class="strip" data-start="{start:g}" data-length="{length:g}"><div class="names" aria-hidden="true">{names}</div>'
        f'<svg role="img" aria-label="{label}" width="100%" height="{height + AXIS}">{"".join(parts)}</svg></div>'
    )


def _ticks(start: float, length: float, end: float, height: float) -> list[str]:
    step = next((step for step in TICK_SECONDS if length <= MOST_TICKS * step), length / MOST_TICKS)
    parts = []
    count = int((end - start) / step + 1e-6)
    for number in range(count + 1):
        share = 100 * number * step / length
        kind = ' class="minor"' if number % 2 else ""
        anchor = "start" if number == 0 else "end" if share > 97 else "middle"
        parts.append(
            f'<g{kind}><line class="tick" x1="{share:.3f}%" x2="{share:.3f}%" y1="0" y2="{height + 5}"></line>'
            f'<text x="{share:.3f}%" y="{height + 17}" text-anchor="{anchor}">{clock(start + number * step, step)}</text></g>'
        )
    return parts


def _description(turns: Sequence[Turn], talkers: Sequence[str], start: float, end: float) -> str:
    spoken = [
        f"{name} {sum(min(turn.end, end) - max(turn.start, start) for turn in turns if turn.talker == name):.0f} s"
        for name in talkers
    ]
    return f"Who speaks from {clock(start)} to {clock(end)}: {', '.join(spoken)}. All turns are in the table below."
