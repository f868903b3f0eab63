"""`csc calibrate`, `enrol`, `identify`, and `score` with a calibration: what they print, write and refuse."""

import json
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest

from csc_fairseq.cli import enrol, identify, score
from csc_fairseq.cli.decision_options import NO_THRESHOLD
from csc_fairseq.cli.main import main
from csc_fairseq.decisions.calibration_file import parse_calibration, read_calibration, write_calibration
from csc_fairseq.decisions.decision import OperatingPoint
from csc_fairseq.decisions.gallery import read_gallery
from csc_fairseq.decisions.model_identity import ModelIdentity
from csc_fairseq.inference.loading import load_model
from tests.decisions.ears import Ears, fitted, hears, turns
from tests.making import bundled, speaker_encoder, voice, write_recording

MODEL = ["--model", "ears.pt"]


said = cache(partial(voice, seconds=2.0))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, where the verbs use `Ears` for a model, with recordings of voices 0 to 3 and talk.wav."""
    monkeypatch.chdir(tmp_path)
    for module in (enrol, identify, score):
        monkeypatch.setattr(module, "load_model", lambda arguments: Ears(1 if "other" in arguments.model else 0))
    hears(monkeypatch)
    for speaker in range(4):
        for take in range(2):
            write_recording(tmp_path / f"v{speaker}_{take}.wav", said(speaker, take))
    write_calibration(tmp_path / "c.json", fitted())
    return tmp_path


def enrolled(*names: str) -> None:
    for speaker, name in enumerate(names):
        assert main(["enrol", name, f"v{speaker}_0.wav", f"v{speaker}_1.wav", "--to", "team.npz", *MODEL]) == 0


def complaint(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line that a command ends with, nothing printed before."""
    capsys.readouterr()
    assert main([*words]) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1 and printed.err.startswith(f"csc {words[0]}: ") and printed.out == ""
    return printed.err.removeprefix(f"csc {words[0]}: ").strip()


def test_three_voices_and_a_stranger(place, capsys):
    enrolled("anna", "ben", "cleo")
    write_recording(place / "talk.wav", turns(1, 3, 0, 2))
    assert capsys.readouterr().out.splitlines()[-1] == "team.npz: cleo, recordings 2, 4.0 s; voices in all 3"
    words = [
        "identify",
        "talk.wav",
        "v3_0.wav",
        "--gallery",
        "team.npz",
        *MODEL,
        "--calibration",
        "c.json",
        "--prior",
        "0.3",
    ]
    assert main(words) == 0
    head, *rows, remark, last = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert head == ["recording", "talker", "seconds", "nearest", "cosine", "llr", "voice", "probability"]
    assert [row[:3] for row in rows] == [*[["talk.wav", str(i), "4.0"] for i in (1, 2, 3, 4)], ["v3_0.wav", "1", "2.0"]]
    assert [row[6] for row in rows] == ["ben", "unknown", "anna", "cleo", "unknown"]
    calibration, point = fitted(), OperatingPoint(0.3)
    assert last == [f"# {point}; calibrated on {calibration.domain}"]
    # It was fitted on 2 s, as much as v3_0.wav has; talk.wav has 16 s.
    assert (
        "# the calibration is of something else: 2 to 16 s are heard at once, it was fitted on 2 s; ratios" in remark[0]
    )
    gallery = read_gallery("team.npz", ModelIdentity.of(Ears(), ""))
    cosines = gallery.centres @ Ears().embed(turns(1))
    assert float(rows[0][4]) == pytest.approx(cosines[1], abs=1e-4)
    assert float(rows[0][5]) == pytest.approx(calibration.llr(cosines[1]), abs=0.01)
    assert float(rows[0][7]) == pytest.approx(point.identified(calibration.llr(cosines)).posterior, abs=1e-3)


