"""Long recordings put together talker by talker, by a model that separates exactly: each talker has samples of their own."""

import numpy as np
import pytest
import torch

from csc_fairseq.errors import InputError
from csc_fairseq.inference.long_recordings import Centres
from csc_fairseq.inference.windows import WindowGrid, Windows
from tests.interleaved import HALF, RATE, AtAnyLevel, Interleaved, talkers

TURNS = [(0, 0, 8), (1, 6, 14), (0, 14, 22), (1, 20, 27), (0, 24, 30)]


def test_streams_follow_talkers():
    sources = talkers(TURNS, 30)
    model = Interleaved()
    streams = model.separate(sources.sum(0))
    assert streams.shape == (2, 30000) and model.heard == [(31, 2000), (26, 2000)]  # once, in batches of 64 s
    np.testing.assert_allclose(streams, sources[:2], atol=HALF)
    np.testing.assert_array_equal(model.embed_sources(sources.sum(0)), np.eye(4)[:2])
    assert model.separate(torch.from_numpy(sources.sum(0))).dtype == torch.float32


def test_streams_are_at_their_levels_in_the_recording():
    """Whatever the levels and signs of the network's. Which stream is the loudest is said by the network's."""
    sources, model = talkers([(0, 0, 6), (1, 2, 14), (0, 13, 20)], 20), AtAnyLevel()
    for waveform, parts in ((sources.sum(0), sources), (sources.sum(0)[4000:8000], sources[:, 4000:8000])):
        ((_, voices),) = model.analyse([torch.from_numpy(waveform)])
        order = voices.queries.argmax(dim=1)
        assert sorted(order.tolist()) == [0, 1]
        np.testing.assert_allclose(voices.estimates, parts[order], atol=HALF)
    ((_, voices),) = model.analyse([torch.from_numpy(sources.sum(0)[4000:8000])])
    assert voices.loudest == 0 and voices.energies[0] > 1e4 * voices.energies[1]
    windows = model.windows(sources.sum(0)[4000:8000])
    own = np.sqrt(np.square(sources[:2, 4000:6000]).reshape(2, 100, 20).mean(axis=2))
    np.testing.assert_allclose(windows.levels[0], own[windows.queries[0].argmax(axis=1)], rtol=1e-3, atol=1e-6)


def test_numbers_of_talkers_that_a_short_recording_cannot_have():
    short, model = talkers([(0, 0, 4), (1, 0, 4)], 4).sum(0), Interleaved()
    assert model.hears_at_once(12000) and not model.hears_at_once(12001)
    assert model.hears_at_once(12 * 8000, 8000) and not model.hears_at_once(12 * 8000 + 1, 8000)
    for numbers in ({"talkers": 2}, {"most": 2}, {"most": 5}):
        assert model.embed_sources(short, **numbers).shape == (2, 4) and model.separate(short, **numbers).shape[0] == 2
    for number in ({"talkers": 3}, {"talkers": 1}, {"most": 1}):
        for method in (model.embed_sources, model.separate):
            (said,) = (f"{name}={count}" for name, count in number.items())
            with pytest.raises(
                InputError, match=f"^input: has 4.0 s and is heard at once, in 2 streams; {said} changes"
            ):
                method(short, **number)


def test_more_talkers_than_streams():
    sources = talkers([(0, 0, 10), (2, 8, 15), (1, 15, 30), (2, 28, 34)], 34)
    model = Interleaved()
    streams = model.separate(sources.sum(0))
    np.testing.assert_allclose(streams, sources[[1, 2, 0]], atol=HALF)  # 15, 13 and 10 s
    assert model.separate(sources.sum(0), most=2).shape == (2, 34000)
    assert model.separate(sources.sum(0), talkers=1).shape == (1, 34000)
    assert model.embed_sources(sources.sum(0), talkers=2).shape == (2, 4)
    with pytest.raises(InputError, match="talkers=0: expected 1 at least"):
        model.separate(sources.sum(0), talkers=0)


def test_a_talker_is_silent_where_no_stream_is_theirs():
    sources = talkers([(0, 0, 20), (1, 12, 18)], 20)
    streams = Interleaved().separate(sources.sum(0))
    assert (streams[1, :9000] == 0).all() and np.abs(streams[1, 12200:17800]).max() > 0.2


def test_the_loudest_talker_is_embedded():
    sources = talkers([(0, 0, 20), (1, 3, 15)], 20)
    sources[1] *= 3
    model = Interleaved()
    np.testing.assert_array_equal(model.embed_sources(sources.sum(0)), np.eye(4)[:2])  # who talks most first
    np.testing.assert_array_equal(model.embed(sources.sum(0)), np.eye(4)[1])


