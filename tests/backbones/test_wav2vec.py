"""wav2vec 2.0 and HuBERT as frame encoders, against what fairseq's own models give."""

import gc

import pytest
import torch
from fairseq.models.wav2vec.wav2vec2 import Wav2Vec2Config, Wav2Vec2Model

from csc_fairseq.backbones.loading import backbone_from_settings, pretrained_backbone
from csc_fairseq.backbones.wav2vec import Wav2VecBackbone, standardised
from csc_fairseq.checkpoints.checkpoint import read_checkpoint
from csc_fairseq.errors import InputError
from tests.making import WAV2VEC_LAYERS, make_hubert, make_wav2vec, resolved, save_args, save_cfg, save_hubert

TRAINING = {"encoder_layerdrop": 0.9, "feature_grad_mult": 0.1}  # of pre-training; neither holds here


def backbone_of(path):
    return pretrained_backbone(read_checkpoint(path))


@torch.no_grad()
def layers_of(model, source, mask=None):
    """All layers' frames (K, B, L, D) as fairseq lists them, the last with the final norm if there is one."""
    output = model.extract_features(source, padding_mask=mask)
    frames = torch.stack([result[0].transpose(0, 1) for result in output["layer_results"]])
    return torch.cat([frames[:-1], output["x"][None]]), output["padding_mask"]


