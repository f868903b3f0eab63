"""The demo's page: one HTML file that contains its pictures and sounds."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from string import Template

import numpy as np

from csc_fairseq.page import HEAD, STYLE, picture, wav

PAGE = Template(
    HEAD
    + """<h2>Results</h2>
<table>$rows</table>
<p class="note">$results_note</p>
<h2>Training</h2>
$curves
<h2>A mixture and what the network makes of it</h2>
$sounds
<h2>Embeddings of held-out voices</h2>
$embeddings
<h2>Whose idea is what</h2>
$origins
<h2>The commands</h2>
<pre>$commands</pre>
</body>
</html>
"""
)


@dataclass(frozen=True)
class Headline:
    """A figure in the table of results. value: as printed, with its unit. remark: what it was measured on."""

    name: str
    value: str
    remark: str


@dataclass(frozen=True)
class Sound:
    """A waveform [T] with its spectrogram (PNG bytes)."""

    title: str
    samples: np.ndarray
    picture: bytes


@dataclass(frozen=True)
class Report:
    """The contents of the page. Texts are plain, pictures are PNG bytes. origins: (heading, points) pairs."""

    title: str
    summary: str
    headlines: Sequence[Headline]
    results_note: str
    curves: bytes
    sounds: Sequence[Sound]
    sample_rate: int
    embeddings: bytes
    origins: Sequence[tuple[str, Sequence[str]]]
    commands: Sequence[str]


def render_page(report: Report) -> str:
    """The page as HTML text. Every text is escaped."""
    return PAGE.substitute(
        style=STYLE,
        title=escape(report.title),
        summary=escape(report.summary),
        rows="".join(_row(headline) for headline in report.headlines),
        results_note=escape(report.results_note),
        curves=picture(report.curves, "Losses and validation figures over updates"),
        sounds="".join(_sound(sound, report.sample_rate) for sound in report.sounds),
        embeddings=picture(
            report.embeddings,
            "Each point is an utterance; each colour and mark is a voice that was never heard in training (t-SNE: neighbours "
            "mean something, distances between groups do not)",
        ),
        origins="".join(_list(heading, points) for heading, points in report.origins),
        commands="\n".join(escape(command) for command in report.commands),
    )


def text_table(headlines: Sequence[Headline]) -> str:
    """The table of results for a terminal, with aligned columns."""
    names = max(len(headline.name) for headline in headlines)
    values = max(len(headline.value) for headline in headlines)
    return "\n".join(f"{line.name:<{names}}  {line.value:>{values}}  {line.remark}" for line in headlines)


def _row(headline: Headline) -> str:
    name, value, remark = escape(headline.name), escape(headline.value), escape(headline.remark)
    return f'<tr><th scope="row">{name}</th><td class="number">{value}</td><td>{remark}</td></tr>'


def _sound(sound: Sound, sample_rate: int) -> str:
    data = base64.b64encode(wav(sound.samples, sample_rate)).decode()
    player = f'<audio controls preload="metadata" src="data:audio/wav;base64,{data}"></audio>'
    return picture(sound.picture, sound.title) + player


def _list(heading: str, points: Sequence[str]) -> str:
    return f"<h3>{escape(heading)}</h3><ul>" + "".join(f"<li>{escape(point)}</li>" for point in points) + "</ul>"
