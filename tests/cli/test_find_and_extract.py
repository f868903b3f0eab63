"""csc find and csc extract with a tiny network: the same figures as in Python, and their complaints."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from csc_fairseq.cli.main import main
from csc_fairseq.decisions.calibration_file import write_calibration
from csc_fairseq.decisions.decision import OperatingPoint
from csc_fairseq.decisions.model_identity import ModelIdentity
from csc_fairseq.diarization.finding import find_voice, window_stretches
from csc_fairseq.verification.metrics.calibration import Calibration
from tests.decisions.conftest import calibration  # noqa: F401 - a fixture
from tests.making import bundled, speaker_encoder, voice, write_recording


@pytest.fixture
def material(tmp_path):
    """Two enrolments of 1.5 s, a mixture of 1 s and a talk of 5 s."""
    enrol = [str(write_recording(tmp_path / f"e{take}.wav", voice(1, take, 1.5))) for take in range(2)]
    mix = str(write_recording(tmp_path / "mix.wav", voice(1, 5, 1.0) + voice(2, 5, 1.0)))
    talk = str(write_recording(tmp_path / "talk.wav", np.concatenate([voice(1, 6, 2.5), voice(2, 6, 2.5)])))
    return enrol, mix, talk


@pytest.fixture
def centre(encoder, material) -> np.ndarray:
    both = np.stack([encoder.embed(file) for file in material[0]]).mean(axis=0)
    return both / np.linalg.norm(both)


@pytest.fixture
def fitted(calibration, encoder, bundle, tmp_path):  # noqa: F811 - the fixture
    """fitted(cosine): path of a calibration of this model whose log-likelihood ratio is 0 there."""

    def fit(cosine: float) -> str:
        made = replace(calibration, map=Calibration(10.0, -10 * cosine), model=ModelIdentity.of(encoder, bundle))
        write_calibration(tmp_path / "c.json", made)
        return str(tmp_path / "c.json")

    return fit


def rows(text: str) -> tuple[list[list[str]], list[str]]:
    """The table's rows without its head, and the lines that begin with #."""
    lines = text.splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")][1:], [
        line for line in lines if line.startswith("#")
    ]


def test_find_lists_windows_where_nothing_decides(material, bundle, encoder, centre, capsys):
    enrol, mix, talk = material
    assert main(["find", *enrol, "--in", talk, mix, "--model", bundle]) == 0
    text = capsys.readouterr().out
    assert text.startswith("recording\tstart\tend\tcosine\n")
    found, remarks = rows(text)
    expected = [(file, one) for file in (talk, mix) for one in window_stretches(encoder.windows(file), centre)]
    assert [row[0] for row in found] == [file for file, _ in expected] and len(found) == 8
    for row, (_, one) in zip(found, expected, strict=True):
        assert [float(cell) for cell in row[1:]] == pytest.approx([one.start, one.end, one.cosine], abs=2e-4)
    assert len(remarks) == 1 and "nothing is decided" in remarks[0] and "--threshold" in remarks[0]


