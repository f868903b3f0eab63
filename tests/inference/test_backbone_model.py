"""`load_model` on what is no csc pre-training: fine-tuned verifiers of every backbone, wav2vec 2.0 and HuBERT."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from csc_fairseq.backbones.backbone import Backbone
from csc_fairseq.backbones.csc import CscBackbone
from csc_fairseq.backbones.loading import backbone_from_settings, pretrained_backbone
from csc_fairseq.checkpoints.checkpoint import read_checkpoint
from csc_fairseq.errors import InputError
from csc_fairseq.inference.loading import load_model, save_bundle
from csc_fairseq.verification.encoders.registry import make_encoder
from tests.making import (
    TINY,
    XVECTOR,
    make_hubert,
    make_wav2vec,
    save_cfg,
    save_hubert,
    saved,
    syllables,
    verifier_checkpoint,
)

KINDS = ("csc", "wav2vec2", "hubert", "xvector")


def wav2vec_file(kind: str, folder: Path) -> Path:
    """A pre-training checkpoint of fairseq's."""
    if kind == "hubert":
        return save_hubert(folder / "hubert.pt", *make_hubert())
    return save_cfg(folder / "wav2vec2.pt", *make_wav2vec())


@pytest.fixture
def tuned(tmp_path) -> Callable[..., Path]:
    """tuned(kind): a fine-tuned checkpoint on that kind of backbone."""

    def make(kind: str, **options: object) -> Path:
        torch.manual_seed(0)
        backbone: Backbone
        if kind == "csc":
            backbone = CscBackbone(TINY, 16000)
        elif kind == "xvector":
            backbone = backbone_from_settings(XVECTOR)
        else:
            backbone = pretrained_backbone(read_checkpoint(wav2vec_file(kind, tmp_path)))
        return saved(verifier_checkpoint(backbone, **options), tmp_path / f"tuned_{kind}.pt")

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_verifiers_embed_as_in_an_evaluation(kind, tuned):
    path = tuned(kind)
    model, encoder = load_model(path), make_encoder(str(path), "cpu")
    recordings = [syllables(samples, seed) for seed, samples in enumerate((9000, 12345, 9000))]
    np.testing.assert_allclose(model.embed(recordings), encoder.enrol(recordings), atol=1e-4)
    found = encoder.test(recordings)
    np.testing.assert_allclose(model.embed_sources(recordings), found.streams, atol=1e-4)
    assert (model.sample_rate, model.identity_level, model.embedding_size) == (16000, "speaker", 5)
    expected = float((found.streams[1] @ encoder.enrol(recordings[:1])[0]).max())
    assert model.score(recordings[0], recordings[1]) == pytest.approx(expected, abs=1e-4)
    if kind == "csc":
        for separated, estimates in zip(model.separate(recordings), found.estimates, strict=True):
            np.testing.assert_allclose(separated, estimates, atol=1e-4)
    else:
        with pytest.raises(
            InputError, match=f"this model \\({kind}\\) does not separate talkers; take a checkpoint of csc"
        ):
            model.separate(recordings[0])


def test_own_pooling(tuned):
    model = load_model(tuned("csc", pooling="own", embedding_channels=12))
    assert model.embed(syllables(9000)).shape == (12,)


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert"])
def test_wav2vec_embeds_as_in_an_evaluation(kind, tmp_path):
    path = wav2vec_file(kind, tmp_path)
    model, encoder = load_model(path), make_encoder(str(path), "cpu")
    recordings = [syllables(samples, seed) for seed, samples in enumerate((9000, 12345, 4321))]
    np.testing.assert_allclose(model.embed(recordings), encoder.enrol(recordings), atol=1e-5)
    assert (model.kind, model.identity_level, model.streams, model.separates) == (kind, "none", 1, False)
    with pytest.raises(InputError, match="does not separate"):
        model.separate(recordings[0])
    with pytest.raises(InputError, match=f"a model of {kind} has no bundle"):
        save_bundle(model, tmp_path / "bundle.pt")
    assert not (tmp_path / "bundle.pt").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_long_recordings_are_embedded_in_windows(kind, tuned):
    """4 s as windows of 2 s. A model of one stream takes their mean."""
    model = load_model(tuned(kind))
    model.period = 1  # the recording as it begins
    model.longest = 3 * 16000
    long = syllables(4 * 16000, quietest=0.2)
    calls = []
    encode = model._encode
    model._encode = lambda waveforms, mask: (calls.append(tuple(waveforms.shape)), encode(waveforms, mask))[1]
    embedding = model.embed(long)
    assert calls == [(5, 2 * 16000)]
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)
    if kind != "csc":
        mean = model.embed([long[half * 8000 :][: 2 * 16000] for half in range(5)]).mean(axis=0)
        assert embedding @ mean / np.linalg.norm(mean) > 0.9999


@pytest.mark.parametrize("kind", KINDS)
def test_bundles_of_verifiers(kind, tuned, tmp_path):
    path = tuned(kind)
    model = load_model(path)
    save_bundle(model, tmp_path / "bundle.pt")
    again = load_model(tmp_path / "bundle.pt")
    recordings = [syllables(9000), syllables(7000, 1)]
    np.testing.assert_array_equal(again.embed(recordings), model.embed(recordings))
    assert (again.kind, again.identity_level, again.sample_rate) == (kind, "speaker", 16000)
    np.testing.assert_allclose(
        make_encoder(str(tmp_path / "bundle.pt"), "cpu").enrol(recordings), model.embed(recordings), atol=1e-4
    )
    state = torch.load(tmp_path / "bundle.pt", weights_only=True)
    assert (state["format"], state["version"], state["architecture"]) == ("csc-bundle", 2, "speaker_verifier")
    torch.save({**state, "version": 3}, tmp_path / "newer.pt")
    with pytest.raises(InputError, match="is a bundle of speaker_verifier, version 3, expected 2; update csc-fairseq"):
        load_model(tmp_path / "newer.pt")
