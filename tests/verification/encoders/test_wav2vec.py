"""fairseq's pre-trained models: checkpoints of both kinds that fairseq has written, layers, and padding."""

import numpy as np
import pytest
import torch

from csc_fairseq.backbones.wav2vec import shortest_input
from csc_fairseq.checkpoints.checkpoint import read_checkpoint
from csc_fairseq.errors import InputError
from csc_fairseq.verification.encoders import wav2vec
from csc_fairseq.verification.encoders.batches import equal_batches
from tests.making import (
    WAV2VEC_LAYERS,
    make_hubert,
    make_wav2vec,
    save_args,
    save_cfg,
    save_hubert,
)


def wav2vec_encoder(name, path, *others):
    return wav2vec.wav2vec_encoder(name, read_checkpoint(path), *others)


@torch.no_grad()
def expected_mean(model, waveform, layer):
    """Mean of a layer's frames, taken from fairseq's list of all layers' results."""
    output = model.extract_features(torch.from_numpy(waveform)[None], padding_mask=None)
    mean = output["layer_results"][layer - 1][0][:, 0].mean(0)
    return (mean / mean.norm()).numpy()


@pytest.mark.parametrize("save", [save_cfg, save_args])
def test_layers_of_both_forms(save, waveforms, tmp_path):
    model, options = make_wav2vec()
    path = save(tmp_path / "w2v.pt", model, options)
    for layer in (1, 2, WAV2VEC_LAYERS, None):
        encoder = wav2vec_encoder("w2v", path, "cpu", layer)
        for i, embedding in enumerate(encoder.enrol(waveforms)):
            np.testing.assert_allclose(
                embedding, expected_mean(model, waveforms[i], layer or WAV2VEC_LAYERS), atol=1e-5
            )
    assert (encoder.name, encoder.sample_rate) == ("w2v", 16000)


@pytest.mark.parametrize("mode", ["default", "layer_norm"])
def test_keeps_what_an_encoder_promises(require_encoder, mode, tmp_path):
    model, options = make_wav2vec(extractor_mode=mode)
    require_encoder(wav2vec_encoder("w2v", save_cfg(tmp_path / "w2v.pt", model, options), "cpu"))


def test_padding_would_change_the_frames(waveforms):
    """Why recordings of different lengths do not share a batch."""
    model, _ = make_wav2vec()
    padded = np.pad(waveforms[0], (0, 8000))
    with torch.no_grad():
        mask = torch.arange(len(padded))[None] >= len(waveforms[0])
        output = model.extract_features(torch.from_numpy(padded)[None], mask)
        frames = output["x"][0][~output["padding_mask"][0]]
    mean = (frames.mean(0) / frames.mean(0).norm()).numpy()
    assert np.abs(mean - expected_mean(model, waveforms[0], WAV2VEC_LAYERS)).max() > 1e-3


def test_last_layer_has_the_final_norm(waveforms, tmp_path):
    model, options = make_wav2vec(layer_norm_first=True)
    torch.nn.init.normal_(model.encoder.layer_norm.weight)
    path = save_cfg(tmp_path / "w2v.pt", model, options)
    with torch.no_grad():
        mean = model.extract_features(torch.from_numpy(waveforms[0])[None], None)["x"][0].mean(0)
    for layer in (None, WAV2VEC_LAYERS):
        embedding = wav2vec_encoder("w2v", path, "cpu", layer).enrol(waveforms[:1])[0]
        np.testing.assert_allclose(embedding, mean / mean.norm(), atol=1e-5)


@pytest.mark.parametrize("save", [save_cfg, save_args])
def test_normalize_is_the_task_s(save, waveforms, tmp_path):
    model, options = make_wav2vec(extractor_mode="layer_norm", conv_bias=True)  # in which levels are heard
    with torch.no_grad():
        model.feature_extractor.conv_layers[0][0].bias.normal_()
    loud = 50 * waveforms[0]
    standard = (loud - loud.mean()) / loud.std()
    for normalize, heard in ((True, standard), (False, loud)):
        others = {"normalize": normalize} if save is save_args else {"task": {"normalize": normalize}}
        encoder = wav2vec_encoder("w2v", save(tmp_path / f"{normalize}.pt", model, options, **others), "cpu")
        np.testing.assert_allclose(encoder.enrol([loud])[0], expected_mean(model, heard, WAV2VEC_LAYERS), atol=1e-4)
    assert (
        np.abs(expected_mean(model, standard, WAV2VEC_LAYERS) - expected_mean(model, loud, WAV2VEC_LAYERS)).max() > 1e-2
    )


