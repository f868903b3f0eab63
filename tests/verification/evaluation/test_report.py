"""What an evaluation writes: tables by hand, the same bytes every time, figures that decode, and nothing unescaped."""

import base64
import io
import json
import warnings
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from csc_fairseq.verification.evaluation.plots import det_curves, error_against_level, histograms
from csc_fairseq.verification.evaluation.report import Report, write_report
from csc_fairseq.verification.evaluation.result_folder import LISTED, LOCK, ResultFolder
from csc_fairseq.verification.evaluation.results import Difference, Estimate, Result
from csc_fairseq.verification.evaluation.tables import (
    Table,
    calibrated,
    detection_costs,
    error_rates,
    kinds_of_trials,
    normalised,
    paired,
    separation,
)
from csc_fairseq.verification.trials.conditions import Condition

PNG = b"\x89PNG\r\n\x1a\n"
TABLE = Table(
    "A < B", "The note | of it", ["condition", "a|b", "<c>"], [["clean", "1.0", "2"], ["<i> 0 dB", "10.25", "&"]]
)
CONDITIONS = (
    Condition("clean"),
    Condition("noise 5 dB", noise="other", snr_db=5.0),
    Condition("talker 5 dB", talkers=1, sir_db=5.0),
    Condition("talker 0 dB", talkers=1, sir_db=0.0),
    Condition("half", talkers=1, sir_db=0.0, overlap=0.5),
)


def result(encoder="csc", condition="clean", rate=0.1, **others) -> Result:
    """A result whose EER has an interval of 2 points on each side."""
    empty = dict.fromkeys(("normalised", "cllr", "oracle", "wrong_stream", "si_snri", "sdri"))
    costs = {"0.01": Estimate(0.61234, 0.5, 0.75), "0.05": Estimate(0.4, 0.3, 0.5)}
    values = {
        "encoder": encoder,
        "condition": condition,
        "targets": 100,
        "nontargets": 900,
        "eer": Estimate(rate, rate - 0.02, rate + 0.02),
        "min_dcf": costs,
        "actual_dcf": {},
        "groups": {},
    }
    return Result(**{**empty, **values, **others})


def test_text_by_hand():
    assert TABLE.text().splitlines() == [
        "A < B",
        "condition  a|b    <c>",
        "clean      1.0    2",
        "<i> 0 dB   10.25  &",
    ]


def test_markdown_by_hand():
    assert TABLE.markdown().splitlines() == [
        "## A < B",
        "",
        "The note | of it",
        "",
        r"| condition | a\|b | <c> |",
        "| --- | --- | --- |",
        "| clean | 1.0 | 2 |",
        "| <i> 0 dB | 10.25 | & |",
    ]


def test_html_by_hand():
    assert TABLE.html() == (
        '<h2>A &lt; B</h2><p class="note">The note | of it</p><table>'
        "<tr><th>condition</th><th>a|b</th><th>&lt;c&gt;</th></tr>"
        '<tr><th scope="row">clean</th><td class="number">1.0</td><td class="number">2</td></tr>'
        '<tr><th scope="row">&lt;i&gt; 0 dB</th><td class="number">10.25</td><td class="number">&amp;</td></tr></table>'
    )


def test_error_rates_by_condition_and_encoder_in_the_order_asked_for():
    results = [result("b", "talker", 0.3), result("b", "clean", 0.12345), result("a", "talker", 0.2)]
    table = error_rates(results)
    assert table.columns == ["condition", "b", "a"]
    assert table.rows == [
        ["talker", "30.0 (28.0 to 32.0)", "20.0 (18.0 to 22.0)"],
        ["clean", "12.3 (10.3 to 14.3)", "–"],
    ]
    assert detection_costs(results[:1], "0.01").rows == [["talker", "0.612 (0.500 to 0.750)"]]
    assert detection_costs(results[:1], "0.05").rows == [["talker", "0.400 (0.300 to 0.500)"]]


