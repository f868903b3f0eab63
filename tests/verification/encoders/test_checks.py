"""The complaints that all encoders share, and the scale of embeddings."""

import numpy as np
import pytest

from csc_fairseq.errors import InputError
from csc_fairseq.verification.encoders.checks import require_voices, unit_rows
from csc_fairseq.verification.encoders.encoder import SingleEncoder


def test_unit():
    rows = unit_rows("x", [[3, 4], [0, -2]], (2, None))
    np.testing.assert_array_equal(rows, np.array([[0.6, 0.8], [0, -1]], dtype=np.float32))
    assert rows.dtype == np.float32
    tiny = np.full((1, 2, 4), 1e-30, dtype=np.float32)  # squares that float32 cannot hold
    np.testing.assert_allclose(unit_rows("x", tiny, (1, 2, None)), 0.5)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_embeddings_without_a_direction(value):
    rows = np.ones((3, 2, 4))
    rows[1, 1] = value
    with pytest.raises(InputError, match="encoder mine: gave NaN, .* for 1 of 3 recordings, the first is number 2"):
        unit_rows("mine", rows, (3, 2, None))


def test_embeddings_of_another_form():
    with pytest.raises(InputError, match=r"encoder x: gave embeddings of shape \[3, 4\], expected \[2, any\]"):
        unit_rows("x", np.ones((3, 4)), (2, None))
    with pytest.raises(InputError, match=r"shape \[3, 4\], expected \[3, 2, any\]"):
        unit_rows("x", np.ones((3, 4)), (3, 2, None))
    with pytest.raises(InputError, match="encoder x: gave a list that is no array of numbers"):
        unit_rows("x", [[1.0], [1.0, 2.0]], (2, None))


def test_waveforms_without_a_voice():
    sound = np.arange(10, dtype=np.float32)
    require_voices("x", [sound], 10)
    with pytest.raises(InputError, match="encoder x: recording 2 of 2 has 9 samples, expected 10 at least"):
        require_voices("x", [sound, sound[:9]], 10)
    with pytest.raises(InputError, match="encoder x: recording 1 of 2 is digitally silent"):
        require_voices("x", [0 * sound, sound], 10)
    with pytest.raises(InputError, match="encoder x: recording 2 of 2 is digitally silent"):
        require_voices("x", [sound, 0 * sound + np.float32(0.01)], 10)  # the zero of a recorder


def test_single_encoder():
    encoder = SingleEncoder("x", 16000, 2, lambda waveforms: np.array([[w.sum(), 4.0] for w in waveforms]))
    waveforms = [np.array([0.0, 1.0, 2.0]), np.array([-1.0, -2.0])]
    np.testing.assert_allclose(encoder.enrol(waveforms), [[0.6, 0.8], [-0.6, 0.8]], rtol=1e-6)
    found = encoder.test(waveforms)
    np.testing.assert_array_equal(found.streams, encoder.enrol(waveforms)[:, None])
    assert found.estimates is None
    with pytest.raises(InputError, match="recording 1 of 1 has 1 samples"):
        encoder.test([np.ones(1)])
