import json

import numpy as np
import pytest
import soundfile

from csc_fairseq.data.conversation_drawing import draw_conversation
from csc_fairseq.data.conversation_folder import read_conversations, write_conversation, write_list
from csc_fairseq.data.conversation_rendering import enrolment, render_conversation
from csc_fairseq.data.conversations import ConversationOptions
from csc_fairseq.data.rttm import Turn, write_rttm
from csc_fairseq.data.speech_pool import SpeechPool
from tests.making import SAMPLE_RATE, fails, voice, write_noise

OPTIONS = ConversationOptions(seconds=8.0, turn=(1.0, 2.0), pause=(0.2, 0.5), enrolments=2, absent=1, uses=30)


@pytest.fixture
def pool(make_manifest) -> SpeechPool:
    signals = {f"s{i // 4}_{i % 4}.wav": voice(i // 4, i % 4, 1.6) for i in range(12)}
    return SpeechPool(make_manifest("speech", signals), [name[:2] for name in signals], SAMPLE_RATE)


@pytest.fixture
def written(pool, tmp_path):
    """Folder and plans of two conversations."""
    plans = [draw_conversation(OPTIONS, pool, 1, number) for number in range(2)]
    folder = tmp_path / "conversations"
    entries = [write_conversation(folder, plan, render_conversation(plan, pool), pool) for plan in plans]
    write_list(folder, {"seed": 1}, entries)
    return folder, plans


def test_what_is_written_reads_back(written, pool):
    folder, plans = written
    found = read_conversations(folder)
    assert [one.name for one in found] == ["conversation_000", "conversation_001"]
    for one, plan in zip(found, plans, strict=True):
        rendered = render_conversation(plan, pool)
        np.testing.assert_array_equal(soundfile.read(one.audio, dtype="float32")[0], rendered.samples)
        assert one.seconds == 8.0 and one.talkers == sorted(talker.name for talker in plan.talkers)
        for turn, expected in zip(one.turns, plan.reference(), strict=True):
            assert turn.talker == expected.talker
            assert (turn.start, turn.end) == pytest.approx((expected.start, expected.end), abs=1e-3)
        for talker, source in zip(plan.talkers, rendered.sources, strict=True):
            np.testing.assert_array_equal(soundfile.read(one.sources[talker.name], dtype="float32")[0], source)
        voices = (*plan.talkers, *plan.absent)
        assert [(v.talker, v.present) for v in one.voices] == [(v.name, v in plan.talkers) for v in voices]
        for enrolled, voice_ in zip(one.voices, voices, strict=True):
            for file, recording in zip(enrolled.files, voice_.enrolments, strict=True):
                np.testing.assert_array_equal(soundfile.read(file, dtype="float32")[0], enrolment(recording, pool))


def test_the_list_tells_what_was_drawn(written):
    folder, plans = written
    content = json.loads((folder / "conversations.json").read_text())
    entry = content["conversations"][1]
    assert content["seed"] == 1 and entry["overlap"] == plans[1].overlap
    assert entry["plan"]["talkers"][0]["pieces"][0]["recording"] == plans[1].talkers[0].pieces[0].recording
    turns = plans[1].reference()
    own = [turn.end - turn.start for turn in turns if turn.talker == plans[1].talkers[0].name]
    assert entry["talking_seconds"][plans[1].talkers[0].name] == pytest.approx(sum(own))
    files = {path.name for path in folder.iterdir()}
    assert len(files) == 1 + 2 * (2 + 2 + 3 * 2) and not any(name.endswith(".tmp") for name in files)


def test_a_damaged_list(written):
    folder, _ = written
    path = folder / "conversations.json"
    content = json.loads(path.read_text())
    (
        folder
        / content["conversations"][0]["sources"]["s0" if "s0" in content["conversations"][0]["sources"] else "s1"]
    ).unlink()
    assert "no such file, but conversations.json names it" in fails(read_conversations, folder)
    for text in ("{", "[]", "{}", '{"format": "csc conversations 1", "conversations": [{"file": 1}]}', "[" * 100_000):
        path.write_text(text)
        assert f"{path}: is damaged" in fails(read_conversations, folder)
    path.write_text('{"format": "csc conversations 9", "conversations": []}')
    assert "has the format 'csc conversations 9'" in fails(read_conversations, folder)
    path.write_text('{"format": "csc conversations 1", "conversations": []}')
    assert "holds no conversations" in fails(read_conversations, folder)


@pytest.fixture
def real(tmp_path):
    """A folder with one real conversation, of two seconds."""
    write_noise(tmp_path / "real" / "meeting.flac", 2.0)
    write_rttm(tmp_path / "real" / "meeting.rttm", "meeting", [Turn("b", 0.5, 1.5), Turn("a", 1.0, 2.01)])
    return tmp_path / "real"


def test_real_conversations_are_recordings_with_rttm(real):
    (one,) = read_conversations(real)
    assert (one.name, one.audio.name, one.seconds) == ("meeting", "meeting.flac", 2.0)
    assert one.turns == (Turn("b", 0.5, 1.5), Turn("a", 1.0, 2.01)) and one.talkers == ["a", "b"]
    assert not one.sources and not one.voices


@pytest.mark.parametrize("name", ["my  long meeting", "my_long_meeting"])
def test_blanks_are_underscores_in_rttm(real, name):
    (real / "meeting.flac").rename(real / "my  long meeting.flac")
    (real / "meeting.rttm").unlink()
    write_rttm(real / f"{name}.rttm", "my_long_meeting", [Turn("a", 0, 1)])
    (one,) = read_conversations(real)
    assert (one.name, one.rttm, one.talkers) == ("my_long_meeting", real / f"{name}.rttm", ["a"])
    write_rttm(real / "my long_meeting.rttm", "my_long_meeting", [Turn("a", 0, 1)])
    assert "several RTTM files are named 'my_long_meeting'" in fails(read_conversations, real)


def test_what_does_not_fit(real, tmp_path):
    rttm = real / "meeting.rttm"
    write_rttm(rttm, "other", [Turn("a", 0, 1)])
    assert "holds turns of 'other', expected those of 'meeting' alone" in fails(read_conversations, real)
    write_rttm(rttm, "meeting", [Turn("a", 0, 3.2)])
    assert "has a turn until 3.20 s, but" in fails(read_conversations, real)
    write_rttm(rttm, "meeting", [])
    assert "holds no turns" in fails(read_conversations, real)
    rttm.unlink()
    assert "meeting.rttm: no such file; expected the turns of" in fails(read_conversations, real)
    write_rttm(rttm, "meeting", [Turn("a", 0, 1)])
    write_noise(real / "meeting.wav", 2.0)
    assert "several recordings are named 'meeting'" in fails(read_conversations, real)
    write_rttm(real / "x.rttm", "x", [Turn("a", 0, 1)])
    (real / "meeting.wav").unlink()
    assert "x.rttm: has no recording beside it" in fails(read_conversations, real)
    assert "is no folder" in fails(read_conversations, tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    assert "holds no conversations" in fails(read_conversations, tmp_path / "empty")
