from dataclasses import replace

import numpy as np
import pytest

from csc_fairseq.data.augment import RirBank
from csc_fairseq.data.conversation_drawing import draw_conversation
from csc_fairseq.data.conversation_rendering import enrolment, render_conversation
from csc_fairseq.data.conversations import ConversationOptions, ConversationPlan, Piece, Talker
from csc_fairseq.data.mixing_plans import NoisePlan
from csc_fairseq.data.speech_pool import SpeechPool
from tests.making import SAMPLE_RATE, voice

OPTIONS = ConversationOptions(seconds=20.0, turn=(1.0, 4.0), enrolments=1, absent=0, uses=30)


@pytest.fixture
def pool(make_manifest) -> SpeechPool:
    """Recordings of very different levels with an offset, and silence at both ends."""
    rng = np.random.default_rng(0)
    signals = {
        f"s{speaker}/{take}.wav": 10.0 ** -(take % 3) * np.pad(voice(speaker, take, 2.0), rng.integers(4000, 9000, 2))
        + 0.01
        for speaker in range(3)
        for take in range(4)
    }
    return SpeechPool(make_manifest("speech", signals), [name[:2] for name in signals], SAMPLE_RATE)


def decibels(samples):
    return 20 * np.log10(np.sqrt(np.mean(np.square(samples, dtype=np.float64))) / 0.05)


def in_turns(plan, talker):
    heard = np.zeros(plan.frames, dtype=bool)
    for start, end in talker.extents(SAMPLE_RATE):
        heard[start:end] = True
    return heard


def test_the_reference_follows_the_energy(pool):
    for number in range(3):
        plan = draw_conversation(OPTIONS, pool, 1, number)
        rendered = render_conversation(plan, pool)
        for talker, source in zip(plan.talkers, rendered.sources, strict=True):
            heard = in_turns(plan, talker)
            assert not source[~heard].any()
            frames = np.square(source[: len(source) // 320 * 320].reshape(-1, 320)).mean(axis=1)
            faint = frames < frames.max() * 10**-4.5
            for start, end in talker.extents(SAMPLE_RATE):
                inside = faint[-(-start // 320) + 1 : end // 320 - 1]
                edges = np.flatnonzero(np.diff(np.r_[0, inside.astype(int), 0])).reshape(-1, 2)
                assert not len(edges) or (edges[:, 1] - edges[:, 0]).max() <= 21  # 0.4 s and a frame


def test_levels_are_those_of_the_plan(pool):
    plan = draw_conversation(replace(OPTIONS, level_spread_db=20.0), pool, 1, 0)
    rendered = render_conversation(replace(plan, noise=None), pool)
    np.testing.assert_array_equal(rendered.samples, rendered.sources.sum(axis=0))
    assert rendered.samples.dtype == rendered.sources.dtype == np.float32
    assert rendered.sources.shape == (2, 20 * SAMPLE_RATE)
    for talker, source in zip(plan.talkers, rendered.sources, strict=True):
        loudness = []
        for piece in talker.pieces:
            active = np.repeat(pool.speech(piece.recording).active, 320)[piece.start : piece.start + piece.frames]
            loudness.append(source[piece.offset : piece.offset + piece.frames][active])
        assert decibels(np.concatenate(loudness)) == pytest.approx(talker.level_db, abs=1.5)


def single(pool, *pieces, rir=-1, sign=1, noise=None, frames=48000):
    talker = Talker("s0", "s0", (), 0.0, sign, rir, pieces, 1)
    return ConversationPlan(0, SAMPLE_RATE, frames, (talker,), (), noise)


def test_a_piece_is_what_the_recording_has_there(pool):
    start = int(pool.speech(1).stretches[0, 0])
    plan = single(pool, Piece(1, start, 6400, 1000), sign=-1)
    (source,) = render_conversation(plan, pool).sources
    samples = pool.crop(1, start, 6400) - pool.speech(1).mean
    expected = -samples * 0.05 / np.sqrt(pool.speech(1).power)
    np.testing.assert_allclose(source[1080:7320], expected[80:-80], rtol=1e-4, atol=1e-7)
    assert source[1000] == source[7399] == 0  # faded
    assert not source[:1000].any() and not source[7400:].any()


def test_a_room_delays_nothing_and_keeps_the_level(pool, make_manifest):
    response = np.zeros(700)
    response[[50, 650]] = [0.8, 0.4]
    rirs = RirBank(make_manifest("rir", {"0.wav": response}), SAMPLE_RATE)
    start = int(pool.speech(0).stretches[0, 0])
    plan = single(pool, Piece(0, start, 6400, 1000), rir=0)
    (wet,) = render_conversation(plan, pool, rirs=rirs).sources
    (dry,) = render_conversation(replace(plan, talkers=(replace(plan.talkers[0], rir=-1),)), pool).sources
    echo = dry.copy()
    echo[600:] += dry[:-600] / 2
    np.testing.assert_allclose(wet, echo * np.sqrt(np.sum(dry**2) / np.sum(echo[1000:7400] ** 2)), atol=1e-6)


def test_noise_has_its_level_and_is_no_source(pool):
    start = int(pool.speech(0).stretches[0, 0])
    plan = single(pool, Piece(0, start, 6400, 1000), noise=NoisePlan(-1, 0, 12.0, 5))
    rendered = render_conversation(plan, pool)
    noise = rendered.samples - rendered.sources[0]
    assert decibels(noise) == pytest.approx(-12.0, abs=0.05)
    assert decibels(noise[:1000]) == pytest.approx(-12.0, abs=0.5)


def test_an_enrolment_is_the_whole_recording_at_the_usual_level(pool):
    samples = enrolment(2, pool)
    assert len(samples) == pool.frames[2] and abs(samples.mean()) < 1e-6
    assert decibels(samples[np.r_[np.repeat(pool.speech(2).active, 320), np.zeros(len(samples) % 320, bool)]]) == (
        pytest.approx(0, abs=0.01)
    )
