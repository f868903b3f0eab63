"""csc diarize on real windows of a tiny network, and its complaints."""

import json

import numpy as np
import pytest

from csc_fairseq.cli.main import main
from csc_fairseq.data.rttm import Turn, read_rttm, write_rttm
from tests.making import bundled, speaker_encoder, syllables, voice, write_recording


@pytest.fixture
def meeting(tmp_path):
    """Five seconds."""
    samples = np.concatenate([voice(1, 0, 2.5), voice(2, 0, 2.5)])
    return str(write_recording(tmp_path / "in" / "meeting.wav", samples))


def test_files_of_a_meeting(meeting, tmp_path, capsys):
    encoder = speaker_encoder(1)  # both of its streams hold somebody
    bundle = str(bundled(encoder, tmp_path / "model.pt"))
    words = ["diarize", meeting, "--model", bundle, "--talkers", "2", "--separated", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    first, *talkers = capsys.readouterr().out.splitlines()
    found = encoder.conversation(meeting, talkers=2)
    assert len(found.talkers.centres) == len(talkers) == 2
    assert first == f"{meeting}: 2 talkers in 5.0 s; {tmp_path}/out/meeting.html"
    turns = read_rttm(tmp_path / "out" / "meeting.rttm")["meeting"]
    for number, active in enumerate(found.talkers.active, start=1):
        spoken = sum(turn.end - turn.start for turn in turns if turn.talker == f"talker_{number}")
        assert spoken == pytest.approx(active.sum() * 0.02, abs=0.011) and spoken > 0
        assert f"talker_{number}" in talkers[number - 1] and f" {active.sum() * 0.02:.2f} s " in talkers[number - 1]
        assert (tmp_path / "out" / f"meeting_talker_{number}.wav").exists()
    assert main(words) == 0
    assert "(as it was: the same recording, model and options)" in capsys.readouterr().out


def test_reference(bundle, tmp_path, capsys):
    other = str(write_recording(tmp_path / "in" / "other.wav", voice(3, 0, 1.0)))
    meeting = str(write_recording(tmp_path / "in" / "meeting.wav", voice(1, 0, 2.0)))
    write_rttm(tmp_path / "a.rttm", "meeting", [Turn("anna", 0, 1.5), Turn("bob", 1.5, 2)])
    write_rttm(tmp_path / "b.rttm", "other", [Turn("cora", 0, 1)])
    words = ["diarize", meeting, other, "--model", bundle, "--out", str(tmp_path / "out"), "--reference"]
    assert main([*words, str(tmp_path / "a.rttm"), str(tmp_path / "b.rttm")]) == 0
    text = capsys.readouterr().out
    assert text.count("collar 0 s, with overlap") == text.count("JER") == 3
    assert text.index("meeting.wav: ") < text.index("other.wav: ") < text.index("all 2 recordings")
    # What it wrote itself is no reference, by whatever path.
    (tmp_path / "link").symlink_to(tmp_path / "out")
    assert main([*words, str(tmp_path / "link" / "meeting.rttm"), str(tmp_path / "b.rttm")]) == 2
    error = capsys.readouterr().err
    assert "link/meeting.rttm: is what `csc diarize` writes here, so it is no reference; move a corrected" in error
    # A corrected one stays as it is, with and without other options.
    corrected = "SPEAKER meeting 1 0.000 2.000 <NA> <NA> anna <NA> <NA>\n"
    (tmp_path / "out" / "meeting.rttm").write_text(corrected)
    for options in ([], ["--most", "1"]):
        assert main([*words[:-1], *options]) == 2
        error = capsys.readouterr().err
        assert (
            "out/meeting.rttm: was changed since `csc diarize` wrote it, and would be lost; move it away, or" in error
        )
        assert (tmp_path / "out" / "meeting.rttm").read_text() == corrected and error.count("\n") == 1
    assert main([*words, str(tmp_path / "a.rttm")]) == 2
    assert "a.rttm: has no turns of other, file ids there: meeting; give the RTTM of" in capsys.readouterr().err


@pytest.mark.parametrize("samples", [np.zeros(32000, np.float32), np.zeros(16000 * 4, np.float32)])
def test_no_speech_is_an_answer(samples, bundle, tmp_path, capsys):
    silence = str(write_recording(tmp_path / "silence.wav", samples))
    assert main(["diarize", silence, "--model", bundle, "--separated", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert (
        printed.out
        == f"{silence}: no voice was found in its {len(samples) / 16000:.1f} s; {tmp_path}/out/silence.html\n"
    )
    assert printed.err == "" and (tmp_path / "out" / "silence.rttm").read_text() == ""
    assert sorted(json.loads((tmp_path / "out" / "silence.json").read_text())["files"]) == [
        "silence.html",
        "silence.rttm",
        "silence.tsv",
    ]


def test_bad_input(meeting, bundle, tmp_path, capsys):
    slow = str(write_recording(tmp_path / "slow.wav", syllables(9000), 8000))
    reference = str(tmp_path / "r.rttm")
    write_rttm(reference, "meeting", [Turn("anna", 0, 6)])
    cases = [
        (
            ["--reference", reference],
            "r.rttm: anna speaks until 6.00 s, but meeting ends at 5.00 s; is it the RTTM of ",
        ),
        (["--reference", meeting], "meeting.wav:1: "),
    ]
    for options, message in cases:
        assert main(["diarize", meeting, *options, "--model", bundle, "--out", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert main(["diarize", slow, "--model", bundle, "--out", str(tmp_path / "out")]) == 2
    assert "slow.wav: has 8000 Hz, expected 16000 Hz" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main(["diarize", slow, "--model", bundle, "--resample", "--out", str(tmp_path / "out")]) == 0
    for counts in (["--talkers", "2", "--most", "2"], ["--talkers", "0"]):
        with pytest.raises(SystemExit):
            main(["diarize", meeting, *counts, "--model", bundle, "--out", "x"])
