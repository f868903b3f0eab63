"""For pages that are a single HTML file: their style, and pictures and sounds inside the file."""

import base64
import io
from html import escape

import numpy as np
import soundfile
from matplotlib.figure import Figure

DOTS_PER_INCH = 144  # twice the resolution of a page, for high-resolution screens
PLAYED_PEAK = (
    0.8  # every sound is scaled to it: levels of a network or of a far microphone are too quiet for a loudspeaker
)

STYLE = """
 body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
 body { color: #1d2330; background: #fff }
 h1 { line-height: 1.2 }
 h2 { margin-top: 2.2rem; border-bottom: 1px solid #d5d9e2; padding-bottom: .2rem }
 table { border-collapse: collapse }
 th, td { text-align: left; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid #e4e7ee }
 td.number { font-variant-numeric: tabular-nums; font-weight: 600; white-space: nowrap }
 img { max-width: 100%; height: auto; display: block }
 figure { margin: 1rem 0 .3rem }
 figcaption, .note { font-size: .9rem; color: #4a5265 }
 audio { width: 100%; max-width: 40rem; height: 2.2rem }
 pre { background: #f3f5f9; padding: .8rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .82rem }
"""

HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<h1>$title</h1>
<p>$summary</p>
"""
"""The beginning of a page, for string.Template: title, style and summary are HTML."""


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, bbox_inches="tight")
    return buffer.getvalue()


def picture(image: bytes, caption: str) -> str:
    """An HTML figure that contains its PNG."""
    data = base64.b64encode(image).decode()
    text = escape(caption)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'


def wav(samples: np.ndarray, sample_rate: int) -> bytes:
    """A waveform [T] as the bytes of a 16-bit WAV file, with its peak at 0.8 of full scale. Silence stays silence."""
    peak = np.abs(samples).max(initial=0.0)
    scaled = samples * (PLAYED_PEAK / peak) if peak > 0 else samples
    buffer = io.BytesIO()
    soundfile.write(buffer, scaled, sample_rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()
