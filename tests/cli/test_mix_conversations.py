"""`csc mix --conversation`: the same conversations as in Python, and every complaint."""

import json

import numpy as np
import pytest
import soundfile

from csc_fairseq.cli.main import main
from csc_fairseq.data.augment import NoiseBank, RirBank
from csc_fairseq.data.conversation_drawing import draw_conversation
from csc_fairseq.data.conversation_folder import read_conversations
from csc_fairseq.data.conversation_rendering import render_conversation
from csc_fairseq.data.conversations import ConversationOptions
from csc_fairseq.data.manifest import read_labels, read_manifest
from csc_fairseq.data.speech_pool import SpeechPool
from tests.making import SAMPLE_RATE, voice, write_recordings

SHORT = ["--minutes", "0.2", "--turn", "1", "2", "--pause", "0.2", "0.5", "--enrolments", "1", "--absent", "1"]
OPTIONS = ConversationOptions(seconds=12.0, turn=(1.0, 2.0), pause=(0.2, 0.5), enrolments=1, absent=1)


@pytest.fixture
def speech(tmp_path):
    """Path of test.tsv, with its labels: three speakers, three recordings each."""
    signals = {f"s{i // 3}_{i % 3}.wav": voice(i // 3, i % 3, 1.6) for i in range(9)}
    return write_recordings(tmp_path / "test.tsv", signals, [name[:2] for name in signals]).path


@pytest.fixture
def mix(speech, tmp_path):
    def run(*arguments, short=SHORT):
        out = ["--out", str(tmp_path / "out")]
        return main(["mix", "--conversation", "--manifest", str(speech), *short, *arguments, *out])

    return run


def test_conversations_are_those_of_the_seed(mix, speech, tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name, samples in {"noise": rng.standard_normal(20000) * 0.1, "rir": np.r_[1.0, np.zeros(400), 0.5]}.items():
        write_recordings(tmp_path / f"{name}.tsv", {f"{name}.wav": samples})
    banks = ["--noise", str(tmp_path / "noise.tsv"), "--rir", str(tmp_path / "rir.tsv")]
    assert mix(*banks, "--count", "2", "--seed", "4", "--overlap", "0.2", "--snr", "5", "6") == 0
    out = capsys.readouterr().out
    assert "2 conversations of 2 talkers, 0.2 minutes each; overlap" in out and "speech is heard up to" in out
    manifest = read_manifest(speech)
    pool = SpeechPool(manifest, read_labels(manifest, "spk"), SAMPLE_RATE)
    noise = NoiseBank(read_manifest(tmp_path / "noise.tsv"), SAMPLE_RATE)
    rirs = RirBank(read_manifest(tmp_path / "rir.tsv"), SAMPLE_RATE)
    options = ConversationOptions(**{**vars(OPTIONS), "overlap": 0.2, "noise_snr_db": (5.0, 6.0)})
    plan = draw_conversation(options, pool, 4, 1, noise, rirs)
    found = read_conversations(tmp_path / "out")[1]
    expected = render_conversation(plan, pool, noise, rirs).samples
    np.testing.assert_array_equal(soundfile.read(found.audio, dtype="float32")[0], expected)
    content = json.loads((tmp_path / "out" / "conversations.json").read_text())
    assert content["seed"] == 4 and content["manifest"] == str(speech) and content["rir"] == str(tmp_path / "rir.tsv")
    assert content["options"]["noise_snr_db"] == [5.0, 6.0] and content["options"]["seconds"] == 12.0


def test_speakers_with_too_little_speech_are_left_out_with_a_remark(mix, speech, capsys):
    signals = {f"s{i // 3}_{i % 3}.wav": voice(i // 3, i % 3, 1.6 if i < 9 else 0.8) for i in range(18)}
    write_recordings(speech, signals, [name[:2] for name in signals])
    assert mix("--count", "4") == 0
    out = capsys.readouterr().out
    assert out.count("left out") == 1
    assert "test.tsv: 3 speakers are left out for too little speech (fewer than 1 recordings with 1 s of it" in out
    assert "the first is s" in out
    assert mix("--talkers", "4") == 2
    assert "of the 6 speakers with more than 1 recordings (s" in capsys.readouterr().err


def test_a_list_never_names_files_of_another_run(mix, tmp_path, monkeypatch):
    assert mix() == 0
    monkeypatch.setattr(
        "csc_fairseq.data.conversation_folder.write_wav", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    assert mix("--seed", "2") == 130
    assert not (tmp_path / "out" / "conversations.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count", "0"], "--count is 0, expected 1 or more"),
        (["--talkers", "3"], "has 3 speakers with more than 1 recordings (of 3 in all), expected 4"),
        (["--overlap", "0.6"], "overlap is 0.6, expected a share between 0 and 0.4"),
        (["--minutes", "0.05"], "a conversation lasts 3 s, too short for 2 talkers"),
        (["--uses", "1", "--minutes", "1"], "s of speech beside the enrolments, too little for a conversation of 60 s"),
        (["--noise", "absent.tsv"], "absent.tsv: cannot be read"),
        (["--sample-rate", "8000"], "has 16000 Hz, expected 8000 Hz"),
        (["--epoch", "2"], "--epoch goes with --config-name; leave it out"),
        (["--split", "train"], "--split goes with --config-name"),
        (["--index", "0"], "--index goes with --config-name"),
        (["task.seed=3"], "OPTION=VALUE goes with --config-name"),
    ],
)
def test_bad_input(mix, tmp_path, capsys, arguments, message):
    assert mix(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_labels_and_manifest_are_needed(mix, speech, tmp_path, capsys):
    speech.with_suffix(".spk").unlink()
    assert mix() == 2
    assert "test.spk: no such file; expected one label per line" in capsys.readouterr().err
    assert main(["mix", "--conversation", "--out", str(tmp_path / "out")]) == 2
    assert "name the talkers' recordings with --manifest" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--talkers=2", "--level-spread=3", "--snr 1 2", "--resample", "--seed=2"])
def test_options_of_conversations_are_not_those_of_training(tmp_path, capsys, option):
    words = ["mix", "--config-name", "csc_debug", "task.data=x", *option.split(), "--out", str(tmp_path / "out")]
    assert main(words) == 2
    name = option.split()[0].partition("=")[0]
    assert f"{name} goes with --conversation; leave it out" in capsys.readouterr().err


def test_one_kind_is_asked_for(tmp_path, capsys):
    for words in ([], ["--conversation", "--config-name", "csc_debug"]):
        with pytest.raises(SystemExit):
            main(["mix", *words, "--out", str(tmp_path)])
        assert "--conversation" in capsys.readouterr().err