def test_a_voice_is_named_once_in_a_recording(place, capsys):
    """And who is left is unknown, though most like the same voice."""
    enrolled("anna", "ben")
    write_recording(place / "talk.wav", turns(0, 0))
    capsys.readouterr()
    assert main(["identify", "talk.wav", "--gallery", "team.npz", *MODEL, "--calibration", "c.json"]) == 0
    _, *rows, _, _ = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[3] for row in rows] == ["anna", "anna"]
    assert sorted(row[6] for row in rows) == ["anna", "unknown"]
    most = max(rows, key=lambda row: float(row[4]))
    assert most[6] == "anna"


def test_without_a_calibration_nothing_is_decided(place, capsys):
    enrolled("anna", "ben")
    write_recording(place / "empty.wav", turns(-1))
    capsys.readouterr()
    assert main(["identify", "v3_0.wav", "empty.wav", "v0_1.wav", "--gallery", "team.npz", *MODEL]) == 0
    head, stranger, empty, anna, last = capsys.readouterr().out.splitlines()
    assert head.split("\t") == ["recording", "talker", "seconds", "nearest", "cosine"]
    assert stranger.split("\t")[3] in ("anna", "ben") and anna.split("\t")[3] == "anna"
    assert float(stranger.split("\t")[4]) < float(anna.split("\t")[4])
    assert empty == "# empty.wav: no voice was found in it"
    assert last.startswith("# no threshold is right for all recordings, so nothing is decided; ")


def test_enrolling_again(place, capsys):
    """Beside what is there, in place of it, and the same command twice."""
    words = ["--to", "team.npz", *MODEL]
    for files, printed in (
        (["v0_0.wav"], "recordings 1, 2.0 s; voices in all 1"),
        (["v0_1.wav"], "recordings 2, 4.0 s; voices in all 1"),
        (["v0_1.wav", "v0_0.wav"], "recordings 2, 4.0 s; voices in all 1"),
        (["v0_1.wav", "--replace"], "recordings 1, 2.0 s; voices in all 1"),
    ):
        assert main(["enrol", "anna", *files, *words]) == 0
        assert f"team.npz: anna, {printed}" in capsys.readouterr().out
    found = read_gallery("team.npz", ModelIdentity.of(Ears(), "x")).voice("anna")
    np.testing.assert_allclose(found.centre, Ears().embed("v0_1.wav"), atol=1e-5)


def test_little_of_a_voice_is_told(place, capsys):
    assert main(["enrol", "anna", "v0_0.wav", "--to", "team.npz", *MODEL]) == 0
    assert "2.0 s are little to know a voice by; 3 s and more" in capsys.readouterr().out
    assert main(["enrol", "anna", "v0_1.wav", "--to", "team.npz", *MODEL]) == 0
    assert "little" not in capsys.readouterr().out


def test_faulty_recordings_leave_the_gallery_as_it_is(place, capsys):
    enrolled("anna")
    before = (place / "team.npz").read_bytes()
    write_recording(place / "short.wav", voice(0, 9, 0.3))
    write_recording(place / "silent.wav", turns(-1, seconds=1.5))
    words = ["enrol", "ben", "v1_0.wav", "short.wav", "--to", "team.npz", *MODEL]
    assert complaint(capsys, *words) == (
        "short.wav: has 0.30 s, expected 0.5 s of one voice at least; record more (1 of 2 recordings; nothing was enrolled)"
    )
    assert main([*words[:4], "silent.wav", *words[4:]]) == 2
    printed = capsys.readouterr().err
    assert "silent.wav: is 1.50 s of digital silence" in printed and "2 of 3 recordings have faults" in printed
    assert (place / "team.npz").read_bytes() == before


