"""An encoder on separated streams: what is embedded, in which order, and what a silent stream does."""

from types import SimpleNamespace

import numpy as np
import pytest

from csc_fairseq.backbones.loading import backbone_from_settings
from csc_fairseq.checkpoints.checkpoint import Checkpoint
from csc_fairseq.errors import InputError
from csc_fairseq.inference.loading import model_of
from csc_fairseq.verification.encoders.csc import CscEncoder
from csc_fairseq.verification.encoders.mfcc import mfcc_encoder
from csc_fairseq.verification.encoders.separated import SeparatedEncoder
from tests.making import XVECTOR, speaker_encoder, syllables, verifier_checkpoint


@pytest.mark.parametrize("mixture", [False, True])
def test_keeps_what_an_encoder_promises(require_encoder, mixture):
    encoder = SeparatedEncoder(mfcc_encoder("streams"), speaker_encoder(), mixture)
    require_encoder(encoder)
    assert (encoder.name, encoder.sample_rate) == ("streams", 16000)


def test_streams_are_embedded_and_enrolments_are_not_separated(waveforms):
    model, mfcc = speaker_encoder(), mfcc_encoder("x")
    encoder = SeparatedEncoder(mfcc, model)
    found = encoder.test(waveforms)
    assert found.streams.shape == (4, 2, 48)
    for i, streams in enumerate(model.separate(waveforms)):
        np.testing.assert_array_equal(found.estimates[i], streams)
        np.testing.assert_array_equal(found.streams[i], mfcc.enrol(list(streams)))
    np.testing.assert_array_equal(encoder.enrol(waveforms), mfcc.enrol(waveforms))


def test_the_recording_itself_is_a_further_candidate(waveforms):
    """With all streams that the encoder finds in it; those that were separated before are the same as without."""
    model, mfcc = speaker_encoder(), mfcc_encoder("x")
    found, without = (SeparatedEncoder(mfcc, model, mixture).test(waveforms) for mixture in (True, False))
    np.testing.assert_array_equal(found.streams[:, :2], without.streams)
    np.testing.assert_array_equal(found.streams[:, 2], mfcc.enrol(waveforms))
    assert [estimates.shape for estimates in found.estimates] == [(2, len(waveform)) for waveform in waveforms]
    csc = CscEncoder("x", speaker_encoder(seed=1))
    found = SeparatedEncoder(csc, model, mixture=True).test(waveforms)
    np.testing.assert_array_equal(found.streams[:, 2:], csc.test(waveforms).streams)
    for i, streams in enumerate(model.separate(waveforms)):
        np.testing.assert_allclose(found.streams[i, :2], csc.enrol(list(streams)), atol=1e-4)


def separator(*levels: float) -> SimpleNamespace:
    """A stand-in whose streams are noises at these levels, relative to the recording's."""

    def separate(waveforms, most):
        return [
            np.stack([level * np.roll(waveform, 100 * c) * (1 + c) for c, level in enumerate(levels)]).astype(
                np.float32
            )
            for waveform in waveforms
        ]

    return SimpleNamespace(
        require_separation=lambda: None, sample_rate=16000, shortest=1, streams=len(levels), separate=separate
    )


def spectra(name):
    """An encoder that tells its recordings' levels, which MFCCs do not."""
    return SimpleNamespace(
        name=name,
        sample_rate=16000,
        enrol=lambda waveforms: np.stack([[np.abs(waveform).max(), waveform[0]] for waveform in waveforms]),
    )


def test_a_silent_stream_takes_the_place_of_the_loudest(waveforms):
    """So it wins nothing; one at −50 dB has a voice, one at −70 dB has none."""
    encoder = SeparatedEncoder(mfcc_encoder("x"), separator(10**-3.5, 0.2, 0.0, 10**-2.5))
    rows = encoder.test(waveforms)
    expected = SeparatedEncoder(mfcc_encoder("x"), separator(1.0, 0.2, 1.0, 10**-2.5)).test(waveforms).streams
    np.testing.assert_array_equal(rows.streams[:, [1, 3]], expected[:, [1, 3]])
    np.testing.assert_array_equal(rows.streams[:, [0, 2]], expected[:, [1, 1]])
    assert not rows.estimates[0][2].any()  # the streams themselves are as they were


def test_without_any_sound_in_the_streams_the_recording_speaks(waveforms):
    encoder = SeparatedEncoder(spectra("x"), separator(0.0, 0.0))
    expected = spectra("x").enrol(waveforms)
    np.testing.assert_array_equal(encoder.test(waveforms).streams, np.stack([expected, expected], axis=1))
    mixed = SeparatedEncoder(spectra("x"), separator(0.0, 0.5)).test(waveforms[:1]).streams
    louder = spectra("x").enrol([np.roll(waveforms[0], 100)])  # half of it, twice as loud
    np.testing.assert_allclose(mixed[0], np.concatenate([louder, louder]), rtol=1e-6)


def test_what_cannot_be_separated():
    encoder = SeparatedEncoder(mfcc_encoder("x"), speaker_encoder())
    with pytest.raises(InputError, match="encoder x: recording 2 of 2 is digitally silent"):
        encoder.test([syllables(9000), np.zeros(9000, dtype=np.float32)])
    with pytest.raises(InputError, match="encoder x: recording 1 of 1 has 10 samples"):
        encoder.test([syllables(10)])


def test_separators_that_do_not_fit():
    with pytest.raises(
        InputError,
        match=r"encoder x: takes 16000 Hz, but its separate= gives 8000 Hz; take a model that was trained at the",
    ):
        SeparatedEncoder(mfcc_encoder("x"), speaker_encoder(sample_rate=8000))
    xvector = model_of(Checkpoint("x.pt", verifier_checkpoint(backbone_from_settings(XVECTOR))))
    with pytest.raises(
        InputError, match=r"encoder x: separate: this model \(xvector\) does not separate talkers; take a"
    ):
        SeparatedEncoder(mfcc_encoder("x"), xvector)
