"""From recordings to files, with a model that finds what it is told to."""

import numpy as np
import pytest
import soundfile

from csc_fairseq.data.rttm import Turn, read_rttm
from csc_fairseq.diarization import recordings
from csc_fairseq.diarization.recordings import DiarizeOptions, diarize_files, seconds_of
from tests.diarization.made import FRAME, RATE, MadeModel, spoken
from tests.making import fails, write_recording

SECONDS = 8
ANY = DiarizeOptions()
ACTIVE = np.stack([spoken(SECONDS * RATE // FRAME, (0, 5)), spoken(SECONDS * RATE // FRAME, (4, 7))])


@pytest.fixture
def material(tmp_path):
    """Two recordings of eight seconds and a file for a model."""
    files = []
    for number, name in enumerate(("a b.wav", "c.wav")):
        samples = np.random.default_rng(number).normal(0, 0.1, SECONDS * RATE)
        files.append(write_recording(tmp_path / "in" / name, samples, RATE))
    (tmp_path / "model.pt").write_text("a model")
    return tmp_path / "model.pt", files, tmp_path / "out"


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_and_text(material):
    model_file, files, out = material
    model = MadeModel(ACTIVE)
    first, second = diarize_files(model, model_file, files, out, DiarizeOptions(most=3, separated=True))
    assert model.asked[0] == {"audio": files[0], "talkers": None, "most": 3, "resample": False, "waveforms": True}
    endings = [".html", ".json", ".rttm", ".tsv", "_talker_1.wav", "_talker_2.wav"]
    assert names(out) == sorted(f"{name}{ending}" for name in ("a_b", "c") for ending in endings)
    turns = [Turn("talker_1", 0, 5), Turn("talker_2", 4, 7)]
    assert read_rttm(out / "a_b.rttm") == {"a_b": turns} and first.turns == turns  # RTTM has no blanks in names
    assert (out / "c.tsv").read_text().splitlines() == [
        "talker\tseconds\talone\tshare\tturns",
        "talker_1\t5.00\t4.00\t62.5\t1",
        "talker_2\t3.00\t2.00\t37.5\t1",
    ]
    samples, rate = soundfile.read(out / "c_talker_2.wav", dtype="float32")
    assert rate == RATE and len(samples) == SECONDS * RATE and (samples == np.float32(0.2)).all()
    assert "Who speaks when in a b.wav" in (out / "a_b.html").read_text()
    assert (out / "c.html").read_text().count("data:audio/wav") == 3  # short: all sounds are in the page
    assert second.text().splitlines() == [
        f"{files[1]}: 2 talkers in 8.0 s; {out}/c.html",
        "  talker_1        5.00 s ( 62.5 %), alone      4.00 s, turns     1",
        "  talker_2        3.00 s ( 37.5 %), alone      2.00 s, turns     1",
    ]


def test_long_recordings_are_played_from_their_files(material, monkeypatch):
    model_file, files, out = material
    monkeypatch.setattr(recordings, "EMBEDDED_SECONDS", 7.9)
    list(diarize_files(MadeModel(ACTIVE), model_file, files[:1], out, DiarizeOptions(separated=True)))
    text = (out / "a_b.html").read_text()
    assert "data:audio" not in text
    assert 'src="../in/a%20b.wav"' in text and 'src="a_b_talker_2.wav"' in text


def test_repeated_it_does_what_is_left(material):
    """Interrupted in the second recording; then only that one is heard. Whatever else changes is heard again."""
    model_file, files, out = material
    model, options = MadeModel(ACTIVE), DiarizeOptions(separated=True)
    interrupted = diarize_files(model, model_file, files, out, options)
    next(interrupted)
    interrupted.close()
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    results = list(diarize_files(model, model_file, files, out, options))
    assert [result.kept for result in results] == [True, False]
    assert [asked["audio"] for asked in model.asked] == files
    assert before == {name: (out / name).read_bytes() for name in before}
    kept, again = results[0].text().splitlines(), results[1].text().splitlines()
    assert kept[0].endswith("a_b.html (as it was: the same recording, model and options)") and kept[1:] == again[1:]
    assert results[0].turns == results[1].turns

    def heard() -> list[str]:
        before = len(model.asked)
        list(diarize_files(model, model_file, files, out, options))
        return [asked["audio"].name for asked in model.asked[before:]]

    assert heard() == []
    (out / "c_talker_1.wav").unlink()
    assert heard() == ["c.wav"]
    write_recording(files[0], np.zeros(SECONDS * RATE), RATE)
    assert heard() == ["a b.wav"]
    model_file.write_text("another model")
    assert heard() == ["a b.wav", "c.wav"]
    options = DiarizeOptions(most=2)
    assert heard() == ["a b.wav", "c.wav"]
    assert names(out) == [f"{name}.{ending}" for name in ("a_b", "c") for ending in ("html", "json", "rttm", "tsv")]


def test_fewer_talkers_leave_no_voice_behind(material):
    model_file, files, out = material
    options = DiarizeOptions(separated=True)
    list(diarize_files(MadeModel(ACTIVE), model_file, files[1:], out, options))
    model_file.write_text("another model")
    list(diarize_files(MadeModel(ACTIVE[:1]), model_file, files[1:], out, options))
    assert names(out) == ["c.html", "c.json", "c.rttm", "c.tsv", "c_talker_1.wav"]


def test_nobody_speaks(material):
    model_file, files, out = material
    (result,) = diarize_files(MadeModel(ACTIVE[:0]), model_file, files[1:], out, DiarizeOptions(separated=True))
    assert result.text() == f"{files[1]}: no voice was found in its 8.0 s; {out}/c.html" and result.turns == []
    assert (out / "c.rttm").read_text() == "" and len((out / "c.tsv").read_text().splitlines()) == 1
    assert "No voice was found" in (out / "c.html").read_text()
    (again,) = diarize_files(MadeModel(ACTIVE), model_file, files[1:], out, DiarizeOptions(separated=True))
    assert again.kept and again.turns == []


def test_faults_are_found_before_anything_is_heard(material, tmp_path):
    model_file, files, out = material

    def fault(files, options=ANY, separates=True) -> str:
        model = MadeModel(ACTIVE)
        model.separates = separates
        message = fails(list, diarize_files(model, model_file, files, out, options))
        assert model.asked == []
        return message

    other = write_recording(tmp_path / "other" / "a_b.wav", np.zeros(10), RATE)
    assert fault([*files, other]).startswith(f"{other}: another recording has this name, a_b; give each its own --out")
    assert "absent.wav: no such file" in fault([*files, tmp_path / "absent.wav"])
    assert "does not separate" in fault(files, DiarizeOptions(separated=True), separates=False)
    out.mkdir()
    (out / "c.rttm").write_text("a reference")
    assert fault(files).startswith(f"{out}/c.rttm: is there, and no `csc diarize` wrote it")
    assert names(out) == ["c.rttm"]


def test_lengths_by_file_id(tmp_path):
    file = write_recording(tmp_path / "x.wav", np.zeros(500), RATE)
    assert seconds_of([file]) == {"x": 0.5}