def test_score_decides_with_a_calibration(place, capsys):
    model, calibration = Ears(), fitted()
    for test, verdict in (("v0_1.wav", "the same voice"), ("v1_0.wav", "not the same voice")):
        assert main(["score", "v0_0.wav", test, *MODEL]) == 0
        plain = capsys.readouterr().out
        cosine = model.score("v0_0.wav", test)
        assert plain == f"{cosine:.4f}\n# {NO_THRESHOLD}\n"
        words = ["--calibration", "c.json", "--prior", "0.1", "--cost-miss", "2", "--cost-false-alarm", "3"]
        assert main(["score", "v0_0.wav", test, *MODEL, *words]) == 0
        point, llr = OperatingPoint(0.1, 2, 3), float(calibration.llr(cosine))
        assert capsys.readouterr().out.splitlines() == [
            f"{cosine:.4f}",
            f"log-likelihood ratio {llr:+.2f}: {verdict}; probability of the same voice {point.posterior(llr):.3f}",
            f"prior 0.1, a miss costs 2, a false alarm 3: threshold {point.threshold:+.2f}; calibrated on "
            f"{calibration.domain}",
        ]


SCORE = ["score", "v0_0.wav", "v0_1.wav"]
IDENTIFY = ["identify", "v0_0.wav", "--gallery", "team.npz"]
ENROL = ["enrol", "dora", "v3_0.wav", "--to", "team.npz"]


def test_bad_input(place, capsys):
    enrolled("anna")
    (place / "folder.npz").mkdir()
    for words, message in (
        (
            [*SCORE, *MODEL, "--prior", "0.3"],
            "--prior 0.3: is for decisions, which need a calibration; give --calibration",
        ),
        ([*IDENTIFY, *MODEL, "--cost-miss", "2"], "--cost-miss 2: is for decisions, which need a calibration"),
        (
            [*SCORE, *MODEL, "--calibration", "c.json", "--prior", "1"],
            "--prior 1: expected a probability between 0 and 1",
        ),
        (
            [*SCORE, *MODEL, "--calibration", "c.json", "--cost-false-alarm", "0"],
            "--cost-false-alarm 0: expected a number above 0",
        ),
        ([*SCORE, *MODEL, "--calibration", "gone.json"], "gone.json: cannot be read (No such file or directory)"),
        ([*SCORE, *MODEL, "--calibration", "v0_0.wav"], "v0_0.wav: is not JSON ("),
        (
            [*SCORE, "--model", "other.pt", "--calibration", "c.json"],
            "c.json: was fitted with the model ears.pt (",
        ),
        ([*IDENTIFY, "--model", "other.pt"], "team.npz: was enrolled with the model ears.pt ("),
        ([*ENROL, "--model", "other.pt"], "team.npz: was enrolled with the model ears.pt ("),
        (["identify", "v0_0.wav", "--gallery", "gone.npz", *MODEL], "gone.npz: no such file; expected a gallery"),
        (["identify", "v0_0.wav", "--gallery", "v0_0.wav", *MODEL], "v0_0.wav: is damaged or no gallery ("),
        (["identify", "v0_0.wav", "gone.wav", "--gallery", "team.npz", *MODEL], "gone.wav: no such file"),
        (["enrol", "dora", "v3_0.wav", "--to", "folder.npz", *MODEL], "folder.npz: is a folder; expected a gallery"),
        (["enrol", "unknown", "v3_0.wav", "--to", "team.npz", *MODEL], "name 'unknown': is what is said of voices"),
        (["enrol", "dora", "v3_0.wav", "--to", "team.json", *MODEL], "team.json: expected a name that ends in .npz"),
        (["enrol", "dora", "v0_0.wav", "--to", "team.npz", *MODEL], "v0_0.wav: is a recording of anna in this gallery"),
        (["calibrate", "--manifest", "d.tsv", "--out", "c.txt", *MODEL], "c.txt: expected a name that ends in .json"),
        (
            ["calibrate", "--manifest", "d.tsv", "--out", "c.json", *MODEL],
            "ears.pt: no such file; expected a checkpoint",
        ),
    ):
        assert complaint(capsys, *words).startswith(message)
    assert [voice.name for voice in read_gallery("team.npz", ModelIdentity.of(Ears(), "x")).voices] == ["anna"]


