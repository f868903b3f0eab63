from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from csc_fairseq.data.augment import NoiseBank, RirBank
from csc_fairseq.data.conversation_drawing import draw_conversation, safe_names
from csc_fairseq.data.conversations import ConversationOptions
from csc_fairseq.data.manifest import write_labels
from csc_fairseq.data.rttm import speaking_seconds
from csc_fairseq.data.speech_pool import SpeechPool
from tests.making import SAMPLE_RATE, fails, voice, write_recordings

OPTIONS = ConversationOptions(seconds=60.0, turn=(1.0, 4.0), enrolments=2, absent=2, uses=30)


@pytest.fixture(scope="module")
def pool(tmp_path_factory) -> SpeechPool:
    """Six speakers of six recordings, with silence at both ends; a seventh has only two."""
    signals, speakers = {}, []
    for speaker in range(7):
        for take in range(6 if speaker < 6 else 2):
            silence = np.zeros(4000 + 1000 * take)
            signals[f"s{speaker}/{take}.wav"] = np.r_[silence, voice(speaker, take, 1.5 + take / 4), silence]
            speakers.append(f"speech/s{speaker}")
    manifest = write_recordings(tmp_path_factory.mktemp("speech") / "test.tsv", signals, speakers)
    return SpeechPool(manifest, speakers, SAMPLE_RATE)


def many(pool, options=OPTIONS, count=6, **banks):
    return [draw_conversation(options, pool, 1, number, **banks) for number in range(count)]


@pytest.mark.parametrize(("talkers", "overlap"), [(2, 0.0), (2, 0.15), (2, 0.3), (4, 0.15), (3, 0.3), (1, 0.0)])
def test_the_share_of_overlap_is_what_was_asked_for(pool, talkers, overlap):
    plans = many(pool, replace(OPTIONS, talkers=talkers, overlap=overlap))
    for plan in plans:
        turns = plan.reference()
        # Counted again, on a grid of milliseconds.
        grid = np.zeros(60000, dtype=int)
        for turn in turns:
            grid[round(turn.start * 1000) : round(turn.end * 1000)] += 1
        assert grid.max() == (2 if overlap else 1)
        assert plan.overlap == pytest.approx((grid > 1).sum() / (grid > 0).sum(), abs=0.005)
        assert plan.overlap <= overlap + 0.05
        assert speaking_seconds(turns)[0] > 0.6 * 60
    assert np.mean([plan.overlap for plan in plans]) == pytest.approx(overlap, abs=0.02)


def test_everybody_speaks_and_nobody_twice_at_once(pool):
    for plan in many(pool, replace(OPTIONS, talkers=4, seconds=22.0)):
        for talker in plan.talkers:
            assert talker.pieces
            for piece, following in zip(talker.pieces[:-1], talker.pieces[1:], strict=True):
                assert piece.offset + piece.frames < following.offset
            assert talker.pieces[0].offset >= 0
            assert talker.pieces[-1].offset + talker.pieces[-1].frames <= plan.frames


def test_turns_have_the_lengths_and_pauses_of_the_options(pool):
    options = replace(OPTIONS, overlap=0.0, turn=(2.0, 3.0), pause=(0.3, 0.6))
    for plan in many(pool, options):
        turns = plan.reference()
        assert max(turn.end - turn.start for turn in turns) <= 3.0
        assert np.median([turn.end - turn.start for turn in turns]) > 2.0
        for turn, following in zip(turns[:-1], turns[1:], strict=True):
            pause = following.start - turn.end
            least = 0.5 if turn.talker == following.talker else 0.3
            assert least - 1e-3 <= pause <= 0.6 + 1e-3


def test_a_conversation_depends_on_its_key_alone(pool):
    plans = many(pool)
    fresh = SpeechPool(pool.manifest, [pool.group_labels[group] for group in pool.groups], SAMPLE_RATE)
    assert draw_conversation(OPTIONS, fresh, 1, 5) == plans[5]
    assert len({plan.talkers for plan in plans}) == 6
    assert draw_conversation(OPTIONS, pool, 2, 5).talkers != plans[5].talkers


def test_enrolments_are_not_heard_and_the_absent_are_absent(pool):
    for plan in many(pool, replace(OPTIONS, talkers=3)):
        voices = [*plan.talkers, *plan.absent]
        assert len(plan.absent) == 2 and len({voice.speaker for voice in voices}) == 5
        assert "speech/s6" not in {voice.speaker for voice in voices}  # too few recordings
        heard = {piece.recording for talker in plan.talkers for piece in talker.pieces}
        for voice_ in voices:
            assert len(set(voice_.enrolments)) == 2
            own = {pool.group_labels[pool.groups[recording]] for recording in voice_.enrolments}
            assert own == {voice_.speaker}
            assert not heard & set(voice_.enrolments)
        for talker in plan.talkers:
            own = {pool.group_labels[pool.groups[piece.recording]] for piece in talker.pieces}
            assert own == {talker.speaker}
        assert all(voice_.name == voice_.speaker.replace("/", "_") for voice_ in voices)


def test_pieces_begin_and_end_with_speech(pool):
    for plan in many(pool):
        for piece in (piece for talker in plan.talkers for piece in talker.pieces):
            active = pool.speech(piece.recording).active
            first, end = piece.start // 320, (piece.start + piece.frames) // 320
            assert piece.start % 320 == piece.frames % 320 == 0
            assert active[first] and active[end - 1]


def test_all_speech_is_used_before_any_again(pool):
    for plan in many(pool, replace(OPTIONS, overlap=0.0)):
        for talker in plan.talkers:
            counts = Counter()
            for piece in talker.pieces:
                counts.update(
                    (piece.recording, sample) for sample in range(piece.start, piece.start + piece.frames, 320)
                )
            assert max(counts.values()) <= talker.uses
            # But for scraps of less than a quarter of a second, which are left out.
            assert np.quantile(list(counts.values()), 0.1) >= talker.uses - 1


