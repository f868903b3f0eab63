"""The page of a recording: complete in itself, escaped, with the sounds that it was given and embeddings in their colours."""

import io

import numpy as np
import pytest
import soundfile
from matplotlib.image import imread

from csc_fairseq.diarization.page import RecordingPage, embedded, embedding_map, linked, render_page
from csc_fairseq.diarization.turns import talking_times, turns_of
from tests.diarization.made import spoken, talkers, windows
from tests.pages import Page

NAME = "a <b> & 'c'.wav"


def content(seconds: int = 8, count: int = 2, **others) -> RecordingPage:
    """Two talk from 0 to 5 s and from 4 to 7 s; or only the first of them, or nobody."""
    active = np.stack([spoken(seconds * 50, (0, 5)), spoken(seconds * 50, (4, 7))])[:count]
    own = np.tile([0, 1], (seconds - 2, 1))
    rng = np.random.default_rng(0)
    queries = rng.normal(0, 0.1, (seconds - 2, 2, 6)) + np.eye(2, 6)
    found = windows(seconds * 1000, queries)
    people = talkers(active, np.eye(count, 6), np.where(own < count, own, -1))
    tone = np.sin(np.arange(800) / 3).astype(np.float32)
    fields = {
        "recording": embedded("The recording", tone, 1000),
        "voices": [linked("talker_1", "a & <b>: 1.wav", 2_340_000)],
    }
    return RecordingPage(
        NAME, seconds, turns_of(people, found), talking_times(people, found), found, people, **{**fields, **others}
    )


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render_page(content()))


def test_nothing_comes_from_elsewhere(page):
    sources = [value for _, attributes in page.elements for key, value in attributes.items() if key in ("src", "href")]
    assert [source[:10] for source in sources] == ["data:audio", "data:image", "a%20%26%20"]
    assert not {"link", "iframe"} & {tag for tag, _ in page.elements}
    text = render_page(content())
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "") and "@import" not in text and "url(" not in text
    assert "$" not in text.replace("data:", "").split("<script>")[0].split("base64,")[0]


def test_says_what_was_found(page):
    assert page.text.count(NAME) == 2  # title and heading, escaped
    assert "b" not in {tag for tag, _ in page.elements}
    assert "2 talkers in 0:08.0, numbered by talking time. Several speak at once for 1.0 s." in page.text
    words = page.text.split("Talking times")[1].split("Embeddings")[0]
    assert "talker_15.0 s62.5 %4.0 s1" in words and "talker_23.0 s37.5 %2.0 s1" in words
    assert "All 2 turns as a table" in page.text and "0:04.00:07.0talker_2" in page.text
    assert all(attributes["alt"] for tag, attributes in page.elements if tag == "img")
    assert all(attributes["aria-label"] for tag, attributes in page.elements if tag in ("svg", "audio"))
    viewport = [attributes for tag, attributes in page.elements if attributes.get("name") == "viewport"]
    assert viewport[0]["content"].startswith("width=device-width")


def test_sounds(page):
    first, second = (attributes["src"] for tag, attributes in page.elements if tag == "audio")
    samples, rate = soundfile.read(io.BytesIO(Page(f'<audio src="{first}"></audio>').embedded("audio")[0]))
    assert rate == 1000 and np.abs(samples).max() == pytest.approx(0.8, abs=1e-3)
    assert second == "a%20%26%20%3Cb%3E%3A%201.wav"  # no scheme, no query
    assert "in this page, 0.0 MB" in page.text
    assert "played from a & <b>: 1.wav, 2.3 MB; the page needs it there" in page.text


def test_one_talker_and_nobody():
    one = Page(render_page(content(count=1, voices=[])))
    assert "One talker in 0:08.0." in one.text and "drawn out" not in one.text
    assert "hold nobody: 6." in one.text
    nobody = Page(render_page(content(count=0, voices=[])))
    assert "No voice was found in this recording of 0:08.0" in nobody.text
    tags = [tag for tag, _ in nobody.elements]
    assert tags.count("audio") == 1 and not {"svg", "img", "table"} & set(tags)


def test_embeddings_have_the_colour_of_their_talker():
    """The two clusters are the main direction, so one half of the picture has one colour and the other half the other."""
    made = content()
    image, caption = embedding_map(made.windows, made.talkers)
    assert "point, of 12, is" in caption and caption.endswith("hold nobody: 0.")
    pixels = (imread(io.BytesIO(image), format="png")[..., :3] * 255).astype(int)[120:]  # below the legend
    red, blue = pixels[..., 0] > pixels[..., 2] + 60, pixels[..., 2] > pixels[..., 0] + 60
    assert red.sum() > 100 and blue.sum() > 100
    places = np.arange(pixels.shape[1])
    sides = sorted([np.average(places, weights=red.sum(0)), np.average(places, weights=blue.sum(0))])
    assert sides[0] < pixels.shape[1] * 0.4 and sides[1] > pixels.shape[1] * 0.6
    assert (image, caption) == embedding_map(made.windows, made.talkers)


def test_embeddings_of_a_single_window():
    found = windows(1000, np.eye(2, 4)[None])
    image, caption = embedding_map(found, talkers([[1] * 50], np.eye(1, 4), [[0, -1]]))
    assert image.startswith(b"\x89PNG") and "point, of 1, is" in caption and caption.endswith("hold nobody: 1.")