def test_calibrate_and_score(corpus, tmp_path, capsys):
    """From development recordings to a decision, with a model file."""
    path, out = str(bundled(speaker_encoder(5), tmp_path / "model.pt")), str(tmp_path / "new" / "c.json")
    conditions = tmp_path / "two.yaml"
    conditions.write_text("- {name: clean}\n- {name: hiss 20 dB, noise: stationary, snr_db: 20}\n")
    words = ["--manifest", str(corpus / "train.tsv"), "--conditions", str(conditions), "--jobs", "1", "--seed", "1"]
    assert main(["calibrate", "--model", path, *words, "--out", out]) == 0
    # Under each condition 12 recordings with 2 others of their speaker, and 3 of the only speaker who does not interfere.
    title, head, *rows, _, last = capsys.readouterr().out.splitlines()
    found = read_calibration(out, ModelIdentity.of(load_model(path), path))
    assert title == "48 target and 72 non-target trials of 4 speakers, train.tsv"
    assert head.split() == ["condition", "EER,", "%", "Cllr,", "bits"]
    assert [row.split("  ")[0] for row in rows] == ["all together", "clean", "hiss 20 dB"]
    assert (
        rows[0].split()[-1] == f"{found.quality.cllr:.3f}" and rows[0].split()[-2] == f"{100 * found.quality.eer:.1f}"
    )
    assert last == f"{out}: log-likelihood ratio = {found.map.scale:.3f} × score {found.map.offset:+.3f}"
    assert json.loads(Path(out).read_text())["domain"]["conditions"][1]["snr_db"] == 20
    files = [str(corpus / "s0_0.wav"), str(corpus / "s1_1.wav")]
    assert main(["score", *files, "--model", path, "--calibration", out, "--prior", "0.5"]) == 0
    plain, verdict, _ = capsys.readouterr().out.splitlines()
    assert f"log-likelihood ratio {float(found.llr(load_model(path).score(*files))):+.2f}: " in verdict
    assert main(["calibrate", "--model", path, "--manifest", str(tmp_path / "x.tsv"), "--out", out]) == 2
    assert "x.tsv: cannot be read" in capsys.readouterr().err
    assert read_calibration(out, found.model) == found  # still there


def test_a_bundle_with_its_calibration(tmp_path, capsys):
    """`csc export` puts it in, verbs find it there, and it is lost where the weights change."""
    recording = str(write_recording(tmp_path / "a.wav", voice(0, 0, 0.6)))
    model = speaker_encoder()
    path, out = str(bundled(model, tmp_path / "csc.pt")), str(tmp_path / "calibrated.pt")
    own = replace(fitted(), model=ModelIdentity.of(model, "csc.pt"))
    write_calibration(tmp_path / "c.json", own)
    write_calibration(tmp_path / "other.json", fitted())
    assert main(["export", path, "--calibration", str(tmp_path / "c.json"), "--out", out]) == 0
    capsys.readouterr()
    found = load_model(out)
    assert parse_calibration(found.calibration, "x", own.model) == own
    assert load_model(bundled(found, tmp_path / "again.pt")).calibration == found.calibration
    printed = []
    for words in ([out, "--prior", "0.2"], [path, "--prior", "0.2", "--calibration", str(tmp_path / "c.json")]):
        assert main(["score", recording, recording, "--model", *words]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] and "log-likelihood ratio" in printed[0]
    assert main(["export", out, out, "--average", "--out", path]) == 0 and load_model(path).calibration is None
    capsys.readouterr()
    message = complaint(capsys, "export", out, "--calibration", str(tmp_path / "other.json"), "--out", path)
    assert "other.json: was fitted with the model ears.pt (" in message
    found.calibration = "{}"
    damaged = str(bundled(found, tmp_path / "damaged.pt"))
    assert "damaged.pt, its calibration: is no calibration" in complaint(
        capsys, "score", recording, recording, "--model", damaged
    )