def test_find_decides(material, bundle, encoder, centre, fitted, capsys):
    enrol, mix, talk = material
    windows = encoder.windows(talk)
    cosines = sorted(one.cosine for one in window_stretches(windows, centre))
    middle = (cosines[0] + cosines[1]) / 2
    expected = find_voice(windows, centre, lambda cosine: cosine >= middle)
    assert expected
    words = ["find", *enrol, "--in", talk, "--model", bundle]
    assert main([*words, "--threshold", str(middle)]) == 0
    by_threshold, remarks = rows(capsys.readouterr().out)
    assert [[float(cell) for cell in row[1:]] for row in by_threshold] == pytest.approx(
        np.array([[one.start, one.end, one.cosine] for one in expected]), abs=6e-3
    )
    assert remarks[0].startswith("# a cosine of 0.") and "counts as the voice, as --threshold says" in remarks[0]
    # At the prior 0.5 and equal costs the threshold is at a log-likelihood ratio of 0.
    assert main([*words, "--calibration", fitted(middle)]) == 0
    text = capsys.readouterr().out
    by_calibration, remarks = rows(text)
    assert text.startswith("recording\tstart\tend\tcosine\tllr\n")
    assert [row[:4] for row in by_calibration] == by_threshold
    for row in by_calibration:
        assert float(row[4]) == pytest.approx(10 * (float(row[3]) - middle), abs=0.01)
    assert remarks[0] == (
        "# the calibration is of something else: 2 s are heard at once, it was fitted on 10 s; voices have 2 recordings, there "
        "1 recording; ratios may mislead, another one can be fitted with csc calibrate --seconds and --enrol-utterances"
    )
    assert remarks[1].startswith(f"# {OperatingPoint()}; calibrated on 8 speakers")
    # The prior moves it: log((1 - P) / P) is 10 times the cosine's distance.
    prior = str(1 / (1 + np.exp(10 * (cosines[-1] + 0.01 - middle))))
    assert main([*words, "--calibration", fitted(middle), "--prior", prior]) == 0
    found, remarks = rows(capsys.readouterr().out)
    assert found == [] and f"{talk}: the voice is not found; the most similar window, " in remarks[0]
    assert f"cosine {cosines[-1]:.4f}" in remarks[0] and len(remarks) == 3


def test_find_in_silence(material, bundle, tmp_path, capsys):
    silence = str(write_recording(tmp_path / "silence.wav", np.zeros(16000 * 4, np.float32)))
    assert main(["find", *material[0], "--in", silence, "--model", bundle, "--threshold", "-1"]) == 0
    found, remarks = rows(capsys.readouterr().out)
    assert found == [] and remarks[0] == f"# {silence}: no voice was found in it"


@pytest.mark.parametrize("long", [False, True])
def test_extract(long, material, bundle, encoder, centre, fitted, tmp_path, capsys, monkeypatch):
    enrol, file, _ = material
    if long:  # more than the network hears at once
        monkeypatch.setattr("csc_fairseq.inference.embedding_model.LONG", 3.0)
        file = str(write_recording(tmp_path / "long.wav", np.concatenate([voice(1, 6, 2.0), voice(2, 6, 2.0)])))
    if long:
        found = encoder.conversation(file, waveforms=True)
        talkers = found.talkers.centres
        voices = [found.waveform(number) for number in range(len(talkers))]
    else:
        talkers, voices = encoder.embed_sources(file), encoder.separate(file)
    best = int((talkers @ centre).argmax())
    cosine = float(talkers[best] @ centre)
    out = tmp_path / "new" / "voice.wav"
    words = ["extract", file, "--enrol", *enrol, "--model", bundle, "--out", str(out)]
    assert main(words) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == str(out) and second == f"# {file}: the most similar talker has cosine {cosine:.4f}"
    assert "nothing is decided" in third
    samples, rate = soundfile.read(out, dtype="float32")
    assert rate == 16000
    np.testing.assert_allclose(samples, voices[best], atol=1e-4)

    ways = [
        (["--threshold", str(cosine - 0.001)], True),
        (["--threshold", str(min(1.0, cosine + 0.001))], False),
        (["--calibration", fitted(cosine - 0.01)], True),
        (["--calibration", fitted(cosine - 0.01), "--prior", "0.4"], False),  # log(0.6 / 0.4) is above 0.1
    ]
    for options, present in ways[:: 3 if long else 1]:
        out.write_text("of before")
        assert main([*words, *options]) == 0
        first, *lines = capsys.readouterr().out.splitlines()
        assert first == (str(out) if present else "absent")
        if not present:  # and nothing is touched
            assert (
                out.read_text() == "of before"
                and lines.pop(0) == f"# {out}: was there before and is not of this command"
            )
            out.unlink()
            assert main([*words, *options]) == 0 and not out.exists()
            assert capsys.readouterr().out.splitlines() == ["absent", *lines]
        assert ("llr +0.10" in lines[0]) == ("--calibration" in options)
        # 1 s, or 4 s of the long one, and two enrolments.
        assert any("of something else: " in line for line in lines) == ("--calibration" in options)


