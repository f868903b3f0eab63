import json
import shutil
from dataclasses import replace

import pytest

from csc_fairseq.cli.main import main
from csc_fairseq.data.conversation_folder import read_conversations
from csc_fairseq.errors import InputError
from csc_fairseq.verification.conversations import measured_store
from csc_fairseq.verification.conversations.evaluation import ConversationEvaluation, evaluate_conversations
from csc_fairseq.verification.conversations.measured_store import MeasuredStore
from csc_fairseq.verification.evaluation.result_folder import ResultFolder
from tests.making import bundled, csc_checkpoint, fails, saved, separative_network, speaker_encoder


@pytest.fixture
def options(conversations, tmp_path) -> ConversationEvaluation:
    csc = bundled(speaker_encoder(), tmp_path / "csc.pt")
    folders = (conversations / "two", conversations / "real")
    return ConversationEvaluation(
        folders, (f"csc={csc}", "mfcc"), tmp_path / "out", conversations / "dev", replicates=10
    )


def test_an_evaluation(options, conversations, monkeypatch):
    tables = evaluate_conversations(options)
    content = json.loads((options.out / "results.json").read_text())
    rows = {(one["system"], one["folder"], one["talkers"]): one for one in content["results"]}
    assert set(rows) == {(s, f, t) for s in ("csc", "mfcc") for f in ("two", "real") for t in ("found", "given")}
    # Voices of different formants: their cepstra tell them apart, and the detector hears when they speak.
    best = rows["mfcc", "two", "given"]
    assert best["conversations"] == 2
    assert (
        best["der"]["collar 0.25 s, without overlap"]["value"] < best["der"]["collar 0 s, with overlap"]["value"] < 0.5
    )
    assert best["presence"] and best["si_snri"] and best["kept"]["value"] > 0.6
    real = rows["mfcc", "real", "found"]
    assert real["presence"] is None and real["kept"] is None
    assert real["count_right"]["value"] == 1 and real["count_error"]["value"] == 0  # one voice, and one talker is found
    assert 0 < content["distances"]["mfcc"] < 1.2 and content["distances"]["csc"] is None
    text = (options.out / "results.md").read_text()
    assert "## Who speaks when" in text and "mfcc, two (2)" in text
    # Again: nothing is measured, and nothing changes.
    monkeypatch.setattr(measured_store, "measure", None)
    assert evaluate_conversations(options) == tables


def test_without_development_the_number_of_talkers_is_given(options):
    only = replace(options, dev=None, encoders=("mfcc",), folders=options.folders[1:])
    evaluate_conversations(only)
    content = json.loads((options.out / "results.json").read_text())
    assert [one["talkers"] for one in content["results"]] == ["given"]


def test_an_evaluation_goes_on_where_it_was_interrupted(options, monkeypatch):
    only = replace(options, encoders=("mfcc",), folders=options.folders[:1], dev=None)
    measure, done = measured_store.measure, []

    def interrupted(*arguments):
        if done:
            raise KeyboardInterrupt
        done.append(arguments[1].name)
        return measure(*arguments)

    monkeypatch.setattr(measured_store, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate_conversations(only)
    assert not (options.out / "results.json").exists()

    def the_other(*arguments):
        assert arguments[1].name not in done
        return measure(*arguments)

    monkeypatch.setattr(measured_store, "measure", the_other)
    evaluate_conversations(only)
    assert (options.out / "results.json").exists()


def test_files_of_others_stay(options):
    only = replace(options, encoders=("mfcc",), folders=options.folders[1:], dev=None)
    only.out.mkdir()
    mine = only.out / "results.json"
    mine.write_text("mine")
    assert f"{only.out}: holds results.json, which no evaluation wrote" in fails(evaluate_conversations, only)
    mine.unlink()
    with ResultFolder(only.out, of="--mixtures"):
        pass
    evaluate_conversations(only)  # nothing was written there
    with pytest.raises(InputError, match=r"holds results of `csc evaluate --conversations`, expected none or those of"):
        ResultFolder(only.out)


def test_speakers_of_the_training_are_refused(options, tmp_path):
    network = separative_network()
    path = saved(csc_checkpoint(network, identities=["s0", "x"], identity_level="speaker"), tmp_path / "trained.pt")
    trained = replace(options, encoders=(str(path),), folders=options.folders[:1], dev=None)
    message = fails(evaluate_conversations, trained)
    assert "speakers are those of" in message and "--force" in message


def test_development_conversations_are_others(options, conversations, tmp_path):
    assert "is among --conversations" in fails(lambda: replace(options, dev=conversations / "real" / ".." / "two"))
    shutil.copytree(conversations / "two", tmp_path / "copy")
    message = fails(evaluate_conversations, replace(options, dev=tmp_path / "copy", force=True))
    assert "of its 4 speakers are those of" in message or "of its 3 speakers are those of" in message
    assert f"{conversations / 'two'}: " in message and str(tmp_path / "copy") in message
    shutil.copytree(conversations / "real", tmp_path / "real_copy")
    message = fails(evaluate_conversations, replace(options, dev=tmp_path / "real_copy"))
    assert "is the recording of" in message and "to which --dev fits" in message


def test_what_is_kept_depends_on_all_that_was_used(conversations, tmp_path, monkeypatch):
    (one, _) = read_conversations(conversations / "two")
    (tmp_path / "x.rttm").write_text("another")
    voice = one.voices[0]
    others = [
        replace(one, rttm=tmp_path / "x.rttm"),
        replace(one, voices=(replace(voice, present=not voice.present), *one.voices[1:])),
        replace(one, voices=(replace(voice, talker="x"), *one.voices[1:])),
        replace(one, sources=dict(zip(one.sources, [*one.sources.values()][::-1], strict=True))),
    ]
    asked = []
    monkeypatch.setattr(measured_store, "measure", lambda *arguments: asked.append(arguments) or {})
    store = MeasuredStore(tmp_path / "kept", ["csc", None, "cpu"])
    for conversation in (one, one, *others):
        store.measured(None, conversation, 0.5)
    store.measured(None, one, 0.6)
    MeasuredStore(tmp_path / "kept", ["csc", None, "cuda"]).measured(None, one, 0.5)
    assert len(asked) == 1 + len(others) + 2
    assert store.distance([one]) == store.distance([one]) != store.distance([others[0]])


def test_other_complaints(options, tmp_path):
    assert "--seed -1: expected 0 or more" in fails(lambda: replace(options, seed=-1))
    assert "--replicates 0: expected at least 1" in fails(lambda: replace(options, replicates=0))
    assert "is named twice" in fails(lambda: replace(options, folders=options.folders[:1] * 2))
    assert "two have one name" in fails(evaluate_conversations, replace(options, encoders=("mfcc", "mfcc")))
    assert "is no folder" in fails(evaluate_conversations, replace(options, folders=(tmp_path / "absent",)))
    assert "takes 8000 Hz, but" in fails(evaluate_conversations, replace(options, encoders=("math:sqrt,rate=8000",)))


def test_the_command(conversations, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["evaluate", "--conversations", str(conversations / "real"), "--encoder", "mfcc", "--replicates", "5"]
    assert main([*words, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "Who speaks when" in printed and "mfcc, real (1)" in printed and str(out / "results.md") in printed
    assert main([*words, "--out", str(out), "--trials", "x.txt"]) == 2
    assert "--trials goes with --manifest; leave it out" in capsys.readouterr().err
