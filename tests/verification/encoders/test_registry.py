"""Encoders by name."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from csc_fairseq.errors import InputError
from csc_fairseq.inference.checkpoint import save_bundle
from csc_fairseq.inference.speaker_encoder import SpeakerEncoder
from csc_fairseq.modules.separative_encoder import SeparativeEncoder, SeparativeEncoderConfig
from csc_fairseq.verification.encoders import registry
from csc_fairseq.verification.encoders.csc import untrained
from csc_fairseq.verification.encoders.files import FileEncoder
from csc_fairseq.verification.encoders.registry import EncoderSpec, make_encoder, parse_spec


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A small model whose memory bank holds something."""
    torch.manual_seed(0)
    config = SeparativeEncoderConfig(waveform_channels=24, channels=16, recurrent_channels=8, memory_size=4)
    network = SeparativeEncoder(config)
    torch.nn.init.normal_(network.attention.output.weight)
    network.memory.entries.normal_()
    network.memory.filled.fill_(4)
    path = tmp_path_factory.mktemp("model") / "csc.pt"
    save_bundle(SpeakerEncoder(network, 16000, "speaker"), path)
    return path


@pytest.mark.parametrize(
    ("text", "name", "target", "options"),
    [
        ("mfcc", "mfcc", "mfcc", {}),
        ("GE2E (resemblyzer)=ge2e", "GE2E (resemblyzer)", "ge2e", {}),
        ("untrained:csc_small", "untrained:csc_small", "untrained:csc_small", {}),
        ("a.pt,variant=s", "a.pt,variant=s", "a.pt", {"variant": "s"}),
        ("ours=runs/lr=1/a.pt,variant=s", "ours", "runs/lr=1/a.pt", {"variant": "s"}),
        ("runs/lr=1/a.pt", "runs/lr=1/a.pt", "runs/lr=1/a.pt", {}),
        ("./lr=1.pt", "./lr=1.pt", "./lr=1.pt", {}),
        ("runs/a,b/c.pt,layer=4", "runs/a,b/c.pt,layer=4", "runs/a,b/c.pt", {"layer": "4"}),
        ("mine=my.module:make,rate=8000", "mine", "my.module:make", {"rate": "8000"}),
        ("x,a=1,b=2", "x,a=1,b=2", "x", {"a": "1", "b": "2"}),
    ],
)
def test_specs(text, name, target, options):
    assert parse_spec(text) == EncoderSpec(name, target, options)


def test_specs_that_name_nothing(bundle):
    for text in ("", "=mfcc", "x=", ",layer=3"):
        with pytest.raises(InputError, match="names none; expected .LABEL=.ENCODER"):
            parse_spec(text)
    with pytest.raises(InputError, match="layer stands in it twice"):
        parse_spec("a.pt,layer=1,layer=2")
    for text in ("mfccs", "some text", "a:b:c", "module:"):
        with pytest.raises(InputError, match=f"encoder '{text}': is none; expected mfcc, ge2e, untrained:CONFIG"):
            make_encoder(text, "cpu")
    with pytest.raises(InputError, match="absent.pt: no such file"):
        make_encoder("absent.pt", "cpu")


def test_options_that_an_encoder_does_not_have(bundle):
    for text, message in (
        ("mfcc,layer=2", "mfcc has no option 'layer', expected none"),
        ("x=ge2e,rate=1", "encoder x: ge2e has no option 'rate'"),
        ("untrained:csc_debug,variant=s", "has no option 'variant', expected seed"),
        (f"x={bundle},layer=2", "has no option 'layer', expected variant"),
        ("e.npz,layer=2", "e.npz has no option 'layer', expected none"),
        ("untrained:csc_debug,seed=one", "seed is 'one', expected a whole number"),
        ("untrained:csc_debug,seed=-1", "seed is '-1', expected a whole number"),
    ):
        with pytest.raises(InputError, match=message):
            make_encoder(text, "cpu")


def test_csc(bundle, waveforms):
    queries, same, attended = (make_encoder(f"{bundle}{option}", "cpu") for option in ("", ",variant=q", ",variant=s"))
    assert (queries.name, attended.name) == (str(bundle), f"{bundle},variant=s")
    assert make_encoder(f"ours={bundle}", "cpu").name == "ours"
    np.testing.assert_array_equal(queries.enrol(waveforms), same.enrol(waveforms))
    assert np.abs(queries.enrol(waveforms) - attended.enrol(waveforms)).max() > 0.1
    with pytest.raises(InputError, match="variant is 'x', expected q or s"):
        make_encoder(f"{bundle},variant=x", "cpu")


def test_others(waveforms, tmp_path):
    assert make_encoder("MFCC=mfcc", "cpu").name == "MFCC"
    seeded = make_encoder("untrained:csc_debug,seed=3", "cpu").enrol(waveforms[:1])
    np.testing.assert_array_equal(seeded, untrained("x", "csc_debug", "cpu", 3).enrol(waveforms[:1]))
    np.savez(tmp_path / "e.npz", names=np.array(["a"]), embeddings=np.ones((1, 2)))
    assert isinstance(make_encoder(f"{tmp_path}/e.npz", "cpu"), FileEncoder)
    user = make_encoder("numpy:stack,rate=8000", "cpu")  # any function of a list will do
    assert (user.name, user.sample_rate) == ("numpy:stack,rate=8000", 8000)
    np.testing.assert_allclose(user.enrol([np.array([3.0, 4.0])]), [[0.6, 0.8]], rtol=1e-6)


def test_wav2vec_checkpoints_are_found_by_their_architecture(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(registry, "wav2vec_encoder", lambda *arguments: calls.append(arguments))
    for name in ("wav2vec2", "hubert"):
        path = str(tmp_path / f"{name}.pt")
        torch.save({"cfg": {"model": {"_name": name}}, "model": {}}, path)
        make_encoder(f"w={path},layer=6", "cpu")
        make_encoder(path, "cpu")
        assert calls == [("w", path, "cpu", 6), (path, path, "cpu", None)]
        calls.clear()
        with pytest.raises(InputError, match="has no option 'variant', expected layer"):
            make_encoder(f"{path},variant=s", "cpu")
    for state in ({"cfg": {"model": {"_name": "data2vec_audio"}}}, {"cfg": {"model": None}}, {"weights": {}}):
        torch.save(state, tmp_path / "other.pt")
        with pytest.raises(InputError, match="other.pt: is a checkpoint of architecture .*, expected csc, wav2vec2"):
            make_encoder(str(tmp_path / "other.pt"), "cpu")


def test_our_own_encoder_needs_no_fairseq(bundle, tmp_path):
    """Importing it takes seconds, which is for those who compare with its models."""
    program = f"""if True:
        import sys
        from csc_fairseq.verification.encoders.registry import make_encoder
        for spec in ({str(bundle)!r}, "mfcc", "untrained:csc_debug"):
            print(make_encoder(spec, "cpu").sample_rate)
        assert not {{"fairseq", "librosa"}} & set(sys.modules), "heavy imports"
    """
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert (result.returncode, result.stdout.split()) == (0, ["16000"] * 3), result.stderr
