"""What the encoder's answers mean: padding, streams, scores, features."""

import numpy as np
import pytest
import torch

from csc_fairseq.errors import InputError
from csc_fairseq.inference.speaker_encoder import SpeakerEncoder
from csc_fairseq.modules.loudness import levels_in_mixture

LENGTHS = [16000, 700, 9001, 12345, 64, 700]


def test_padding_changes_nothing(model, voice):
    """Recordings of different lengths and levels in one batch give what each gives alone."""
    recordings = [voice(n, seed) * 10.0**-seed for seed, n in enumerate(LENGTHS)]
    for answer in (model.embed, model.embed_sources):
        together = answer(recordings)
        assert np.abs(together - together[:1]).max() > 1e-3  # they do differ from each other
        for recording, row in zip(recordings, together, strict=True):
            np.testing.assert_allclose(row, answer(recording), atol=1e-4)
    for recording, streams in zip(recordings, model.separate(recordings), strict=True):
        level = np.abs(recording).max()
        np.testing.assert_allclose(streams / level, model.separate(recording) / level, atol=1e-4)


def test_batches_are_bounded_and_change_nothing(unaligned, voice):
    model = unaligned
    recordings = [voice(n, seed) for seed, n in enumerate(LENGTHS)]
    whole = model.embed(recordings)
    sizes = []
    model.network.register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].numel()))
    model.batch_samples = 20000
    np.testing.assert_allclose(model.embed(recordings), whole, atol=1e-4)
    assert max(sizes) <= 20000 and len(sizes) == 4  # 64, 700, 700 | 9001 | 12345 | 16000


def test_padding_may_hold_anything(model, voice):
    batch = np.stack([voice(6000), voice(6000, 1)])
    clean = model.embed_sources(batch, lengths=[4000, 6000])
    batch[0, 4000:] = 7.0
    np.testing.assert_array_equal(model.embed_sources(batch, lengths=[4000, 6000]), clean)
    assert np.abs(clean[0] - model.embed_sources(batch)[0]).max() > 1e-3


def test_embed_takes_the_stream_with_most_energy(model, voice):
    """As the network gives them: equal streams share their level in the recording."""
    samples = torch.from_numpy(voice(3000))
    talkers, plain = model.embed_sources(samples), model.network.forward

    for loud in (0, 1):
        gains = torch.tensor([0.5, 2.0] if loud else [2.0, 0.5]).view(1, 2, 1)

        def louder(*args, gains=gains):
            output = plain(*args)
            return output._replace(estimates=torch.ones_like(output.estimates) * gains)

        model.network.forward = louder
        torch.testing.assert_close(model.embed(samples), talkers[loud])


def test_embeddings_are_the_queries(model, voice):
    """Whatever the memory bank holds, embeddings depend on the recording alone."""
    samples = torch.from_numpy(voice(8000))
    before = model.embed_sources(samples)
    attended = model.network(samples[None]).attended
    memory = model.network.memory
    memory.entries.normal_()
    memory.filled.fill_(memory.size)
    torch.nn.init.normal_(model.network.attention.output.weight)
    assert (model.network(samples[None]).attended - attended).abs().max() > 1e-3
    assert torch.equal(model.embed_sources(samples), before)


def test_score_is_the_largest_cosine(model, voice, write):
    enrol, test = voice(8000), voice(9000, 1)
    cosines = model.embed_sources(test) @ model.embed(enrol)
    score = model.score(enrol, test)
    assert isinstance(score, float) and score == pytest.approx(cosines.max(), abs=1e-6)
    assert score > cosines.min() + 1e-4
    assert model.score(enrol, enrol) == pytest.approx(1, abs=1e-6)
    assert model.score(write("enrol.wav", enrol), write("test.wav", test)) == pytest.approx(score, abs=1e-6)
    assert model.score(write("enrol.wav", enrol), test, 16000) == pytest.approx(score, abs=1e-6)
    with pytest.raises(InputError, match="enrol holds 2 recordings, expected one"):
        model.score(np.stack([enrol, enrol]), test)


def test_features_and_their_padding(model, voice):
    """32-sample hop: 4000 samples are 125 + 1 frames, 8000 are 250 + 1."""
    batch = np.stack([voice(8000), voice(8000, 1)])
    mask = torch.arange(8000) >= torch.tensor([[4000], [8000]])
    features, padding = model.features(batch, mask)
    assert isinstance(features, np.ndarray) and features.shape == (2, 251, 16)
    assert (~padding).sum(axis=1).tolist() == [126, 251] and padding[0, 126:].all()
    alone, no_padding = model.features(torch.from_numpy(batch[0, :4000]))
    assert alone.shape == (1, 126, 16) and not no_padding.any()
    np.testing.assert_allclose(features[0, :126], alone[0], atol=1e-4)
    with pytest.raises(InputError, match="padding before valid samples"):
        model.features(batch, ~mask)


def test_long_recordings_run_in_windows(unaligned, voice):
    model = unaligned
    model.longest = 3 * 16000
    samples = voice(5 * 16000)
    sizes = []
    model.network.register_forward_pre_hook(lambda _, inputs: sizes.append(tuple(inputs[0].shape)))
    streams = model.separate(samples)
    assert streams.shape[1] == 5 * 16000 and np.isfinite(streams).all()
    assert sizes == [(7, 2 * 16000)]
    assert model.embed_sources(samples).shape == (len(streams), 12)
    embedding = model.embed(samples)
    assert embedding.shape == (12,) and np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)


def test_up_to_the_limit_separation_is_the_plain_pass(unaligned, voice):
    """With each stream at its level."""
    model = unaligned
    assert model.longest == 12 * 16000
    model.longest = 16000
    samples = torch.from_numpy(voice(16000))
    with torch.no_grad():
        plain = model.network(samples[None])
    expected = plain.estimates[0] * levels_in_mixture(plain.estimates[0], samples)
    torch.testing.assert_close(model.separate(samples), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(model.embed_sources(samples), plain.queries[0], rtol=0, atol=1e-6)


def test_the_network_is_put_into_evaluation_mode(model):
    assert not SpeakerEncoder(model.network.train(), 16000, "speaker").network.training
    assert (model.streams, model.embedding_size, model.shortest) == (2, 12, 64)
