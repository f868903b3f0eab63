"""embed, score, separate, export: files in, files out, the same figures as the Python interface."""

from dataclasses import asdict

import numpy as np
import pytest
import soundfile
import torch

from csc_fairseq.cli.main import main
from csc_fairseq.data.manifest import read_manifest
from csc_fairseq.inference.checkpoint import load_model


def test_embed_files_and_manifests(bundle, encoder, corpus, tmp_path, capsys):
    files = [str(corpus / "s1_2.wav"), str(corpus / "s0_0.wav")]
    out = tmp_path / "new" / "embeddings.npz"
    assert main(["embed", *files, "--model", bundle, "--out", str(out)]) == 0
    assert "2 recordings, embeddings (2, 12)" in capsys.readouterr().out
    written = np.load(out)  # no pickle needed
    assert written["names"].tolist() == files and written["identity_level"] == "speaker"
    np.testing.assert_allclose(written["embeddings"], encoder.embed(files), atol=1e-4)

    assert main(["embed", str(corpus / "train.tsv"), files[0], "--sources", "--model", bundle, "--out", str(out)]) == 0
    written, manifest = np.load(out), read_manifest(corpus / "train.tsv")
    assert written["names"].tolist() == [*manifest.names, files[0]]
    assert written["embeddings"].shape == (13, 2, 12) and written["embeddings"].dtype == np.float32
    for row, name in zip(written["embeddings"], manifest.names, strict=False):
        np.testing.assert_allclose(row, encoder.embed_sources(corpus / name), atol=1e-4)


def test_embed_in_portions(bundle, encoder, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("csc_fairseq.cli.embed.SECONDS_AT_ONCE", 1.3)
    out = tmp_path / "e.npz"
    assert main(["embed", str(corpus / "train.tsv"), "--model", bundle, "--out", str(out)]) == 0
    manifest = read_manifest(corpus / "train.tsv")
    expected = np.stack([encoder.embed(manifest.file(i)) for i in range(12)])
    np.testing.assert_allclose(np.load(out)["embeddings"], expected, atol=1e-4)


def test_score(bundle, encoder, corpus, capsys):
    files = [str(corpus / "s1_2.wav"), str(corpus / "s0_0.wav")]
    assert main(["score", *files, "--model", bundle]) == 0
    assert capsys.readouterr().out == f"{encoder.score(*files):.4f}\n"


def test_separate_writes_float_wav(bundle, encoder, corpus, tmp_path, capsys):
    loud = tmp_path / "loud.wav"
    samples, _ = soundfile.read(corpus / "s0_0.wav", dtype="float32")
    soundfile.write(loud, 400 * samples, 16000, subtype="FLOAT")
    assert (
        main(["separate", str(loud), str(corpus / "s1_1.wav"), "--model", bundle, "--out", str(tmp_path / "out")]) == 0
    )
    written = ["loud_1.wav", "loud_2.wav", "s1_1_1.wav", "s1_1_2.wav"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == written
    assert capsys.readouterr().out.split() == [str(tmp_path / "out" / name) for name in written]
    expected = encoder.separate(loud)
    assert np.abs(expected).max() > 1  # clipping would show
    for name, stream in zip(written, expected, strict=False):
        samples, rate = soundfile.read(tmp_path / "out" / name, dtype="float32")
        assert rate == 16000
        np.testing.assert_allclose(samples, stream, atol=1e-4)


def test_export_drops_what_inference_does_not_need(encoder, bundle, corpus, tmp_path, capsys):
    weights = {f"encoder.{name}": tensor for name, tensor in encoder.network.state_dict().items()}
    checkpoint = {
        "cfg": {"model": {"_name": "csc", **asdict(encoder.network.config)}},
        "model": {**weights, "table.rows": torch.randn(5000, 12)},
        "task_state": {"identities": ["a"], "identity_level": "speaker", "sample_rate": 16000},
    }
    torch.save(checkpoint, tmp_path / "checkpoint_best.pt")
    arguments = ["export", str(tmp_path / "checkpoint_best.pt"), "--format", "bundle", "--out"]
    assert main([*arguments, str(tmp_path / "small.pt")]) == 0
    assert "MB" in capsys.readouterr().out
    assert (tmp_path / "small.pt").stat().st_size < (tmp_path / "checkpoint_best.pt").stat().st_size - 5000 * 12 * 3
    recording = corpus / "s0_0.wav"
    np.testing.assert_array_equal(load_model(tmp_path / "small.pt").embed(recording), encoder.embed(recording))
    assert main([*arguments, str(tmp_path / "checkpoint_best.pt")]) == 2
    assert "is the checkpoint itself" in capsys.readouterr().err


@pytest.fixture
def bad(corpus, tmp_path):
    """bad(name, samples, rate): a recording beside the corpus."""

    def write(name, samples, rate=16000):
        soundfile.write(tmp_path / name, samples, rate, subtype="FLOAT")
        return str(tmp_path / name)

    return write


def test_bad_input_is_one_line_and_status_2(bundle, corpus, bad, tmp_path, capsys):
    good, out = str(corpus / "s0_0.wav"), str(tmp_path / "e.npz")
    slow = bad("slow.wav", np.ones(9000) * 0.1, 8000)
    stereo = bad("stereo.wav", np.ones((9000, 2)) * 0.1)
    damaged = tmp_path / "damaged.pt"
    damaged.write_bytes(b"nonsense")
    folder = tmp_path / "folder"
    cases = [
        (["score", good, slow, "--model", bundle], "slow.wav: has 8000 Hz, expected 16000 Hz"),
        (["score", stereo, good, "--model", bundle], "stereo.wav: has 2 channels"),
        (["score", good, str(tmp_path / "absent.wav"), "--model", bundle], "absent.wav: no such file"),
        (["score", good, good, "--model", str(damaged)], "damaged.pt: is no checkpoint"),
        (["score", good, good, "--model", bundle, "--device", "toaster"], "--device toaster: cannot be used"),
        (["embed", good, slow, "--model", bundle, "--out", out], "slow.wav: has 8000 Hz"),
        (["embed", good, "--model", bundle, "--out", out[:-1]], "expected a name that ends in .npz"),
        (["embed", str(corpus / "x.tsv"), "--model", bundle, "--out", out], "x.tsv: cannot be read"),
        (["separate", good, good, "--model", bundle, "--out", str(folder)], "2 recordings are named 's0_0'"),
        (["separate", stereo, "--model", bundle, "--out", str(folder)], "stereo.wav: has 2 channels"),
        (["export", good, "--out", str(tmp_path / "b.pt")], "s0_0.wav: is "),
    ]
    for arguments, message in cases:
        assert main(arguments) == 2, arguments
        error = capsys.readouterr().err
        assert message in error and error.startswith(f"csc {arguments[0]}: ") and error.count("\n") == 1
    assert not (tmp_path / "e.npz").exists()
    assert main(["score", good, slow, "--model", bundle, "--resample"]) == 0


def test_separate_overwrites_no_recording(bundle, bad, tmp_path, capsys):
    first, second = bad("mix.wav", np.ones(9000) * 0.1), bad("mix_1.wav", np.ones(9000) * 0.1)
    assert main(["separate", first, second, "--model", bundle, "--out", str(tmp_path)]) == 2
    assert "mix_1.wav: is one of the recordings" in capsys.readouterr().err
    np.testing.assert_array_equal(soundfile.read(second)[0], np.float32(0.1))
