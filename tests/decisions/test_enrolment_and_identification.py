"""Enrolling recordings, and who of a gallery is heard, with a model that knows synthetic voices apart."""

import numpy as np
import pytest

from csc_fairseq.decisions.decision import OperatingPoint
from csc_fairseq.decisions.enrolment import enrolment_of, voice_of
from csc_fairseq.decisions.gallery import Gallery
from csc_fairseq.decisions.identification import heard_talkers
from csc_fairseq.decisions.model_identity import ModelIdentity
from csc_fairseq.digests import file_digest
from tests.decisions.ears import Ears, fitted, hears, turns
from tests.making import fails, speaker_encoder, voice, write_recording

NAMES = ("anna", "ben", "cleo")  # voices 0, 1, 2


@pytest.fixture(scope="module")
def model() -> Ears:
    return Ears()


@pytest.fixture
def gallery(model, tmp_path) -> Gallery:
    """Two recordings each."""
    found = Gallery(ModelIdentity.of(model, "ears.pt"))
    for speaker, name in enumerate(NAMES):
        files = [write_recording(tmp_path / f"{name}_{take}.wav", voice(speaker, take, 2.0)) for take in range(2)]
        found = found.enrolled(name, [enrolment_of(model, file) for file in files])
    return found


def test_an_enrolment_is_what_the_model_embeds(tmp_path):
    model, path = speaker_encoder(), write_recording(tmp_path / "anna.wav", voice(0, 0, 1.25))
    found = enrolment_of(model, path)
    assert (found.file, found.seconds, found.digest) == ("anna.wav", 1.25, file_digest(path))
    np.testing.assert_allclose(found.embedding, model.embed(path), atol=1e-6)
    slow = write_recording(tmp_path / "slow.wav", voice(0, 0, 1.0)[::2], 8000)
    assert "slow.wav: has 8000 Hz, expected 16000 Hz" in fails(enrolment_of, model, slow)
    assert enrolment_of(model, slow, True).seconds == pytest.approx(1.0)


def test_a_voice_is_the_mean_of_its_recordings_each_once(model, tmp_path):
    files = [write_recording(tmp_path / f"{take}.wav", voice(0, take, 1.0)) for take in range(2)]
    copy = tmp_path / "copy.wav"
    copy.write_bytes(files[0].read_bytes())
    found = voice_of(model, [*files, files[0], copy])
    assert [one.file for one in found.enrolments] == ["0.wav", "1.wav"]
    mean = sum(model.embed(file) for file in files)
    np.testing.assert_allclose(found.centre, mean / np.linalg.norm(mean), atol=1e-6)


def test_recordings_that_cancel_out_are_named(model, tmp_path, monkeypatch):
    files = [write_recording(tmp_path / f"{take}.wav", voice(0, take, 1.0)) for take in range(2)]
    signs = iter((1.0, -1.0))
    monkeypatch.setattr(model, "embed", lambda samples: next(signs) * np.eye(4)[0])
    assert fails(voice_of, model, files) == (
        f"{files[0]}, {files[1]}: the embeddings of the recordings cancel out; are all of one person?"
    )


def test_too_short_or_silent(model, tmp_path):
    """With the file and its seconds."""
    short = write_recording(tmp_path / "short.wav", voice(0, 0, 0.49))
    assert (
        fails(enrolment_of, model, short) == f"{short}: has 0.49 s, expected 0.5 s of one voice at least; record more"
    )
    enrolment_of(model, write_recording(tmp_path / "enough.wav", voice(0, 0, 0.5)))
    silent = write_recording(tmp_path / "silent.wav", np.full(24000, 0.01, np.float32))
    assert fails(enrolment_of, model, silent) == (
        f"{silent}: is 1.50 s of digital silence, expected a voice; record it again"
    )


def test_known_voices_are_named_and_others_are_not(model, gallery, monkeypatch, tmp_path):
    """A conversation of 20 s: cleo, a stranger, a pause, anna, another stranger."""
    asked = hears(monkeypatch)
    calibration, point = fitted(), OperatingPoint(0.5)
    path = write_recording(tmp_path / "talk.wav", turns(2, 3, -1, 0, 5))
    heard = heard_talkers(model, path)
    assert asked == [(0.0, 0.0)]  # 20 s are heard in windows of the usual length
    assert [talker.seconds for talker in heard] == [4.0] * 4
    found = [point.identified(calibration.llr(gallery.centres @ talker.embedding)) for talker in heard]
    assert [NAMES[one.best] if one.named else "unknown" for one in found] == ["cleo", "unknown", "anna", "unknown"]
    assert found[0].posterior > 0.9 > 0.1 > found[1].posterior


def test_a_false_alarm_that_costs_much_silences_the_gallery(model, gallery, monkeypatch, tmp_path):
    hears(monkeypatch)
    calibration = fitted()
    heard = heard_talkers(model, write_recording(tmp_path / "ben.wav", turns(1)))
    llrs = calibration.llr(gallery.centres @ heard[0].embedding)
    assert OperatingPoint(0.5).identified(llrs) == (1, True, pytest.approx(1, abs=0.1))
    assert not OperatingPoint(0.5, cost_false_alarm=1e6).identified(llrs).named
    assert not OperatingPoint(1e-6).identified(llrs).named


def test_a_short_recording_is_heard_at_once(model, monkeypatch, tmp_path):
    asked = hears(monkeypatch)
    heard_talkers(model, write_recording(tmp_path / "a.wav", turns(0, 1, 2)))  # 12 s
    heard_talkers(model, write_recording(tmp_path / "b.wav", turns(0, 1, 2, 2)))
    assert asked == [(12.0, 12.0), (0.0, 0.0)]


def test_nobody_speaks(model, monkeypatch, tmp_path):
    hears(monkeypatch)
    assert heard_talkers(model, write_recording(tmp_path / "empty.wav", turns(-1))) == []


def test_talkers_are_the_streams_that_hold_somebody(tmp_path):
    """By the model's own windows: each is a row of `embed_sources`, and silence has none."""
    model, path = speaker_encoder(), write_recording(tmp_path / "a.wav", voice(0, 0, 2.0) + voice(1, 1, 2.0))
    heard, streams = heard_talkers(model, path), model.embed_sources(path)
    assert 1 <= len(heard) <= 2
    for talker in heard:
        assert (streams @ talker.embedding).max() == pytest.approx(1, abs=1e-4) and 0 < talker.seconds <= 2.0
    assert heard_talkers(model, write_recording(tmp_path / "empty.wav", turns(-1))) == []