@pytest.mark.parametrize("save", [save_cfg, save_args])
@pytest.mark.parametrize("norm_first", [False, True])
def test_wav2vec_layers(save, norm_first, padded, require_backbone, tmp_path):
    model, options = make_wav2vec(layer_norm_first=norm_first, **TRAINING)
    torch.nn.init.normal_(model.encoder.layer_norm.weight)
    encoder = backbone_of(save(tmp_path / "w2v.pt", model, options))
    assert isinstance(encoder, Wav2VecBackbone) and encoder.training and encoder.settings["kind"] == "wav2vec2"
    assert (encoder.sample_rate, encoder.streams, encoder.layers, encoder.channels) == (16000, 1, WAV2VEC_LAYERS, 16)
    assert (encoder.embedding_channels, encoder.shortest) == (None, 400)
    require_backbone(encoder)
    source, mask = padded
    expected, padding = layers_of(model, source.masked_fill(mask, 0), mask)
    with torch.no_grad():
        output = encoder(source, mask)
        alone = encoder(source[:, :4000])
    torch.testing.assert_close(output.layers[:, :, 0], expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(output.padding, padding) and output.embeddings is None and output.estimates is None
    torch.testing.assert_close(alone.layers[:, :, 0], layers_of(model, source[:, :4000])[0], atol=1e-5, rtol=1e-5)
    assert alone.padding.shape == alone.layers.shape[1:4:2] and not alone.padding.any()


@pytest.mark.parametrize("norm_first", [False, True])
def test_hubert_layers(norm_first, padded, require_backbone, tmp_path):
    model, options, dictionary = make_hubert(layer_norm_first=norm_first, **TRAINING)
    torch.nn.init.normal_(model.encoder.layer_norm.weight)
    encoder = backbone_of(save_hubert(tmp_path / "hubert.pt", model, options, dictionary))
    assert encoder.settings["kind"] == "hubert" and (encoder.layers, encoder.channels) == (WAV2VEC_LAYERS, 16)
    require_backbone(encoder)
    source, mask = padded
    with torch.no_grad():
        output = encoder(source, mask)
        for layer in range(1, WAV2VEC_LAYERS + 1):
            number = None if layer == WAV2VEC_LAYERS else layer
            expected, padding = model.extract_features(source.masked_fill(mask, 0), mask, output_layer=number)
            torch.testing.assert_close(output.layers[layer - 1, :, 0], expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(output.padding, padding)


def test_normalize_looks_at_valid_samples_alone(waveforms, padded, tmp_path):
    model, options = make_wav2vec(extractor_mode="layer_norm", conv_bias=True)  # in which levels are heard
    with torch.no_grad():
        model.feature_extractor.conv_layers[0][0].bias.normal_()
    encoder = backbone_of(save_cfg(tmp_path / "w2v.pt", model, options, task={"normalize": True})).eval()
    source, mask = padded
    scaled = [torch.nn.functional.layer_norm(waveform, waveform.shape) for waveform in waveforms]
    for found, expected in zip(standardised(source, mask), scaled, strict=True):
        torch.testing.assert_close(found[: len(expected)], expected, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        output = encoder(source, mask)
    expected, _ = layers_of(model, torch.nn.utils.rnn.pad_sequence(scaled, batch_first=True), mask)
    torch.testing.assert_close(output.layers[:, :, 0], expected, atol=1e-4, rtol=1e-4)
    plain = backbone_of(save_cfg(tmp_path / "plain.pt", model, options)).eval()
    with torch.no_grad():
        assert (plain(source, mask).layers[:, 0] - output.layers[:, 0]).abs().max() > 1e-2


def test_padding_changes_nothing_but_group_norm(padded, require_padding_to_change_nothing, tmp_path):
    others = {"extractor_mode": "layer_norm", "conv_bias": True}
    path = save_cfg(tmp_path / "layers.pt", *make_wav2vec(**others), task={"normalize": True})
    require_padding_to_change_nothing(backbone_of(path).eval())
    grouped = backbone_of(save_cfg(tmp_path / "groups.pt", *make_wav2vec())).eval()
    with pytest.raises(AssertionError):
        require_padding_to_change_nothing(grouped)


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert"])
def test_every_parameter_learns_in_every_update(kind, padded, tmp_path):
    """With layer drop, updates would leave layers out; the scale of pre-training would slow the convolutions down."""
    others = {**TRAINING, "dropout": 0.0, "attention_dropout": 0.0, "dropout_input": 0.0}
    gradients = []
    for scale in (0.1, 1.0):
        if kind == "hubert":
            path = save_hubert(tmp_path / "h.pt", *make_hubert(**{**others, "feature_grad_mult": scale}))
        else:
            path = save_cfg(tmp_path / "w.pt", *make_wav2vec(**{**others, "feature_grad_mult": scale}))
        encoder = backbone_of(path).train()
        output = encoder(*padded)
        assert len(output.layers) == WAV2VEC_LAYERS
        (output.layers * torch.randn(output.layers.shape, generator=torch.Generator().manual_seed(0))).sum().backward()
        silent = [
            name for name, value in encoder.named_parameters() if value.grad is None or not value.grad.abs().sum() > 0
        ]
        assert silent == []
        gradients.append(encoder.model.feature_extractor.conv_layers[0][0].weight.grad)
    torch.testing.assert_close(*gradients)


def test_blocks_run_from_input_to_output(tmp_path):
    for norm_first in (False, True):
        path = save_cfg(tmp_path / "w2v.pt", *make_wav2vec(layer_norm_first=norm_first))
        encoder = backbone_of(path)
        convolutions, between, *layers = encoder.blocks()
        inner = encoder.model.encoder
        assert convolutions is encoder.model.feature_extractor and inner.pos_conv in list(between)
        assert len(layers) == WAV2VEC_LAYERS and layers[:-1] == list(inner.layers[:-1])
        assert (inner.layer_norm in list(between)) != norm_first
        assert norm_first == (inner.layer_norm in set(layers[-1].modules()))
        assert inner.layers[-1] in set(layers[-1].modules())


def test_what_rests_drops_nothing_out(padded, tmp_path):
    """All blocks at rest: the same as in evaluation, although the encoder is in training mode."""
    encoder = backbone_of(save_cfg(tmp_path / "w2v.pt", *make_wav2vec(dropout=0.5, attention_dropout=0.5)))
    expected = encoder.eval()(*padded).layers
    encoder.train().rest(len(encoder.blocks()))
    assert torch.equal(encoder(*padded).layers, expected)
    encoder.train().rest(1)
    assert not torch.equal(encoder(*padded).layers, expected)


def test_settings_cannot_run_code(tmp_path):
    encoder = backbone_of(save_cfg(tmp_path / "w2v.pt", *make_wav2vec()))
    command = f"[__import__('pathlib').Path({str(tmp_path / 'intruded')!r}).touch(), (8, 10, 5)]"
    settings = {**encoder.settings, "model": {**encoder.settings["model"], "conv_feature_layers": command}}
    with pytest.raises(InputError, match="^sv.pt: its model setting conv_feature_layers is .* expected a list of"):
        backbone_from_settings(settings, "sv.pt")
    assert not (tmp_path / "intruded").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder_attention_heads": 3}, "its model setting encoder_attention_heads is 3, expected a divisor of"),
        (
            {"encoder_layers": "many"},
            "its model setting encoder_layers is 'many', expected a whole number from 1 to 1000",
        ),
        ({"conv_feature_layers": "[(8, 10"}, "its model setting conv_feature_layers is"),
        ({"_name": "hubert"}, "its model is not of kind 'wav2vec2'"),
    ],
)
def test_damaged_settings(change, message, tmp_path):
    settings = backbone_of(save_cfg(tmp_path / "w2v.pt", *make_wav2vec())).settings
    with pytest.raises(InputError, match=f"^sv.pt: {message}") as caught:
        backbone_from_settings({**settings, "model": {**settings["model"], **change}}, "sv.pt")
    assert "\n" not in str(caught.value)


@pytest.mark.slow  # 95 million parameters, written and read twice
def test_published_base_architecture(tmp_path):
    """The sizes of wav2vec_small.pt, in the form with `args` that it was published in, and in the later one with `cfg`."""
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        quantize_targets=True, final_dim=256, encoder_layerdrop=0.05, dropout_input=0.1, dropout_features=0.1,
        feature_grad_mult=0.1,
    )  # fmt: skip
    model = Wav2Vec2Model(config).eval()
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(95e6, rel=0.01)
    samples = 0.1 * torch.randn(1, 4000)
    expected, _ = layers_of(model, samples)
    for save in (save_args, save_cfg):
        path = save(tmp_path / "wav2vec_small.pt", model, resolved(config))
        if save is save_cfg:
            del model
            gc.collect()
        encoder = backbone_of(path)
        path.unlink()
        with torch.no_grad():
            output = encoder.eval()(samples)
        assert (encoder.layers, encoder.channels, encoder.settings["kind"]) == (12, 768, "wav2vec2")
        assert output.layers.shape == (12, 1, 1, 12, 768) and output.layers.isfinite().all()
        torch.testing.assert_close(output.layers[:, :, 0], expected, atol=1e-4, rtol=1e-4)
        assert len(encoder.blocks()) == 14
        del encoder
