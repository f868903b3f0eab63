"""`csc evaluate`: a table for people, the same figures as JSON."""

import json
from dataclasses import asdict

import pytest

from csc_fairseq.cli.evaluate import table
from csc_fairseq.cli.main import main
from csc_fairseq.data.manifest import read_labels, read_manifest
from csc_fairseq.verification.interference import ConditionResult, evaluate


def test_results_are_those_of_the_function(bundle, encoder, corpus, tmp_path, capsys):
    out = tmp_path / "new" / "results.json"
    arguments = ["evaluate", "--model", bundle, "--manifest", str(corpus / "train.tsv"), "--sir", "5", "-5"]
    assert main([*arguments, "--seed", "3", "--replicates", "50", "--out", str(out)]) == 0
    manifest = read_manifest(corpus / "train.tsv")
    expected = evaluate(encoder, manifest, read_labels(manifest, "spk"), sirs=(5, -5), seed=3, replicates=50)
    report = json.loads(out.read_text())
    assert report["conditions"] == [asdict(result) for result in expected]
    assert [(row["condition"], row["sir_db"]) for row in report["conditions"]] == [
        ("clean", None),
        ("talker", 5),
        ("talker", -5),
    ]
    assert (report["seed"], report["speakers"], report["recordings"], report["identity_level"]) == (3, 4, 12, "speaker")
    assert (report["model"], report["manifest"]) == (bundle, str(corpus / "train.tsv"))
    printed = capsys.readouterr().out
    assert "12 recordings of 4 speakers; trained on speaker identities; seed 3" in printed
    assert table(expected) in printed


def test_table():
    rows = [
        ConditionResult("clean", None, 0.0724, 0.05, 0.1049, 240, 57000, None),
        ConditionResult("talker", -5.0, 0.25, 0.2, 0.3, 240, 57000, 4.26),
    ]
    assert table(rows).splitlines() == [
        "condition         EER %    95 % interval  SI-SNRi dB   targets  non-targets",
        "clean               7.2      5.0 to 10.5           –       240        57000",
        "talker -5 dB       25.0     20.0 to 30.0         4.3       240        57000",
    ]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "train.spk").unlink(), "train.spk: no such file"),
        (lambda folder: (folder / "train.spk").write_text("one\n" * 11), "train.spk: has 11 lines"),
        (
            lambda folder: (folder / "train.spk").write_text("one\n" * 12),
            "train.tsv: has 1 speakers, expected 3 or more",
        ),
        (lambda folder: (folder / "s1_1.wav").write_bytes(b"noise"), "s1_1.wav: is not intact"),
    ],
)
def test_bad_input(bundle, corpus, capsys, spoil, message):
    spoil(corpus)
    assert main(["evaluate", "--model", bundle, "--manifest", str(corpus / "train.tsv")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