def test_tables_of_what_was_not_measured_are_left_out():
    results = [result(), result("mfcc")]
    assert (normalised(results), calibrated(results, "0.05"), separation(results)) == (None, None, None)
    assert kinds_of_trials(results, "csc") is None


def test_normalised_and_calibrated_figures():
    one = result(normalised=Estimate(0.08, 0.06, 0.1), cllr=0.3456, actual_dcf={"0.01": 0.9, "0.05": 0.5})
    assert normalised([one]).rows == [["clean", "8.0 (6.0 to 10.0)"]]
    without = result("perfect")  # whose development scores cannot be calibrated
    assert calibrated([one, without], "0.05").rows == [["clean", "0.346, 0.500", "–"]]


def test_separation_is_of_those_who_separate():
    rates = {"oracle": Estimate(0.1, 0.05, 0.15), "wrong_stream": Estimate(0.25, 0.2, 0.3)}
    results = [result("mfcc", "talker"), result("csc", "talker", 0.2, si_snri=-1.26, sdri=3.5, **rates), result("csc")]
    assert separation(results).rows == [
        ["csc, talker", "-1.3", "+3.5", "20.0 (18.0 to 22.0)", "10.0 (5.0 to 15.0)", "25.0 (20.0 to 30.0)"]
    ]


def test_paired_differences_of_one_encoder():
    differences = [
        Difference("csc", "mfcc", "clean", Estimate(-0.0512, -0.08, 0.01), -0.256),
        Difference("mfcc", "csc", "clean", Estimate(0.0512, -0.01, 0.08), 0.344),
        Difference("csc", "perfect", "clean", Estimate(0.1, 0.05, 0.2), None),
    ]
    assert paired(differences, "csc").rows == [
        ["mfcc, clean", "-5.1 (-8.0 to +1.0)", "-26 %"],
        ["perfect, clean", "+10.0 (+5.0 to +20.0)", "–"],
    ]


def test_kinds_of_trials_of_one_encoder():
    groups = {"same gender": Estimate(0.2, 0.1, 0.3), "gender=f": Estimate(0.25, 0.1, 0.4)}
    results = [
        result(groups={"same gender": groups["same gender"]}),
        result("mfcc", groups=groups),
        result("csc", "talker", groups=groups),
    ]
    table = kinds_of_trials(results, "csc")
    assert table.columns == ["condition", "same gender", "gender=f"]
    assert table.rows == [
        ["clean", "20.0 (10.0 to 30.0)", "–"],
        ["talker", "20.0 (10.0 to 30.0)", "25.0 (10.0 to 40.0)"],
    ]