def test_hubert(waveforms, require_encoder, tmp_path):
    """Its checkpoint holds an object of fairseq's, the dictionary of its targets."""
    model, options, dictionary = make_hubert()
    path = save_hubert(tmp_path / "hubert.pt", model, options, dictionary)
    require_encoder(wav2vec_encoder("hubert", path, "cpu"))
    for layer in (1, WAV2VEC_LAYERS):
        with torch.no_grad():
            frames, _ = model.extract_features(torch.from_numpy(waveforms[1])[None], output_layer=layer)
        mean = frames[0].mean(0) / frames[0].mean(0).norm()
        embedding = wav2vec_encoder("hubert", path, "cpu", layer).enrol([waveforms[1]])[0]
        np.testing.assert_allclose(embedding, mean.numpy(), atol=1e-5)


def test_shortest_input(tmp_path):
    model, options = make_wav2vec()
    assert shortest_input(model) == 400  # 25 ms at 16 kHz, as published
    rng = np.random.default_rng(0)
    encoder = wav2vec_encoder("w2v", save_cfg(tmp_path / "w2v.pt", model, options), "cpu")
    encoder.enrol([rng.standard_normal(400)])
    with pytest.raises(InputError, match="has 399 samples, expected 400"):
        encoder.enrol([rng.standard_normal(399)])


def test_batches_are_of_one_length_and_bounded():
    lengths = [5, 3, 5, 5, 20, 3]
    assert list(equal_batches(lengths, 10)) == [[1, 5], [0, 2], [3], [4]]
    assert list(equal_batches([], 10)) == []


def test_layers_that_are_not_there(tmp_path):
    path = save_cfg(tmp_path / "w2v.pt", *make_wav2vec())
    for layer in (0, WAV2VEC_LAYERS + 1):
        with pytest.raises(InputError, match=f"encoder w2v: layer is {layer}, .*w2v.pt has layers 1 to 3"):
            wav2vec_encoder("w2v", path, "cpu", layer)


class Intruder:
    """Not among what is read."""


def test_checkpoints_that_would_run_code(tmp_path):
    model, options = make_wav2vec()
    command = f"[__import__('pathlib').Path({str(tmp_path / 'intruded')!r}).touch(), (8, 10, 5)]"
    path = save_cfg(tmp_path / "text.pt", model, {**options, "conv_feature_layers": command})
    with pytest.raises(InputError, match="conv_feature_layers is .* expected a list of"):
        wav2vec_encoder("w2v", path, "cpu")
    assert not (tmp_path / "intruded").exists()
    path = save_cfg(tmp_path / "pickle.pt", model, options, intruder=Intruder())
    with pytest.raises(InputError, match="holds more than tensors and plain values"):
        wav2vec_encoder("w2v", path, "cpu")


def test_checkpoints_of_other_models_and_damaged_ones(tmp_path):
    model, options = make_wav2vec()
    path = save_cfg(tmp_path / "ctc.pt", model, options, "wav2vec_ctc")
    with pytest.raises(InputError, match="architecture 'wav2vec_ctc', expected a checkpoint of wav2vec2 or hubert"):
        wav2vec_encoder("w2v", path, "cpu")
    path = save_cfg(tmp_path / "sizes.pt", model, {**options, "encoder_embed_dim": 32})
    with pytest.raises(InputError, match="sizes.pt: has misshapen weights, [0-9]+ in all, the first is") as caught:
        wav2vec_encoder("w2v", path, "cpu")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="absent.pt: no such file"):
        wav2vec_encoder("w2v", tmp_path / "absent.pt", "cpu")
