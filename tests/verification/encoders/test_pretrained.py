"""The checkpoints in examples/csc/pretrained, with which the table of results/fine_tuned.md was made: they load and embed."""

from pathlib import Path

import numpy as np
import pytest

from csc_fairseq.verification.encoders.registry import make_encoder

FOLDER = Path(__file__).resolve().parents[3] / "examples" / "csc" / "pretrained"


@pytest.mark.parametrize(("spec", "shape"), [("csc_small.pt", (2, 2, 128)), ("wav2vec2_small.pt,layer=1", (2, 1, 96))])
def test_the_published_checkpoints_embed(spec, shape):
    encoder = make_encoder(f"{FOLDER}/{spec}", "cpu")
    rng = np.random.default_rng(0)
    found = encoder.test([0.1 * rng.standard_normal(samples).astype(np.float32) for samples in (16000, 9000)])
    assert found.streams.shape == shape and encoder.sample_rate == 16000
    np.testing.assert_allclose(np.linalg.norm(found.streams, axis=-1), 1, atol=1e-5)
    assert not np.allclose(found.streams[0], found.streams[1], atol=1e-2)
