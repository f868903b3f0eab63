"""From a training to what it is for: embed, score, separate and evaluate with its checkpoint, on speakers that it has not heard."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from csc_fairseq.cli.main import main
from csc_fairseq.data.manifest import read_manifest
from csc_fairseq.inference.loading import load_model
from tests.making import voice, write_recording


@pytest.fixture
def checkpoint(trained) -> str:
    return str(trained[0] / "checkpoints" / "checkpoint_best.pt")


def test_embed(checkpoint, voices, tmp_path):
    out = tmp_path / "e.npz"
    assert main(["embed", str(voices / "test.tsv"), "--model", checkpoint, "--out", str(out)]) == 0
    written = np.load(out)
    assert written["names"].tolist() == list(read_manifest(voices / "test.tsv").names)
    assert written["embeddings"].shape == (12, 16) and written["identity_level"] == "speaker"
    np.testing.assert_allclose(np.linalg.norm(written["embeddings"], axis=1), 1, atol=1e-5)


def test_score_and_separate(checkpoint, tmp_path, capsys):
    """A mixture of two talkers, one of whom is enrolled."""
    enrolled = write_recording(tmp_path / "enrolled.wav", voice(8, 0))
    mixture = write_recording(tmp_path / "mixture.wav", voice(8, 1) + voice(9, 0))
    model = load_model(checkpoint)
    assert main(["score", str(enrolled), str(mixture), "--model", checkpoint]) == 0
    assert float(capsys.readouterr().out.split()[0]) == pytest.approx(model.score(enrolled, mixture), abs=1e-4)
    assert main(["separate", str(mixture), "--model", checkpoint, "--out", str(tmp_path / "out")]) == 0
    found = [soundfile.read(tmp_path / "out" / f"mixture_{number}.wav")[0] for number in (1, 2)]
    np.testing.assert_allclose(found, model.separate(mixture), atol=1e-4)


def test_evaluate(checkpoint, voices, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("conditions.yaml").write_text("- {name: clean}\n- {name: talker 0 dB, talkers: 1, sir_db: 0}\n")
    words = ["evaluate", "--encoder", f"csc={checkpoint}", "--encoder", "mfcc", "--conditions", "conditions.yaml"]
    words += ["--replicates", "20", "--seconds", "1", "--jobs", "1", "--out", "out", "--manifest"]
    assert main([*words, str(voices / "test.tsv")]) == 0
    assert "Equal error rate" in capsys.readouterr().out and Path("out", "report.html").is_file()
    results = json.loads(Path("out", "results.json").read_text())["results"]
    assert [(result["encoder"], result["condition"]) for result in results] == [
        (encoder, condition) for encoder in ("csc", "mfcc") for condition in ("clean", "talker 0 dB")
    ]
    for result in results:
        # 4 speakers with 3 recordings each, all ordered pairs; two of the 3 other speakers interfere with each recording.
        assert (result["targets"], result["nontargets"]) == (4 * 3 * 2, 4 * 3 * 3)
        assert result["eer"]["low"] <= result["eer"]["value"] <= result["eer"]["high"]
        assert (result["si_snri"] is not None) == (result["encoder"] == "csc" and result["condition"] != "clean")
    assert main([*words, str(voices / "valid.tsv")]) == 2
    assert f"speakers are those of {checkpoint} too" in capsys.readouterr().err
