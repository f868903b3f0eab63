"""Encoders by name, and what their checkpoints tell."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from csc_fairseq.backbones.loading import pretrained_backbone
from csc_fairseq.checkpoints.checkpoint import read_checkpoint
from csc_fairseq.errors import InputError
from csc_fairseq.inference.loading import load_model, save_bundle
from csc_fairseq.inference.speaker_encoder import SpeakerEncoder
from csc_fairseq.modules.separative_encoder import SeparativeEncoder, SeparativeEncoderConfig
from csc_fairseq.verification.encoders import registry
from csc_fairseq.verification.encoders.csc import untrained
from csc_fairseq.verification.encoders.embedding_file import FileEncoder
from csc_fairseq.verification.encoders.registry import make_encoder, read_source
from tests.making import saved, verifier_checkpoint


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


def test_texts_that_name_no_encoder():
    for text in ("mfccs", "some text", "a:b:c", "module:"):
        with pytest.raises(
            InputError, match=f"encoder '{text}': is not an encoder; expected mfcc, ge2e, campplus, untrained:CONFIG"
        ):
            make_encoder(text, "cpu")
    with pytest.raises(InputError, match="absent.pt: no such file"):
        make_encoder("absent.pt", "cpu")


def test_options_that_an_encoder_does_not_have(bundle):
    for text, message in (
        ("mfcc,layer=2", "mfcc has no option 'layer', expected separate or mixture"),
        ("x=ge2e,rate=1", "encoder x: ge2e has no option 'rate'"),
        ("untrained:csc_debug,variant=s", "has no option 'variant', expected seed"),
        (f"x={bundle},layer=2", "has no option 'layer', expected variant"),
        ("e.npz,layer=2", "e.npz has no option 'layer', expected none"),
        (f"e.npz,separate={bundle}", "e.npz has no option 'separate', expected none"),
        (
            "mfcc,mixture=yes",
            "encoder mfcc,mixture=yes: mixture is about the recording beside its streams; give separate=",
        ),
        (f"mfcc,separate={bundle},mixture=1", "mixture is '1', expected yes or no"),
        ("x=mfcc,separate=", "encoder x: separate names no file; expected separate=csc.pt"),
        ("mfcc,separate=absent.pt", "absent.pt: no such file"),
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


def test_any_encoder_on_the_streams_of_a_checkpoint(bundle, waveforms, tmp_path):
    """Of csc, of its bundle, and of a verifier that separates."""
    backbone = pretrained_backbone(read_checkpoint(bundle))
    verifier = saved(verifier_checkpoint(backbone), tmp_path / "verifier.pt")
    for separator in (bundle, verifier):
        streams = load_model(separator).separate(waveforms)
        for text in (
            "mfcc",
            "untrained:csc_debug",
            str(bundle),
            f"{bundle},variant=s",
            str(verifier),
            "numpy:array,rate=16000",
        ):
            given = [waveforms[0], waveforms[2]] if text.startswith("numpy") else waveforms  # those of one length
            chosen = [streams[0], streams[2]] if text.startswith("numpy") else streams
            own, encoder = make_encoder(text, "cpu"), make_encoder(f"x={text},separate={separator}", "cpu")
            assert (encoder.name, encoder.sample_rate) == ("x", 16000)
            found = encoder.test(given)
            for row, (one, estimates) in enumerate(zip(chosen, found.estimates, strict=True)):
                np.testing.assert_allclose(estimates, one, atol=1e-5)
                np.testing.assert_allclose(found.streams[row], own.enrol(list(one)), atol=1e-4)
            np.testing.assert_array_equal(encoder.enrol(given), own.enrol(given))


def test_wav2vec_checkpoints_are_found_by_their_architecture(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        registry, "wav2vec_encoder", lambda name, checkpoint, *others: calls.append((name, checkpoint.path, *others))
    )
    for name in ("wav2vec2", "hubert"):
        path = str(tmp_path / f"{name}.pt")
        torch.save({"cfg": {"model": {"_name": name}}, "model": {}}, path)
        make_encoder(f"w={path},layer=6", "cpu")
        make_encoder(path, "cpu")
        assert calls == [("w", path, "cpu", 6), (path, path, "cpu", None)]
        calls.clear()
        with pytest.raises(InputError, match="has no option 'variant', expected layer"):
            make_encoder(f"{path},variant=s", "cpu")
    other, expected = (
        str(tmp_path / "other.pt"),
        "expected a checkpoint of csc or wav2vec2 or hubert or speaker_verifier",
    )
    for state, found in (
        (
            {"cfg": {"model": {"_name": "data2vec_audio"}}, "model": {}},
            "is a checkpoint of architecture 'data2vec_audio'",
        ),
        ({"cfg": {"model": {}}, "model": {}}, "holds cfg, model"),
        ({"weights": {}}, "holds weights"),
    ):
        torch.save(state, other)
        with pytest.raises(
            InputError, match=f"other.pt: {found}, {expected}; other models are encoders as module:function"
        ):
            make_encoder(other, "cpu")


@pytest.fixture
def save(tmp_path):
    """save(name, **state): a checkpoint without weights; its path as text."""

    def write(name: str, **state: object) -> str:
        torch.save({"model": {}, **state}, tmp_path / name)
        return str(tmp_path / name)

    return write


def csc(save, name: str, level: str, identities: list[str]) -> str:
    task = {"identities": identities, "identity_level": level, "sample_rate": 16000}
    history = [{"num_updates": 100}, {"num_updates": 250}]
    return save(name, cfg={"model": {"_name": "csc"}}, task_state=task, optimizer_history=history)


def test_sources_tell_their_speakers(save):
    """As far as the file does: sessions, bundles and other people's checkpoints name none."""

    def told(text: str) -> tuple[set[str], bool]:
        source = read_source(text)
        return set().union(*source.speakers.values()), source.hides_speakers

    assert told(csc(save, "a.pt", "speaker", ["x", "y", "x"])) == ({"x", "y"}, False)
    assert told(csc(save, "b.pt", "session", ["x/1", "y/1"])) == (set(), True)
    bundle = save("c.pt", format="csc-bundle", version=1, identity_level="speaker")
    task = {"identity_level": "speaker", "identities": ["x"]}
    wav2vec = save("d.pt", cfg={"model": {"_name": "wav2vec2"}}, task_state=task)
    assert told(bundle) == told(wav2vec) == (set(), True)
    verifier = {"cfg": {"model": {"_name": "speaker_verifier"}}}
    # Of a fine-tuned encoder the pre-training counts, too, whose speakers may be known or not.
    assert told(save("e.pt", **verifier, task_state={**task, "pretraining_speakers": ["z"]})) == ({"x", "z"}, False)
    assert told(save("f.pt", **verifier, task_state={**task, "pretraining_speakers": None})) == ({"x"}, True)
    # So does the training that a csc training started from.
    second = {"cfg": {"model": {"_name": "csc", "pretrained": "first.pt"}}}
    for name, level, before, expected in (
        ("g.pt", "speaker", ["z"], ({"x", "z"}, False)),
        ("h.pt", "speaker", None, ({"x"}, True)),
        ("i.pt", "cluster", ["z"], ({"z"}, True)),
    ):
        state = {"identity_level": level, "identities": ["x"], "pretraining_speakers": before}
        assert told(save(name, **second, task_state=state)) == expected
    # And the training of what separates.
    first, second = csc(save, "j.pt", "speaker", ["x"]), csc(save, "k.pt", "speaker", ["y", "z"])
    assert told(f"mfcc,separate={first}") == ({"x"}, False) and not read_source(f"mfcc,separate={first}").is_untrained
    assert told(f"{first},separate={second}") == ({"x", "y", "z"}, False)
    assert read_source(f"{first},separate={second}").speakers == {Path(first): {"x"}, Path(second): {"y", "z"}}
    assert told(f"{first},separate={bundle}") == told(f"campplus,separate={first}") == ({"x"}, True)
    for text in ("mfcc", "x=untrained:csc_small"):
        assert told(text) == (set(), False) and read_source(text).is_untrained
    for text in ("ge2e", "campplus", "e.npz", "own=m:f"):
        assert told(text) == (set(), True) and not read_source(text).is_untrained


