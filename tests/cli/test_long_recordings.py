"""embed --windows, score and separate on recordings over 12 s, with a model that separates exactly."""

import numpy as np
import pytest
import soundfile

from csc_fairseq.cli.decision_options import NO_THRESHOLD
from csc_fairseq.cli.main import main
from tests.interleaved import HALF, RATE, Interleaved, talkers
from tests.making import write_recording

TURNS = [(0, 0, 8), (1, 6, 13), (2, 13, 19), (0, 19, 20)]


@pytest.fixture
def model(monkeypatch):
    """What every verb loads."""
    model = Interleaved()
    for verb in ("embed", "score", "separate"):
        monkeypatch.setattr(f"csc_fairseq.cli.{verb}.load_model", lambda arguments: model)
    return model


@pytest.fixture
def meeting(tmp_path):
    return str(write_recording(tmp_path / "meeting.wav", talkers(TURNS, 20).sum(0), RATE))


def test_separate_writes_a_file_for_each_talker(model, meeting, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["separate", meeting, "--model", "m.pt", "--out", str(out)]
    assert main(command) == 0
    files = [out / f"meeting_{number}.wav" for number in (1, 2, 3)]
    assert sorted(out.iterdir()) == files and capsys.readouterr().out.split() == [str(file) for file in files]
    for file, source in zip(files, talkers(TURNS, 20), strict=True):  # 9, 7 and 6 s
        samples, rate = soundfile.read(file, dtype="float32")
        assert rate == RATE
        np.testing.assert_allclose(samples, source, atol=HALF)
    for options, count in ((["--most", "2"], 2), (["--talkers", "1"], 1), (["--most", "5"], 3)):
        assert main([*command, *options]) == 0
        printed = capsys.readouterr()
        assert printed.out.split() == [str(file) for file in files[:count]]
        assert printed.err.splitlines() == [
            f"{file}: of an earlier separation, left as it was" for file in files[count:]
        ]


def test_separate_of_short_and_silent_recordings(model, tmp_path, capsys):
    """A number of talkers is of long recordings; a short one has the model's streams, and says so."""
    short = talkers([(1, 0, 6)], 6)
    files = [
        str(write_recording(tmp_path / "short.wav", short.sum(0), RATE)),
        str(write_recording(tmp_path / "silent.wav", np.zeros(20 * RATE), RATE)),
    ]
    assert main(["separate", *files, "--model", "m.pt", "--talkers", "1", "--out", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["short_1.wav", "short_2.wav", "silent_1.wav"]
    assert not soundfile.read(tmp_path / "out" / "silent_1.wav")[0].any()
    assert capsys.readouterr().err == (
        f"{files[0]}: has 6.0 s and is heard at once, in 2 streams; talkers=1 changes nothing\n"
    )
    assert main(["separate", files[0], "--model", "m.pt", "--talkers", "2", "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--talkers", "0"], "argument --talkers: '0', expected a whole number from 1"),
        (["--most", "two"], "argument --most: 'two', expected a whole number from 1"),
        (["--most", "2", "--talkers", "2"], "not allowed with argument"),
    ],
)
def test_impossible_numbers_of_talkers(options, complaint, capsys):
    with pytest.raises(SystemExit):
        main(["separate", "meeting.wav", "--model", "m.pt", "--out", "o", *options])
    assert complaint in capsys.readouterr().err


def test_separate_overwrites_no_recording_however_many_talkers(model, meeting, tmp_path, capsys):
    other = str(write_recording(tmp_path / "meeting_7.wav", np.ones(5000) * 0.1, RATE))
    command = ["separate", meeting, other, "--model", "m.pt", "--out"]
    assert main([*command, str(tmp_path)]) == 2
    assert "meeting_7.wav: is one of the recordings and might be overwritten" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "out")]) == 0


def test_score_says_when(model, meeting, tmp_path, capsys):
    voices = [str(write_recording(tmp_path / f"{k}.wav", talkers([(k, 0, 4)], 4).sum(0), RATE)) for k in range(3)]
    assert main(["score", voices[2], meeting, "--model", "m.pt"]) == 0
    found, remark = capsys.readouterr().out.splitlines()
    cosine, at, seconds, unit = found.split()
    assert remark == f"# {NO_THRESHOLD}"
    assert (cosine, at, unit) == ("1.0000", "at", "s") and 11 < float(seconds) < 19
    # A short recording has two streams, whoever talks: where talker 1 does, the other one is talker 0's, who is silent.
    for voice, cosine in zip(voices, ("1.0000", "1.0000", "0.0000"), strict=True):
        assert main(["score", voice, voices[1], "--model", "m.pt"]) == 0
        assert capsys.readouterr().out.splitlines()[0] == cosine


def test_embed_windows(model, meeting, tmp_path, capsys):
    short = str(write_recording(tmp_path / "short.wav", talkers([(1, 0, 2)], 2).sum(0), RATE))
    out = tmp_path / "windows.npz"
    command = ["embed", short, meeting, "--model", "m.pt", "--out", str(out)]
    assert main([*command, "--windows"]) == 0
    assert "2 recordings, 38 windows, queries (38, 2, 4)" in capsys.readouterr().out
    found = np.load(out)
    assert (
        found["names"].tolist() == [short, meeting] and found["identity_level"] == "speaker" and found["frame"] == 0.02
    )
    assert found["recordings"].tolist() == [0] + [1] * 37
    assert found["starts"].tolist() == [0.0, *np.arange(0, 18.5, 0.5)]
    assert found["queries"].shape == (38, 2, 4) and found["levels"].shape == (38, 2, 100)
    windows = model.windows(meeting)
    np.testing.assert_allclose(np.sort(found["levels"][1:], axis=1), np.sort(windows.levels, axis=1), atol=1e-6)
    assert main([*command, "--windows", "--length", "3", "--hop", "1"]) == 0
    longer = np.load(out)
    assert longer["starts"].tolist() == [0.0, *map(float, range(18))] and longer["levels"].shape == (19, 2, 150)
    assert not longer["levels"][0, :, 100:].any()  # of a recording of 2 s
    for options, complaint in (
        (["--hop", "2"], "--length and --hop are of windows; add --windows"),
        (["--windows", "--length", "0"], "windows of 0 s: expected 0.02 to 12 s"),
        (["--windows", "--hop", "4"], "windows every 4 s: expected 0.02 to 2 s, their length"),
    ):
        assert main([*command, *options]) == 2
        assert complaint in capsys.readouterr().err


def test_embed_sources_fills_up_with_zeros(model, meeting, tmp_path):
    short = str(write_recording(tmp_path / "short.wav", talkers([(1, 0, 2)], 2).sum(0), RATE))
    assert main(["embed", short, meeting, "--sources", "--model", "m.pt", "--out", str(tmp_path / "e.npz")]) == 0
    rows, counts = (np.load(tmp_path / "e.npz")[name] for name in ("embeddings", "talkers"))
    assert counts.tolist() == [2, 3]
    assert rows.shape == (2, 3, 4) and not rows[0, 2].any()
    np.testing.assert_array_equal(rows[1], np.eye(4)[:3])
