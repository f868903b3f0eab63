"""Our encoder behind the evaluation's methods: the same answers as the model itself gives."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from csc_fairseq.checkpoints.checkpoint import read_checkpoint
from csc_fairseq.errors import InputError
from csc_fairseq.inference.speaker_encoder import SpeakerEncoder
from csc_fairseq.modules.separative_encoder import SeparativeEncoderConfig
from csc_fairseq.verification.encoders.csc import CscEncoder, trained, untrained
from tests.making import bundled, speaker_encoder


def make_model() -> SpeakerEncoder:
    """With something in its memory bank."""
    return speaker_encoder(filled=3)


@pytest.mark.parametrize("variant", ["q", "s"])
def test_keeps_what_an_encoder_promises(require_encoder, variant):
    require_encoder(CscEncoder("csc", make_model(), variant))


def test_queries_are_those_of_the_model(waveforms):
    model = make_model()
    encoder = CscEncoder("csc", model)
    np.testing.assert_allclose(encoder.enrol(waveforms), model.embed(waveforms), atol=1e-6)
    found = encoder.test(waveforms)
    np.testing.assert_allclose(found.streams, model.embed_sources(waveforms), atol=1e-6)
    for estimate, expected in zip(found.estimates, model.separate(waveforms), strict=True):
        np.testing.assert_array_equal(estimate, expected)


@torch.no_grad()
def test_attended_embeddings_are_those_of_the_network(waveforms):
    model = make_model()
    model.period = 1  # recordings as they begin
    encoder = CscEncoder("csc", model, "s")
    found, voices = encoder.test(waveforms), encoder.enrol(waveforms)
    for i, waveform in enumerate(waveforms):
        output = model.network(torch.from_numpy(waveform)[None])
        np.testing.assert_allclose(found.streams[i], output.attended[0].numpy(), atol=1e-4)
        loudest = int(output.estimates[0].square().sum(-1).argmax())
        np.testing.assert_allclose(voices[i], output.attended[0, loudest].numpy(), atol=1e-4)
    assert np.abs(found.streams - CscEncoder("csc", model).test(waveforms).streams).max() > 0.1
    bank = model.network.memory
    assert int(bank.filled) == 3 and not bank._staged, "evaluation must not add to the bank"


@pytest.mark.parametrize("memory", ["bank", "conditions", "none"])
def test_nothing_to_attend_to(memory):
    model = speaker_encoder(memory=memory)
    with pytest.raises(InputError, match=f"encoder csc: its memory bank is empty .model.memory={memory}."):
        CscEncoder("csc", model, "s")
    CscEncoder("csc", model, "q")


def test_another_variant():
    with pytest.raises(InputError, match="encoder csc: variant is 'r', expected q or s"):
        CscEncoder("csc", make_model(), "r")


def test_checkpoint(waveforms, tmp_path):
    model = make_model()
    checkpoint = read_checkpoint(bundled(model, tmp_path / "csc.pt"))
    for variant in ("q", "s"):
        encoder = trained("mine", checkpoint, "cpu", variant)
        np.testing.assert_array_equal(encoder.enrol(waveforms), CscEncoder("csc", model, variant).enrol(waveforms))
        assert (encoder.name, encoder.sample_rate) == ("mine", 16000)


def test_broken_weights(waveforms):
    model = make_model()
    torch.nn.init.constant_(model.network.bottleneck.weight, torch.nan)
    with pytest.raises(InputError, match="encoder csc: gave NaN"):
        CscEncoder("csc", model).enrol(waveforms)


def test_untrained_is_keyed_by_its_seed(waveforms):
    before = torch.random.get_rng_state()
    encoders = [untrained("x", "csc_debug", "cpu", seed) for seed in (0, 0, 1)]
    assert torch.equal(torch.random.get_rng_state(), before), "the process's own random numbers were used"
    first, again, other = (encoder.enrol(waveforms[:1]) for encoder in encoders)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_untrained_has_the_sizes_of_the_configuration():
    encoder = untrained("x", "csc_small", "cpu")
    defaults = SeparativeEncoderConfig()  # are those of csc_small, says its docstring
    assert encoder._model.network.config == defaults
    assert encoder.sample_rate == 16000
    debug = untrained("x", "csc_debug", "cpu")._model.network.config
    assert debug != defaults and debug.sources == 2
    unlabelled = untrained("x", "csc_small_unlabelled", "cpu")._model.network.config  # csc_small with three changes
    assert unlabelled == replace(defaults, window=512, segment_overlap=False, memory="none")


def test_untrained_without_a_configuration():
    with pytest.raises(
        InputError, match="no configuration 'csc_big', expected one of csc_base, csc_base_unlabelled, csc_d"
    ):
        untrained("x", "csc_big", "cpu")
    with pytest.raises(InputError, match="wav2vec2_small configures 'wav2vec2', expected 'csc'"):
        untrained("x", "wav2vec2_small", "cpu")
    with pytest.raises(InputError, match="sv_fbank configures 'speaker_verifier', expected 'csc'"):
        untrained("x", "sv_fbank", "cpu")