def test_sources_describe_themselves(save):
    def description(text: str) -> str:
        return read_source(text).description

    path = csc(save, "a.pt", "speaker", ["x", "y", "z"])
    expected = f"csc, {path}, 3 identities of level speaker, 250 updates"
    assert description(f"ours={path},variant=s") == description(path) == expected
    wav2vec = save("w.pt", cfg={"model": {"_name": "wav2vec2"}}, optimizer_history=[{"num_updates": 7}])
    assert description(f"{wav2vec},layer=3") == f"wav2vec2, {wav2vec}, 7 updates"
    bundle = save("b.pt", format="csc-bundle", version=1, identity_level="session")
    assert description(bundle) == f"csc, {bundle}, identities of level session"
    timed = save("t.pt", cfg={"model": {"_name": "hubert"}}, extra_state={"previous_training_time": 125.0})
    assert description(timed) == f"hubert, {timed}, 2 minutes of training"
    assert description(f"mfcc,separate={path}") == f"mfcc, on the streams of {expected}"
    both = description(f"{wav2vec},separate={path},mixture=yes")
    assert both == f"wav2vec2, {wav2vec}, 7 updates, on the streams of {expected}, and on the recording itself"
    for text in ("mfcc", "untrained:csc_small", "m:f", "e.npz"):
        assert description(f"x={text}") == description(text) == text


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