def test_nobody_is_absent(material, bundle, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("csc_fairseq.inference.embedding_model.LONG", 3.0)
    for seconds in (2, 4):
        silence = str(write_recording(tmp_path / f"{seconds}.wav", np.zeros(16000 * seconds, np.float32)))
        out = tmp_path / "voice.wav"
        assert main(["extract", silence, "--enrol", *material[0], "--model", bundle, "--out", str(out)]) == 0
        assert capsys.readouterr().out.splitlines() == ["absent", f"# {silence}: no voice was found in it"]
        assert not out.exists()


def test_the_mixture_may_come_last(material, bundle, tmp_path, capsys):
    enrol, mix, _ = material
    options = ["--model", bundle, "--out", str(tmp_path / "voice.wav")]
    printed = []
    for words in (
        ["--enrol", *enrol, mix, *options],
        [*options, mix, "--enrol", *enrol],
        ["--enrol", *enrol, *options, mix],
    ):
        assert main(["extract", *words]) == 0
        printed.append(capsys.readouterr().out)
    assert len(set(printed)) == 1 and f"# {mix}: the most similar talker has" in printed[0]


def test_bad_input(material, bundle, fitted, tmp_path, capsys):
    enrol, mix, _ = material
    short = str(write_recording(tmp_path / "short.wav", voice(1, 0, 0.3)))
    silent = str(write_recording(tmp_path / "silent.wav", np.zeros(16000, np.float32)))
    slow = str(write_recording(tmp_path / "slow.wav", np.zeros(16000, np.float32), 8000))
    out = ["--out", str(tmp_path / "v.wav")]
    find, extract = ["find", *enrol, "--in", mix], ["extract", mix, "--enrol", *enrol]
    cases = [
        (["find", enrol[0], short, "--in", mix], "short.wav: has 0.30 s, expected 0.5 s of one voice at least"),
        (["extract", mix, "--enrol", silent, *out], "silent.wav: is 1.00 s of digital silence"),
        (
            ["find", "--in", mix, *enrol],
            "no recording of the voice; give them first, as all after --in are searched: csc find ENR",
        ),
        (
            ["extract", "--enrol", mix, *out],
            "mix.wav: is the only recording; give the one to draw the voice out of, too",
        ),
        ([*find, slow], "slow.wav: has 8000 Hz, expected 16000 Hz"),
        ([*find, "--threshold", "2"], "--threshold 2: expected a cosine, from -1 to 1"),
        ([*find, "--threshold", "0.5", "--calibration", "c.json"], "--threshold and --calibration: give one of them"),
        ([*find, "--threshold", "0.5", "--prior", "0.5"], "--threshold and --prior: give one of them"),
        ([*find, "--prior", "0.5"], "--prior 0.5: is for decisions, which need a calibration"),
        ([*extract, "--out", "v.mp3"], "v.mp3: expected a name that ends in .wav"),
        ([*extract, "--out", enrol[0]], "e0.wav: is one of the recordings and would be overwritten"),
        ([*extract, "--out", mix], "mix.wav: is one of the recordings and would be overwritten"),
    ]
    for words, message in cases:
        assert main([*words, "--model", bundle]) == 2, words
        printed = capsys.readouterr()
        assert message in printed.err and printed.err.count("\n") == 1 and printed.out == ""
    bundled(speaker_encoder(1), tmp_path / "other.pt")
    for words in (find, [*extract, *out]):
        assert main([*words, "--model", str(tmp_path / "other.pt"), "--calibration", fitted(0.5)]) == 2
        assert "c.json: was fitted with the model model.pt" in capsys.readouterr().err
    assert not (tmp_path / "v.wav").exists()
