"""Character error rates against cases counted by hand, and what is refused."""

import json

import numpy as np
import pytest
import torch

from csc_fairseq.data.manifest import read_manifest, write_labels, write_lines, write_manifest
from csc_fairseq.errors import InputError
from csc_fairseq.inference.checkpoint import save_bundle
from csc_fairseq.inference.content import Reading, best_path, content_report, load_reader, transcribe


def test_best_path():
    """_ A A _ A B B _ is A A B, whatever the margins."""
    path = [0, 1, 1, 0, 1, 2, 2, 0]
    scores = torch.rand(len(path), 3, generator=torch.Generator().manual_seed(0))
    scores[range(len(path)), path] += 1
    assert best_path(scores.log_softmax(-1), blank=0) == [1, 1, 2]
    assert best_path(scores.log_softmax(-1), blank=2) == [0, 1, 0, 1, 0]


class Parrot:
    """Says what it is told to, one answer a recording; remembers what it was given."""

    sample_rate, shortest = 16000, 100

    def __init__(self, answers):
        self.answers, self.heard = iter(answers), []

    def read(self, waveform):
        self.heard.append(waveform)
        return next(self.answers).split()


@pytest.fixture
def manifest(tmp_path, voice, write):
    """Three recordings with transcripts: "IT'S ME", "GO" and "NO"."""
    lengths = {"a.wav": 4000, "b.wav": 3000, "c.wav": 2000}
    for seed, (name, samples) in enumerate(lengths.items()):
        write(name, voice(samples, seed))
    write_manifest(tmp_path / "test.tsv", tmp_path, list(lengths.items()))
    write_labels(tmp_path / "test.ltr", ["I T ' S | M E |", "G O |", "N O |"])
    return read_manifest(tmp_path / "test.tsv")


def test_edits_counted_by_hand(manifest, voice):
    """An apostrophe deleted and an E inserted; nothing read at all; one letter for another."""
    parrot = Parrot(["I T S | M E E |", "", "S O |"])
    readings = list(transcribe(parrot, manifest))
    assert [(reading.edits, reading.letters) for reading in readings] == [(2, 8), (3, 3), (1, 3)]
    assert [(reading.said, reading.read) for reading in readings] == [("IT'S ME", "ITS MEE"), ("GO", ""), ("NO", "SO")]
    assert [reading.name for reading in readings] == list(manifest.names) and readings[0].speaker is None
    for seed, heard in enumerate(parrot.heard):
        np.testing.assert_array_equal(heard, voice(len(heard), seed))
    report = content_report(readings)
    assert report.cer == pytest.approx(100 * 6 / 14)  # not the mean of the recordings' rates, which is 52.8 %
    assert (report.edits, report.letters, report.resampled, report.units) == (6, 14, "recordings", 3)


def test_speakers_are_read_where_they_are_known(manifest):
    write_labels(manifest.path.with_suffix(".spk"), ["x", "y", "x"])
    readings = list(transcribe(Parrot(["G O |"] * 3), manifest))
    assert [reading.speaker for reading in readings] == ["x", "y", "x"]
    assert content_report(readings).resampled == "speakers"


def test_what_cannot_be_read(manifest, write, voice):
    path = manifest.path.with_suffix(".ltr")
    write_lines(path, ["G O |"] * 2)
    with pytest.raises(InputError, match="test.ltr: has 2 lines, but .* has 3 recordings"):
        list(transcribe(Parrot([]), manifest))
    write_lines(path, ["G O |"] * 3)
    write("b.wav", voice(4000), 8000)
    with pytest.raises(InputError, match="b.wav: has 8000 Hz, expected 16000 Hz"):
        list(transcribe(Parrot(["G O |"] * 3), manifest))
    assert len(list(transcribe(Parrot(["G O |"] * 3), manifest, resample=True))) == 3
    write("c.wav", voice(99))
    with pytest.raises(InputError, match="c.wav: has 99 samples, expected 100 at least"):
        list(transcribe(Parrot(["G O |"] * 3), manifest, resample=True))
    path.unlink()
    with pytest.raises(InputError, match=r"test.ltr: no such file.*csc prepare transcripts"):
        list(transcribe(Parrot([]), manifest))


def reading(edits, letters, speaker=None, name="a.wav"):
    return Reading(name, speaker, "", "", edits, letters)


def test_interval_against_a_loop():
    rng = np.random.default_rng(4)
    readings = [
        reading(int(edits), int(letters), f"s{i % 7}")
        for i, (edits, letters) in enumerate(zip(rng.integers(0, 30, 40), rng.integers(20, 60, 40), strict=True))
    ]
    rates = []
    for _ in range(4000):
        drawn = [f"s{number}" for number in rng.integers(0, 7, 7)]
        taken = [entry for speaker in drawn for entry in readings if entry.speaker == speaker]
        rates.append(100 * sum(entry.edits for entry in taken) / sum(entry.letters for entry in taken))
    report = content_report(readings, replicates=4000)
    assert report.units == 7
    np.testing.assert_allclose(report.interval, np.percentile(rates, [2.5, 97.5]), atol=1)
    assert report.interval[0] < report.cer < report.interval[1]
    assert content_report(readings, replicates=4000) == report


def test_speakers_widen_the_interval():
    """One speaker is read without a fault, the other not at all: recordings of one speaker are not independent."""
    by_speaker = content_report([reading(10 * (i % 2), 10, f"s{i % 2}") for i in range(40)])
    by_recording = content_report([reading(10 * (i % 2), 10) for i in range(40)])
    assert by_speaker.cer == by_recording.cer == 50
    assert by_speaker.interval == (0, 100)
    assert 25 < by_recording.interval[0] < 45 and 55 < by_recording.interval[1] < 75


def test_no_interval_from_one_speaker():
    report = content_report([reading(1, 10, "x"), reading(5, 10, "x")])
    assert report.cer == 30 and report.interval is None
    assert "no interval" in report.line() and "30.0 %" in report.line()
    assert json.loads(json.dumps(report.as_json()))["recordings"][1]["edits"] == 5
    with pytest.raises(InputError, match="there are no recordings"):
        content_report([])


def test_the_line():
    report = content_report([reading(1, 10, "x"), reading(1, 10, "y")])
    assert report.line() == (
        "character error rate 10.0 % (95 % interval 10.0 to 10.0 over 2 speakers); 2 edits in 20 letters of 2 recordings"
    )


def test_other_checkpoints_are_refused(model, tmp_path):
    with pytest.raises(InputError, match="absent.pt: no such file"):
        load_reader(tmp_path / "absent.pt")
    save_bundle(model, tmp_path / "csc.pt")
    with pytest.raises(InputError, match="csc.pt: is a checkpoint of architecture 'csc', expected 'ctc_probe'"):
        load_reader(tmp_path / "csc.pt")
