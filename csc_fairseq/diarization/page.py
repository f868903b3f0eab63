"""The page of a recording: one HTML file with a timeline, talking times, players, and the embeddings of its windows as a picture.

Pictures and the sounds of short recordings are inside the file; longer sounds are played from the files beside it. Nothing comes
from elsewhere.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from string import Template
from urllib.parse import quote

import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from csc_fairseq.data.rttm import Turn, stretches
from csc_fairseq.diarization import timeline
from csc_fairseq.diarization.turns import TalkingTime, name_of
from csc_fairseq.inference.talkers import Talkers
from csc_fairseq.inference.windows import Windows
from csc_fairseq.page import HEAD, STYLE, picture, png, wav

MARKS = "os^Dv"

PAGE = Template(
    HEAD
    + """<h2>Listen</h2>
$recording
$talkers
$voices
<script>$script</script>
</body>
</html>
"""
)

OWN_STYLE = """
 h1 { overflow-wrap: anywhere }
 .player { margin: .6rem 0 1rem } .player .size { font-size: .9rem; color: #4a5265; overflow-wrap: anywhere }
 .scroll { overflow-x: auto } .scroll th { white-space: nowrap }
 .cursor { stroke: #c00; stroke-width: 1.5 }
 .strip svg { cursor: pointer }
 summary { cursor: pointer; margin: 1rem 0 .4rem }
 @media (max-width: 700px) { th, td { padding-right: .55rem; font-size: .9rem } }
"""

# A click on the timeline plays from there, and a line shows what is played.
SCRIPT = """
const player = document.querySelector("audio"), strips = [...document.querySelectorAll(".strip")];
for (const strip of strips) {
  const svg = strip.querySelector("svg"), line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  const start = +strip.dataset.start, length = +strip.dataset.length;
  line.setAttribute("class", "cursor"); line.setAttribute("y1", 0); line.setAttribute("y2", svg.height.baseVal.value - 17);
  svg.append(line);
  const show = () => {
    const share = (player.currentTime - start) / length, inside = player.currentTime > 0 && share >= 0 && share < 1;
    line.setAttribute("visibility", inside ? "visible" : "hidden");
    for (const end of ["x1", "x2"]) line.setAttribute(end, 100 * share + "%");
  };
  show(); for (const event of ["timeupdate", "seeking"]) player.addEventListener(event, show);
  svg.addEventListener("click", (event) => {
    const box = svg.getBoundingClientRect();
    player.currentTime = start + length * (event.clientX - box.left) / box.width; player.play();
  });
}
"""


@dataclass(frozen=True)
class Player:
    """A sound. title: what it is. source: URL. remark: where the sound is and how large."""

    title: str
    source: str
    remark: str


def embedded(title: str, samples: np.ndarray, sample_rate: int) -> Player:
    """A sound [T] inside the page, at a level that one can hear."""
    data = wav(samples, sample_rate)
    return Player(
        title, f"data:audio/wav;base64,{base64.b64encode(data).decode()}", f"in this page, {_megabytes(len(data))}"
    )


def linked(title: str, path: str, size: int) -> Player:
    """A sound that stays in its file. path: relative to the page. size: bytes."""
    return Player(title, quote(path), f"played from {path}, {_megabytes(size)}; the page needs it there")


@dataclass(frozen=True)
class RecordingPage:
    """The contents. name: of the recording. seconds: its length. times: of its talkers, in order. voices: players of what
    each says, if they were separated.
    """

    name: str
    seconds: float
    turns: Sequence[Turn]
    times: Sequence[TalkingTime]
    windows: Windows
    talkers: Talkers
    recording: Player
    voices: Sequence[Player]


def render_page(page: RecordingPage) -> str:
    """The page as HTML text. Every text is escaped."""
    return PAGE.substitute(
        style=STYLE + timeline.STYLE + OWN_STYLE,
        title=escape(f"Who speaks when in {page.name}"),
        summary=escape(_summary(page)),
        recording=_player(page.recording),
        talkers=_talkers(page) if page.times else "",
        voices=_voices(page.voices) if page.voices else "",
        script=SCRIPT if page.times else "",
    )


def embedding_map(windows: Windows, talkers: Talkers) -> tuple[bytes, str]:
    """Embeddings of all windows' streams that a talker has, along their two main directions, as a PNG; and its caption."""
    of_stream = talkers.of_stream
    own = of_stream >= 0
    points, whose = windows.queries[own], of_stream[own]
    left_out = int((~own).sum())
    places, shares = np.zeros((len(points), 2)), np.zeros(2)
    if len(points) > 1 and points.std(axis=0).any():
        main = PCA(n_components=min(2, *points.shape), random_state=0)
        found = main.fit_transform(points.astype(np.float64))
        places[:, : found.shape[1]] = found
        shares[: found.shape[1]] = main.explained_variance_ratio_
    figure = Figure(figsize=(4.6, 3.4))
    axes = figure.subplots()
    for talker in range(len(talkers.centres)):
        at = places[whose == talker]
        axes.scatter(
            at[:, 0],
            at[:, 1],
            s=18,
            color=timeline.colour_of(talker),
            marker=MARKS[talker % len(MARKS)],
            alpha=0.75,
            linewidths=0,
            label=name_of(talker),
        )
    axes.spines[:].set_color("#c3c9d6")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(f"first direction, {100 * shares[0]:.0f} % of the variance", fontsize=9)
    axes.set_ylabel(f"second, {100 * shares[1]:.0f} %", fontsize=9)
    axes.legend(fontsize=9, bbox_to_anchor=(0.5, 1.01), loc="lower center", ncols=4, frameon=False)
    caption = (
        f"Each point, of {len(points)}, is what one stream of a window of {windows.length / windows.sample_rate:.1f} s sounds "
        "like, coloured and marked by the talker it was given to (principal components). Streams left out because they hold "
        f"nobody: {left_out}."
    )
    return png(figure), caption


def _summary(page: RecordingPage) -> str:
    length = timeline.clock(page.seconds, 0.1)
    if not page.times:
        return f"No voice was found in this recording of {length}."
    count = len(page.times)
    checked = "A model decided this by itself; nobody has checked it."
    if count == 1:
        return f"One talker in {length}. {checked}"
    together = sum(end - start for start, end in stretches(page.turns, 2))
    return (
        f"{count} talkers in {length}, numbered by talking time. Several speak at once for {together:.1f} s. {checked}"
    )


def _talkers(page: RecordingPage) -> str:
    names = [one.talker for one in page.times]
    image, caption = embedding_map(page.windows, page.talkers)
    return (
        '<h2>Timeline</h2><p class="note">A lane for each talker. Grey bands across the lanes: several speak at once. '
        f"A click plays the recording from there.</p>{timeline.timeline(page.turns, names, page.seconds)}{_turns(page)}"
        f'<h2>Talking times</h2><div class="scroll">{_times(page)}</div>'
        f"<h2>Embeddings</h2>{picture(image, caption)}"
    )


def _times(page: RecordingPage) -> str:
    heading = "".join(f'<th scope="col">{name}</th>' for name in ("Talker", "Speaks", "Share", "Alone", "Turns"))
    rows = []
    for lane, one in enumerate(page.times):
        share = f"{100 * one.seconds / page.seconds:.1f} %"
        numbers = (f"{one.seconds:.1f} s", share, f"{one.alone:.1f} s", str(one.turns))
        cells = "".join(f'<td class="number">{number}</td>' for number in numbers)
        rows.append(f'<tr><th scope="row">{timeline.chip(lane)}{escape(one.talker)}</th>{cells}</tr>')
    return f"<table><thead><tr>{heading}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _voices(voices: Sequence[Player]) -> str:
    return f"<h2>What each talker says, drawn out by the model</h2>{''.join(_player(voice) for voice in voices)}"


def _player(player: Player) -> str:
    title, remark = escape(player.title), escape(player.remark)
    return (
        f'<div class="player"><div>{title} <span class="size">({remark})</span></div>'
        f'<audio controls preload="metadata" aria-label="{title}" src="{escape(player.source)}"></audio></div>'
    )


def _turns(page: RecordingPage) -> str:
    rows = "".join(
        f"<tr><td>{timeline.clock(turn.start, 0.1)}</td><td>{timeline.clock(turn.end, 0.1)}</td>"
        f"<td>{escape(turn.talker)}</td></tr>"
        for turn in page.turns
    )
    heading = "".join(f'<th scope="col">{name}</th>' for name in ("From", "To", "Talker"))
    return (
        f"<details><summary>All {len(page.turns)} turns as a table</summary>"
        f"<table><thead><tr>{heading}</tr></thead><tbody>{rows}</tbody></table></details>"
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
