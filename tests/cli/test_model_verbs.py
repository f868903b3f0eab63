"""embed, score, separate, export: files in, files out, the same figures as the Python interface."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from csc_fairseq.backbones.backbone import Backbone
from csc_fairseq.backbones.csc import CscBackbone
from csc_fairseq.backbones.loading import pretrained_backbone
from csc_fairseq.checkpoints.checkpoint import read_checkpoint
from csc_fairseq.cli.main import main
from csc_fairseq.data.manifest import read_manifest
from csc_fairseq.inference.loading import load_model
from csc_fairseq.inference.speaker_encoder import SpeakerEncoder
from tests.making import (
    TINY,
    csc_checkpoint,
    make_wav2vec,
    save_cfg,
    saved,
    separative_network,
    verifier_checkpoint,
    write_recording,
)


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
    monkeypatch.setattr("csc_fairseq.inference.many_recordings.SECONDS_AT_ONCE", 1.3)
    out = tmp_path / "e.npz"
    assert main(["embed", str(corpus / "train.tsv"), "--model", bundle, "--out", str(out)]) == 0
    manifest = read_manifest(corpus / "train.tsv")
    expected = np.stack([encoder.embed(manifest.file(i)) for i in range(12)])
    np.testing.assert_allclose(np.load(out)["embeddings"], expected, atol=1e-4)


def test_score(bundle, encoder, corpus, capsys):
    files = [str(corpus / "s1_2.wav"), str(corpus / "s0_0.wav")]
    assert main(["score", *files, "--model", bundle]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{encoder.score(*files):.4f}"


def test_separate_writes_float_wav(bundle, encoder, corpus, tmp_path, capsys):
    loud = tmp_path / "loud.wav"
    samples, _ = soundfile.read(corpus / "s0_0.wav", dtype="float32")
    write_recording(loud, 400 * samples)
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
    checkpoint = csc_checkpoint(encoder.network)
    checkpoint["model"]["table.weight"] = torch.randn(5000, 12)
    saved(checkpoint, tmp_path / "checkpoint_best.pt")
    arguments = ["export", str(tmp_path / "checkpoint_best.pt"), "--format", "bundle", "--out"]
    assert main([*arguments, str(tmp_path / "small.pt")]) == 0
    assert "MB" in capsys.readouterr().out
    assert (tmp_path / "small.pt").stat().st_size < (tmp_path / "checkpoint_best.pt").stat().st_size - 5000 * 12 * 3
    recording = corpus / "s0_0.wav"
    np.testing.assert_array_equal(load_model(tmp_path / "small.pt").embed(recording), encoder.embed(recording))
    assert main([*arguments, str(tmp_path / "checkpoint_best.pt")]) == 2
    assert "is a checkpoint that was given" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["csc", "verifier"])
def test_export_averages(kind, tmp_path, capsys):
    """The mean of all weights, counters and memory apart, which are the last one's."""
    models = []
    for seed in range(3):
        if kind == "csc":
            state = csc_checkpoint(separative_network(seed, filled=3))
        else:
            torch.manual_seed(seed)
            state = verifier_checkpoint(CscBackbone(TINY, 16000))
        models.append(load_model(saved(state, tmp_path / f"{seed}.pt")))
    files = [str(tmp_path / f"{seed}.pt") for seed in range(3)]
    assert main(["export", *files, "--average", "--out", str(tmp_path / "mean.pt")]) == 0
    found = load_model(tmp_path / "mean.pt").network.state_dict()
    states = [model.network.state_dict() for model in models]
    averaged = 0
    for name, weight in found.items():
        kept = not weight.is_floating_point() or name.startswith("memory.")
        expected = states[2][name] if kept else sum(state[name] for state in states) / 3
        torch.testing.assert_close(weight, expected, atol=1e-6, rtol=1e-5)
        averaged += not kept
    assert averaged > 10
    capsys.readouterr()
    wider = saved(csc_checkpoint(separative_network(stream_channels=10)), tmp_path / "wider.pt")
    for words, complaint in (
        ([files[0], str(wider), "--average"], "0.pt: has other weights than "),
        ([files[0], files[1]], "2 checkpoints; give one, or several with --average"),
        ([files[0], "--average"], "--average needs several checkpoints"),
    ):
        assert main(["export", *words, "--out", str(tmp_path / "no.pt")]) == 2
        assert complaint in capsys.readouterr().err and not (tmp_path / "no.pt").exists()


@pytest.fixture
def bad(corpus, tmp_path):
    """bad(name, samples, rate): a recording beside the corpus."""

    return lambda name, samples, rate=16000: str(write_recording(tmp_path / name, samples, rate))


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
        (["score", good, good, "--model", str(damaged)], "damaged.pt: is damaged or no checkpoint"),
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


OTHERS = ("tuned csc", "tuned wav2vec2", "wav2vec2")