def test_one_talker_and_silence_have_one_row():
    sources = talkers([(1, 0, 20)], 20)
    model = Interleaved()
    np.testing.assert_allclose(model.separate(sources.sum(0)), sources[1:2], atol=HALF)
    assert model.embed_sources(sources.sum(0)).shape == (1, 4)
    silent = model.separate(np.zeros(20000, np.float32))
    assert silent.shape == (1, 20000) and (silent == 0).all()


def test_arrays_and_lists_with_different_numbers_of_talkers():
    two, one = talkers(TURNS, 30).sum(0), talkers([(2, 0, 30)], 30).sum(0)
    model = Interleaved()
    together = model.separate(np.stack([one, two]))
    assert together.shape == (2, 2, 30000) and (together[0, 1] == 0).all()
    np.testing.assert_allclose(together[0, 0], one, atol=HALF)
    assert [streams.shape for streams in model.separate([one, two])] == [(1, 30000), (2, 30000)]
    rows = model.embed_sources([one, two])
    assert rows.shape == (2, 2, 4) and (rows[0, 1] == 0).all()
    np.testing.assert_array_equal(rows[0, 0], np.eye(4)[2])


def test_a_model_of_one_stream():
    """It embeds a recording as one talker, and tells apart those who take turns."""
    sources = talkers([(0, 0, 12), (1, 12, 20)], 20)
    model = Interleaved(streams=1)
    assert model.embed_sources(sources.sum(0)).shape == (2, 4)
    assert model.embed(sources.sum(0)) @ np.eye(4)[:2].T == pytest.approx(
        [0.83, 0.56], abs=0.03
    )  # 23 and 14 windows, 1 of both
    with pytest.raises(InputError, match="does not separate"):
        model.separate(sources.sum(0))
    (windows,) = [model.windows(sources.sum(0), waveforms=True)]
    np.testing.assert_allclose(windows.estimates[6, 0], sources.sum(0)[3000:5000], atol=1e-6)


def test_a_voice_is_found_in_the_window_where_it_speaks():
    sources = talkers([(0, 0, 20), (1, 13, 16)], 20)
    model = Interleaved()
    enrolments = talkers([(0, 0, 4)], 4).sum(0), talkers([(1, 0, 4)], 4).sum(0), talkers([(2, 0, 4)], 4).sum(0)
    found = [model.best_match(enrolment, sources.sum(0)) for enrolment in enrolments]
    assert [match.cosine for match in found] == pytest.approx([1, 1, 0], abs=1e-5)
    assert found[0].seconds == 0.0 and 11 <= found[1].seconds <= 15
    assert model.score(enrolments[1], sources.sum(0)) == pytest.approx(1, abs=1e-5)
    short = model.best_match(enrolments[1], sources.sum(0)[12000:18000])
    assert short.cosine == pytest.approx(1, abs=1e-5) and short.seconds is None


def test_conversation():
    sources = talkers(TURNS, 30)
    found = Interleaved().conversation(sources.sum(0), waveforms=True, length=2.0, hop=0.5)
    assert found.windows.estimates is None and len(found.windows.starts) == 57
    for talker in range(2):
        np.testing.assert_allclose(found.waveform(talker), sources[talker], atol=HALF)
    with pytest.raises(ValueError, match="analysed without waveforms"):
        Interleaved().conversation(sources.sum(0)).waveform(0)
    assert len(Interleaved().conversation(np.zeros(20000, np.float32)).talkers.centres) == 0


@pytest.mark.parametrize("seconds", [3, 4.3, 9.001, 12.345])
@pytest.mark.parametrize(("length", "hop"), [(3, 1), (2, 0.5), (1, 1), (1.02, 0.98), (0.1, 0.06)])
def test_seams_are_inaudible(seconds, length, hop):
    """A model that copies its input, at another level in each stream: the weights of the cross-fades sum to one everywhere."""
    waveform = np.random.default_rng(0).standard_normal(round(seconds * RATE)).astype(np.float32)
    grid = WindowGrid.of(len(waveform), RATE, length, hop, least=10, most=12000)
    centres, nothing = Centres(grid), np.empty(0)
    for start in grid.starts:
        part = waveform[start : start + grid.length]
        estimates = np.stack([part, -1e-4 * part])[None]
        centres.add(
            Windows(RATE, grid.samples, grid.length, 20, np.array([start]), nothing, nothing, nothing, estimates)
        )
    for stream, gain in enumerate((1, -1e-4)):
        whole = centres.waveform(np.full(len(grid.starts), stream))
        np.testing.assert_allclose(whole / gain, waveform, atol=2e-3)
    assert (centres.waveform(np.full(len(grid.starts), -1)) == 0).all()