class Page(HTMLParser):
    """Collects elements and text; fails on tags that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.open = "", []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


OWN = {LISTED, LOCK}
NASTY = "<script>alert('$x^$')</script> & \"é|"


@pytest.fixture(scope="module")
def report() -> Report:
    """Two encoders, the second of which knows clean trials alone."""
    rng = np.random.default_rng(0)
    targets = np.arange(60) < 20
    results = [result(NASTY, condition.name, 0.1 + 0.05 * i) for i, condition in enumerate(CONDITIONS)]
    scores = {one.name: {NASTY: (targets + rng.standard_normal(60)).astype(np.float32)} for one in CONDITIONS}
    scores["clean"]["file"] = rng.standard_normal(60).astype(np.float32)
    scores["half"][NASTY][::7] = np.nan
    return Report(
        title=f"Title of {NASTY}",
        facts={"trials": f"20 of {NASTY}", "seed": "0"},
        settings={"settings": {"seed": 0, "out": "o"}, "targets": 20},
        conditions=CONDITIONS,
        results=[*results, result("file", "clean", 0.3)],
        differences=[Difference(NASTY, "file", "clean", Estimate(-0.2, -0.3, -0.1), -0.5)],
        scores=scores,
        targets=targets,
    )


@pytest.fixture(scope="module")
def written(report, tmp_path_factory) -> Path:
    """The folder of its files."""
    folder = tmp_path_factory.mktemp("report")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of matplotlib, about labels and limits
        assert write_report_to(folder, report) == folder / "report.html"
    return folder


def write_report_to(folder: Path, report: Report) -> Path:
    with ResultFolder(folder) as results:
        return write_report(results, report)


def test_files_are_complete(report, written):
    pictures = {"det.png", "levels.png", "scores_clean.png", "scores_talker_0_dB.png"}
    assert {path.name for path in written.iterdir()} - OWN == {"results.json", "results.md", "report.html"} | pictures
    for name in pictures:
        content = (written / name).read_bytes()
        assert content.startswith(PNG) and imread(io.BytesIO(content)).std() > 0.01
    results = json.loads((written / "results.json").read_text(), parse_constant=pytest.fail)
    assert results == {
        **report.settings,
        "results": [asdict(one) for one in report.results],
        "differences": [asdict(one) for one in report.differences],
    }
    text = (written / "results.md").read_text()
    assert text.startswith(f"# Title of {NASTY}\n\n- trials: 20 of {NASTY}\n- seed: 0\n\n## Equal error rate")
    assert all(table.markdown() in text for table in report.tables())


def test_the_page_needs_no_other_file_and_is_escaped(report, written):
    page = Page((written / "report.html").read_text())
    tags = [tag for tag, _ in page.elements]
    assert "script" not in tags and page.text.count(NASTY) > 4
    assert (
        page.elements[:2] == [("html", {"lang": "en"}), ("head", {})]
        and ("meta", {"charset": "utf-8"}) in page.elements
    )
    sources = [attributes["src"] for tag, attributes in page.elements if tag == "img"]
    embedded = [base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True) for source in sources]
    assert sorted(embedded) == sorted(path.read_bytes() for path in written.glob("*.png"))
    assert not any(name in ("href", "src") for tag, attributes in page.elements if tag != "img" for name in attributes)
    assert tags.count("table") == len(report.tables()) == 4
    for table in report.tables():
        assert table.html() in (written / "report.html").read_text()


def test_the_same_report_gives_the_same_bytes(report, written, tmp_path):
    write_report_to(tmp_path, replace(report, results=report.results[-1:], differences=[]))
    write_report_to(tmp_path, report)
    first, second = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in (written, tmp_path))
    assert first == second


def test_embeddings_from_a_file_alone_have_a_report(report, tmp_path):
    """Of a grid of conditions they know one."""
    alone = replace(report, results=report.results[-1:], scores={"clean": {"file": report.scores["clean"]["file"]}})
    write_report_to(tmp_path, replace(alone, differences=[]))
    assert {path.name for path in tmp_path.glob("*.png")} == {"det.png", "scores_clean.png"}


def test_levels_are_drawn_where_there_are_two(report):
    """Noise has one level here, and half an overlap is no level of talkers."""
    few = [one for one in CONDITIONS if one.name != "talker 0 dB"]
    assert error_against_level(report.results, few) is None
    drawn = error_against_level(report.results, CONDITIONS)
    assert drawn.startswith(PNG)
    assert drawn == error_against_level(report.results, CONDITIONS[::-1])  # levels are sorted
    further = [
        result(one.encoder, one.condition, one.eer.value + 0.1 * (one.condition == "talker 0 dB"))
        for one in report.results
    ]
    assert error_against_level(further, CONDITIONS) != drawn
    further[-2] = result(NASTY, "half", 0.9)
    assert error_against_level(further, CONDITIONS) == error_against_level(further[:-2] + further[-1:], CONDITIONS)


def test_figures_show_the_scores(report):
    """One panel a condition and an encoder, and other pictures for other scores."""
    targets = report.targets
    one = report.scores["clean"]
    wide, narrow = (imread(io.BytesIO(det_curves(scores, targets))) for scores in (report.scores, {"clean": one}))
    assert wide.shape[1] > 4 * narrow.shape[1] > 4 * 300
    assert histograms(one, targets, "clean") != histograms(one, ~targets, "clean")
    assert det_curves({"clean": one}, targets) != det_curves({"clean": one}, ~targets)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert histograms({"constant": np.ones(60, dtype=np.float32)}, targets, "clean").startswith(PNG)