@pytest.fixture
def other(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Path of a checkpoint that no pre-training of ours made: of a verifier, or of fairseq's wav2vec 2.0."""
    wav2vec = save_cfg(tmp_path / "wav2vec2.pt", *make_wav2vec())
    if request.param == "wav2vec2":
        return str(wav2vec)
    torch.manual_seed(0)
    backbone: Backbone = CscBackbone(TINY, 16000)
    if request.param == "tuned wav2vec2":
        backbone = pretrained_backbone(read_checkpoint(wav2vec))
    return str(saved(verifier_checkpoint(backbone), tmp_path / "tuned.pt"))


@pytest.mark.parametrize("other", OTHERS, indirect=True)
def test_embed_and_score_take_every_model(other, corpus, tmp_path, capsys):
    model, manifest, out = load_model(other), read_manifest(corpus / "train.tsv"), tmp_path / "e.npz"
    for options, embed in (([], model.embed), (["--sources"], model.embed_sources)):
        assert main(["embed", str(corpus / "train.tsv"), *options, "--model", other, "--out", str(out)]) == 0
        written = np.load(out)
        assert written["names"].tolist() == list(manifest.names)
        assert written["identity_level"] == model.identity_level == ("none" if "wav2vec2.pt" in other else "speaker")
        for row, name in zip(written["embeddings"], manifest.names, strict=True):
            np.testing.assert_allclose(row, embed(corpus / name), atol=1e-4)
    capsys.readouterr()
    files = [str(corpus / "s1_2.wav"), str(corpus / "s0_0.wav")]
    assert main(["score", *files, "--model", other]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{model.score(*files):.4f}"


@pytest.mark.parametrize("other", OTHERS[:1], indirect=True)
def test_separate_takes_a_verifier_of_csc(other, corpus, tmp_path):
    recording = corpus / "s1_1.wav"
    assert main(["separate", str(recording), "--model", other, "--out", str(tmp_path / "out")]) == 0
    found = [soundfile.read(tmp_path / "out" / f"s1_1_{number}.wav", dtype="float32")[0] for number in (1, 2)]
    np.testing.assert_allclose(found, load_model(other).separate(recording), atol=1e-4)


@pytest.mark.parametrize("other", OTHERS[1:], indirect=True)
def test_separate_needs_a_model_that_separates(other, corpus, tmp_path, capsys):
    assert main(["separate", str(corpus / "s1_1.wav"), "--model", other, "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr()
    assert printed.err == (
        "csc separate: this model (wav2vec2) does not separate talkers; take a checkpoint of csc, or one that was "
        "fine-tuned from csc\n"
    )
    assert printed.out == "" and not (tmp_path / "out").exists()


@pytest.mark.parametrize("other", OTHERS[:2], indirect=True)
def test_export_takes_a_verifier(other, corpus, tmp_path, capsys):
    """Its bundle, at another place and with the checkpoint gone, gives the same embeddings."""
    recording = corpus / "s0_0.wav"
    expected = load_model(other).embed(recording)
    assert main(["export", other, "--format", "bundle", "--out", str(tmp_path / "new" / "bundle.pt")]) == 0
    assert f"{tmp_path}/new/bundle.pt: " in capsys.readouterr().out
    Path(other).unlink()
    np.testing.assert_array_equal(load_model(tmp_path / "new" / "bundle.pt").embed(recording), expected)


@pytest.mark.parametrize("other", OTHERS[2:], indirect=True)
def test_export_leaves_wav2vec_as_it_is(other, tmp_path, capsys):
    assert main(["export", other, "--out", str(tmp_path / "new" / "bundle.pt")]) == 2
    printed = capsys.readouterr()
    assert printed.err == "csc export: a model of wav2vec2 has no bundle; pass on its checkpoint as it is\n"
    assert printed.out == "" and not (tmp_path / "new").exists()


def test_embed_names_all_faults_or_leaves_them_out(bundle, encoder, corpus, bad, tmp_path, capsys, monkeypatch):
    """Of headers and of samples alike; without --skip-bad nothing is embedded any more once there is a fault."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, 9000).astype(np.float32)
    good = [str(corpus / name) for name in ("s1_2.wav", "s0_0.wav")]
    nan = np.where(np.arange(9000) == 7, np.nan, noise)
    faulty = [
        bad("slow.wav", noise, 8000),
        bad("constant.wav", 0 * noise + 0.01),
        bad("nan.wav", nan),
        bad("short.wav", noise[:9]),
    ]
    files = [faulty[0], good[0], *faulty[1:], good[1]]
    out = tmp_path / "e.npz"
    arguments = ["embed", *files, "--model", bundle, "--out", str(out)]
    with monkeypatch.context() as patched:
        patched.setattr(SpeakerEncoder, "embed", None)  # a call would fail
        assert main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    for line, name, found in zip(
        lines,
        faulty,
        ("has 8000 Hz", "is digitally silent", "has NaN or infinite", "has 9 samples at 16000 Hz, expected 64"),
        strict=False,
    ):
        assert line.startswith(f"{name}: {found}")
    assert lines[4:] == ["csc embed: 4 of 6 recordings have faults, see above; repair them; --skip-bad leaves such out"]
    assert not out.exists()
    assert main([*arguments, "--skip-bad"]) == 0
    assert f"left out, with faults: 4 of 6 recordings, listed in {tmp_path}/e.skipped.txt" in capsys.readouterr().out
    written = np.load(out)
    assert written["names"].tolist() == good
    np.testing.assert_allclose(written["embeddings"], encoder.embed(good), atol=1e-4)
    assert (tmp_path / "e.skipped.txt").read_text().splitlines() == lines[:4]


@pytest.mark.parametrize("verb", ["embed", "score", "separate", "check"])
def test_names_of_bytes(verb, tmp_path, capsys):
    file = b"caf\xe9.wav".decode(errors="surrogateescape")
    files = [file, file] if verb == "score" else [file]
    options = {"embed": ["--out", "e.npz"], "separate": ["--out", "o"]}.get(verb, [])
    model = [] if verb == "check" else ["--model", "m.pt"]
    assert main([verb, *files, *model, *options]) == 2
    assert capsys.readouterr().err == f"csc {verb}: caf\\xe9.wav: the name is not UTF-8; rename it\n"