def test_too_little_speech_says_how_much_there_is(pool):
    message = fails(draw_conversation, replace(OPTIONS, uses=2), pool, 1, 0)
    assert "s of speech beside the enrolments, too little for a conversation of 60 s" in message
    assert "may be heard 2 times" in message
    one = draw_conversation(replace(OPTIONS, talkers=4, seconds=25.0, uses=1), pool, 1, 0)
    assert all(talker.uses == 1 for talker in one.talkers)


def test_too_few_speakers(pool):
    message = fails(draw_conversation, replace(OPTIONS, absent=5), pool, 1, 0)
    assert "has 6 speakers with more than 2 recordings (of 7 in all), expected 7: 2 who speak and 5" in message


def test_enrolments_have_a_second_of_speech(tmp_path):
    signals = {f"s{i // 3}_{i % 3}.wav": voice(i // 3, i % 3, 0.9) for i in range(9)}
    manifest = write_recordings(tmp_path / "t.tsv", signals)
    pool = SpeechPool(manifest, [name[:2] for name in signals], SAMPLE_RATE)
    message = fails(draw_conversation, replace(OPTIONS, absent=0), pool, 1, 0)
    assert "3 of the 3 speakers with more than 2 recordings (s" in message
    assert "have fewer than 2 with 1 s of speech to enrol them" in message and "expected 2 that have" in message


def test_speakers_with_too_little_speech_give_way(tmp_path):
    """Of eight speakers, three speak for one second at most, and one has nothing to say beside two enrolments."""
    lengths = dict.fromkeys("abcd", (2.0,) * 4) | dict.fromkeys("xyz", (0.9,) * 4) | {"m": (2.0, 2.0, 0.2)}
    signals = {
        f"{name}{take}.wav": voice(number, take, seconds)
        for number, (name, all_seconds) in enumerate(lengths.items())
        for take, seconds in enumerate(all_seconds)
    }
    pool = SpeechPool(write_recordings(tmp_path / "t.tsv", signals), [name[0] for name in signals], SAMPLE_RATE)
    options = replace(OPTIONS, seconds=20.0)
    plans = many(pool, options, count=12)
    for plan in plans:
        talkers, absent = ({one.speaker for one in some} for some in (plan.talkers, plan.absent))
        assert len(talkers) == len(absent) == 2 and not talkers & absent
        assert talkers <= set("abcd") and absent <= set("abcdm")
        assert not (talkers | absent) & set(plan.left_out) and len(set(plan.left_out)) == len(plan.left_out)
    assert {speaker for plan in plans for speaker in plan.left_out} == set("xyzm")
    # Another conversation than the first depends on its number alone.
    assert draw_conversation(options, pool, 1, 7) == plans[7]
    message = fails(draw_conversation, replace(options, absent=4), pool, 1, 0)
    assert "of the 8 speakers" in message and "expected 6 that have" in message


def test_levels_signs_and_noise(pool, tmp_path):
    noise = NoiseBank(write_recordings(tmp_path / "noise.tsv", {"n.wav": 0.1 * np.ones(9000)}), SAMPLE_RATE)
    plans = many(pool, replace(OPTIONS, noise_probability=0.5), count=16, noise=noise)
    levels = [talker.level_db for plan in plans for talker in plan.talkers]
    assert -3 <= min(levels) < -1.5 and 1.5 < max(levels) <= 3
    assert {talker.sign for plan in plans for talker in plan.talkers} == {-1, 1}
    noises = [plan.noise for plan in plans if plan.noise]
    assert 2 < len(noises) < 14 and all(one.recording == 0 and 10 <= one.snr_db <= 25 for one in noises)
    white = many(pool, count=2)
    assert all(plan.noise.recording == -1 for plan in white) and white[0].noise.seed != white[1].noise.seed


@pytest.mark.parametrize("labelled", [False, True])
def test_talkers_are_in_one_room_at_different_places(pool, tmp_path, labelled):
    responses = {f"{'ab'[i // 4]}/{i}.wav": np.r_[1.0, np.zeros(i)] for i in range(8)}
    if labelled:
        responses = {name.replace("/", "_"): one for name, one in responses.items()}
    manifest = write_recordings(tmp_path / "rir.tsv", responses)
    if labelled:
        write_labels(tmp_path / "rir.domain", [name[0] for name in responses])
    plans = many(pool, replace(OPTIONS, talkers=3, rir_probability=0.7), count=20, rirs=RirBank(manifest, SAMPLE_RATE))
    rooms = [[talker.rir for talker in plan.talkers] for plan in plans]
    assert 0 < sum(room == [-1] * 3 for room in rooms) < 12
    inside = [room for room in rooms if room[0] >= 0]
    assert all(len(set(room)) == 3 for room in inside)
    assert all(len({place // 4 for place in room}) == 1 for room in inside)
    assert {room[0] // 4 for room in inside} == {0, 1}


def test_few_places_are_shared(pool, tmp_path):
    rirs = RirBank(write_recordings(tmp_path / "rir.tsv", {"r.wav": np.r_[1.0, 0.0]}), SAMPLE_RATE)
    (plan,) = many(pool, count=1, rirs=rirs)
    assert [talker.rir for talker in plan.talkers] == [0, 0]


def test_names_are_files_and_words():
    names = safe_names(["a/b c", "a_b_c", "A_B_C", "..x", "é", "/"])
    assert names == ["a_b_c", "a_b_c_2", "A_B_C_3", "x", "é", "_"]
