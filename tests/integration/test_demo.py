"""The whole demo, small: the real synthesiser, fairseq-hydra-train, verification and page; then from what is there."""

import html
import json
import math
import shlex

import pytest

from csc_fairseq.cli.main import main
from csc_fairseq.demo.corpus import CorpusOptions
from csc_fairseq.demo.run import headlines, panels, run_demo
from csc_fairseq.demo.training import History
from csc_fairseq.verification.evaluation.results import Estimate, Result

SMALL = CorpusOptions(voices=24, utterances=3, validation=1)
ROWS = (
    "EER, clean",
    "EER, another talker at 0 dB",
    "SI-SNR improvement",
    "Mutual information, at least",
    "Other view, EER",
)


@pytest.mark.slow
def test_demo_runs_and_uses_again_what_is_there(tmp_path, capsys):
    page = run_demo(tmp_path / "run", SMALL, updates=20)
    first = capsys.readouterr().out
    assert all(row in first for row in ROWS)
    assert "used again" not in first
    text = page.read_text()
    assert text.count("data:image/png") == 7 and text.count("data:audio/wav") == 5
    assert all(row in text for row in ROWS) and f"task.data={tmp_path}/run/corpus" in text
    clean, talker = json.loads((tmp_path / "run" / "results.json").read_text())["results"]
    assert (clean["condition"], talker["condition"]) == ("clean", "talker 0 dB")
    assert clean["si_snri"] is None and math.isfinite(talker["si_snri"])
    # 8 held-out voices, 3 utterances, all ordered pairs; two of the 7 other voices interfere with each utterance.
    assert (clean["targets"], clean["nontargets"]) == (8 * 3 * 2, 8 * 3 * 5 * 3)
    assert clean["eer"]["low"] <= clean["eer"]["value"] <= clean["eer"]["high"]
    checkpoint = tmp_path / "run" / "train" / "checkpoints" / "checkpoint_last.pt"
    before = checkpoint.stat().st_mtime_ns
    command = html.unescape(text.split("<pre>")[1].split("</pre>")[0]).splitlines()[-1]
    assert main(shlex.split(command)[1:]) == 0  # the last one on the page: csc score ENROLMENT MIXTURE
    assert -1 <= float(capsys.readouterr().out.split()[0]) <= 1

    run_demo(tmp_path / "run", SMALL, updates=20)
    second = capsys.readouterr().out
    assert second.count("used again") == 3
    assert checkpoint.stat().st_mtime_ns == before
    table = [line for line in first.splitlines() if line.startswith(ROWS)]
    assert len(table) == 5 and table == [line for line in second.splitlines() if line.startswith(ROWS)]


def result(condition: str, targets: int, nontargets: int, eer: Estimate, si_snri: float | None) -> Result:
    """A result of which nothing else is known."""
    return Result("csc", condition, targets, nontargets, eer, {}, None, None, {}, None, None, si_snri, None, {})


def test_results_are_read_from_the_right_places():
    history = History()
    history.validation = [
        {"valid_num_updates": 100.0, "valid_bound": 0.1, "valid_view_eer": 40.0, "valid_bound_cap": 2.079},
        {"valid_num_updates": 200.0, "valid_bound": 1.234, "valid_view_eer": 12.345, "valid_bound_cap": 2.079},
    ]
    clean = result("clean", 200, 3000, Estimate(0.0312, 0.021, 0.048), None)
    talker = result("talker 0 dB", 201, 3001, Estimate(0.2, 0.15, 0.25), 4.25)
    rows = headlines([clean, talker], history)
    assert [row.name for row in rows] == list(ROWS)
    assert [row.value for row in rows] == ["3.1 %", "20.0 %", "+4.2 dB", "1.23 nats", "12.3 %"]
    assert "200 target and 3000 non-target" in rows[0].remark and "2.1 to 4.8 %" in rows[0].remark
    assert "201 target and 3001 non-target" in rows[1].remark and "15.0 to 25.0 %" in rows[1].remark
    assert (
        "of at most 2.08, the log of the 8 recordings in a batch" in rows[3].remark
        and "50 % by chance" in rows[4].remark
    )


def test_curves_come_from_training_and_validation():
    history = History()
    history.training = [{"num_updates": 10.0, "loss": 5.0, "query_loss": 4.0}]
    history.validation = [
        {
            "valid_num_updates": 50.0,
            "valid_loss": 3.0,
            "valid_query_loss": 2.0,
            "valid_si_snri": 1.0,
            "valid_bound": 0.5,
        }
    ]
    (_, loss), (_, query), (_, improvement), (_, bound) = panels(history)
    assert loss == {"training": [(10.0, 5.0)], "validation": [(50.0, 3.0)]}
    assert query == {"training": [(10.0, 4.0)], "validation": [(50.0, 2.0)]}
    assert improvement == {"validation": [(50.0, 1.0)]} and bound == {"validation": [(50.0, 0.5)]}


@pytest.mark.parametrize("updates", ["0", "19"])
def test_too_few_updates_are_refused(updates, tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "run"), "--updates", updates]) == 2
    assert f"csc demo: --updates {updates}: expected 20 or more" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_missing_packages_are_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("csc_fairseq.cli.demo.NEEDED", ("matplotlib", "no_such_package"))
    assert main(["demo", "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "needs no_such_package:" in error and "csc-fairseq[demo]" in error and error.count("\n") == 1
