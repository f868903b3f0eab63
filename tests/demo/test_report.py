"""The demo's page: it needs no other file, texts are escaped, pictures and sounds decode to their originals."""

import io
import re

import numpy as np
import pytest
import soundfile
from matplotlib.image import imread

from csc_fairseq.demo import pictures
from csc_fairseq.demo.page_text import ORIGINS, RESULTS_NOTE
from csc_fairseq.demo.report import Headline, Report, Sound, render_page, text_table
from csc_fairseq.page import wav
from tests.pages import Page

RATE = 16000


@pytest.fixture(scope="module")
def tone() -> np.ndarray:
    """One second of a quiet tone at 3 kHz that stops half way."""
    samples = 0.01 * np.sin(2 * np.pi * 3000 * np.arange(RATE) / RATE)
    samples[RATE // 2 :] = 0
    return samples.astype(np.float32)


@pytest.fixture(scope="module")
def report(tone) -> Report:
    random = np.random.default_rng(0)
    return Report(
        title="Title & <more>",
        summary="What was done",
        headlines=[
            Headline("EER, clean", "3.2 %", "20 target trials"),
            Headline("SI-SNR improvement", "+4.0 dB", "a <b> c"),
        ],
        results_note=RESULTS_NOTE,
        curves=pictures.curves([("loss", {"training": [(1, 3.0), (2, 2.0)], "validation": [(2, 2.5)]})]),
        sounds=[Sound("Mixture", tone, pictures.spectrogram(tone, RATE)), Sound("Stream 1", -tone, b"\x89PNG")],
        sample_rate=RATE,
        embeddings=pictures.embedding_map(random.standard_normal((12, 8)), ["a", "b", "c"] * 4),
        origins=ORIGINS,
        commands=["fairseq-hydra-train --config-name csc_debug 'task.data=/a & b'"],
    )


@pytest.fixture(scope="module")
def page(report) -> Page:
    return Page(render_page(report))


def test_page_needs_nothing_else(report, page):
    sources = [value for _, attributes in page.elements for key, value in attributes.items() if key in ("src", "href")]
    assert len(sources) == 6 and all(source.startswith("data:") for source in sources)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.elements}
    style = render_page(report).split("</style>")[0]
    assert "url(" not in style and "@import" not in style


def test_texts_are_shown_and_escaped(report, page):
    assert "Title & <more>" in page.text and "a <b> c" in page.text
    assert "b" not in {tag for tag, _ in page.elements}
    for text in (report.summary, RESULTS_NOTE, *report.commands, *(part for _, points in ORIGINS for part in points)):
        assert text in page.text
    assert "$" not in re.sub(r"data:[^\"]*", "", render_page(report)), "a placeholder was not filled"


def test_results_are_a_table(page):
    assert [tag for tag, _ in page.elements].count("tr") == 2
    assert page.text.index("EER, clean") < page.text.index("3.2 %") < page.text.index("20 target trials")


def test_pictures_decode(page):
    first, spectrogram, _, embeddings = page.embedded("img")
    for png in (first, spectrogram, embeddings):
        image = imread(io.BytesIO(png), format="png")
        assert min(image.shape[:2]) > 200
        assert image[..., :3].std() > 0.01  # something is drawn
    assert all(attributes["alt"] for tag, attributes in page.elements if tag == "img")


def test_sounds_are_the_waveforms_at_a_level_one_can_hear(page, tone):
    for data, sign in zip(page.embedded("audio"), (1, -1), strict=True):
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
        assert rate == RATE
        np.testing.assert_allclose(samples, sign * tone * 80, atol=1e-4)  # peak 0.01 to 0.8


def test_silence_stays_silence():
    samples, _ = soundfile.read(io.BytesIO(wav(np.zeros(100, np.float32), RATE)))
    assert len(samples) == 100 and not samples.any()


def test_spectrogram_shows_time_and_frequency(tone):
    """A tone in the first half: its bright line is in the left half, at 3 of 8 kHz."""
    image = imread(io.BytesIO(pictures.spectrogram(tone, RATE)), format="png")[..., :3].sum(axis=2)
    frame = image < 2.9  # inside the axes nothing is white
    rows, columns = np.flatnonzero(frame.mean(axis=1) > 0.5), np.flatnonzero(frame.mean(axis=0) > 0.5)
    inside = image[rows[0] + 3 : rows[-1] - 2, columns[0] + 3 : columns[-1] - 2]
    half = inside.shape[1] // 2
    assert inside[:, : half - 30].max() > 2.0  # magma's bright end
    assert inside[:, half + 30 :].max() < 0.5  # its dark end
    line = inside[:, half // 2].argmax() / len(inside)
    assert line == pytest.approx(1 - 3 / 8, abs=0.03)


def test_embedding_map_is_the_same_every_time():
    points = np.random.default_rng(1).standard_normal((9, 4))
    assert pictures.embedding_map(points, list("abcabcabc")) == pictures.embedding_map(points, list("abcabcabc"))


def test_text_table_is_aligned():
    lines = text_table([Headline("EER", "3.2 %", "x"), Headline("SI-SNR improvement", "+14.0 dB", "y")]).splitlines()
    assert lines == ["EER                    3.2 %  x", "SI-SNR improvement  +14.0 dB  y"]
