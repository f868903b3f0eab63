import json
from dataclasses import replace

import pytest

from csc_fairseq.cli.main import main
from csc_fairseq.verification.conversations import measured_store
from csc_fairseq.verification.conversations.evaluation import ConversationEvaluation, evaluate_conversations
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
    assert real["presence"] is None and real["kept"] is None and real["count_right"]["value"] in (0, 1)
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


def test_speakers_of_the_training_are_refused(options, tmp_path):
    network = separative_network()
    path = saved(csc_checkpoint(network, identities=["s0", "x"], identity_level="speaker"), tmp_path / "trained.pt")
    trained = replace(options, encoders=(str(path),), folders=options.folders[:1], dev=None)
    message = fails(evaluate_conversations, trained)
    assert "speakers are those of" in message and "--force" in message


def test_other_complaints(options, tmp_path):
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
