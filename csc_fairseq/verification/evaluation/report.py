"""What an evaluation writes: results.json, results.md, figures as PNG, and all of it on one HTML page."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

import numpy as np

from csc_fairseq.page import STYLE, picture
from csc_fairseq.verification.evaluation.plots import det_curves, error_against_level, histograms
from csc_fairseq.verification.evaluation.result_folder import ResultFolder
from csc_fairseq.verification.evaluation.results import P_TARGETS, Difference, Result
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

MOST_PANELS = 4  # conditions with a DET figure: more would be too small to read


@dataclass(frozen=True)
class Report:
    """Everything that is reported.

    title: of the page. facts: what was done with what, for people, by name. settings: the same for programs. scores:
    float32 [n] by condition, then encoder; conditions that no encoder could take are left out. targets: bool [n].
    """

    title: str
    facts: Mapping[str, str]
    settings: Mapping[str, object]
    conditions: Sequence[Condition]
    results: Sequence[Result]
    differences: Sequence[Difference]
    scores: Mapping[str, Mapping[str, np.ndarray]]
    targets: np.ndarray

    @property
    def encoders(self) -> list[str]:
        """Names, in the order asked for."""
        return list(dict.fromkeys(result.encoder for result in self.results))

    def tables(self) -> list[Table]:
        """In reading order."""
        tables = [error_rates(self.results)]
        if len(self.encoders) > 1:
            tables.append(paired(self.differences, self.encoders[0]))
        tables.append(normalised(self.results))
        tables += [detection_costs(self.results, str(prior)) for prior in P_TARGETS]
        tables.append(calibrated(self.results, str(P_TARGETS[1])))
        tables += [separation(self.results), *(kinds_of_trials(self.results, encoder) for encoder in self.encoders)]
        return [table for table in tables if table is not None]

    def figures(self) -> dict[str, tuple[bytes, str]]:
        """(PNG, caption) by the name of a file."""
        first, *others = (condition for condition in self.conditions if condition.name in self.scores)
        # Encoders differ most at 0 dB, so these conditions come next, then the others in their order.
        by_level = sorted(others, key=lambda one: 0 not in (one.sir_db, one.snr_db))
        shown = {one.name: self.scores[one.name] for one in [first, *by_level][:MOST_PANELS]}
        found = {"det": (det_curves(shown, self.targets), "Detection error trade-off, axes in normal deviates")}
        levels = error_against_level(self.results, self.conditions)
        if levels is not None:
            found["levels"] = levels, "Equal error rate against the level of the interference, 95 % intervals"
        for condition, scores in list(shown.items())[:2]:
            image = histograms(scores, self.targets, condition)
            found[f"scores {condition}"] = image, f"Scores of targets and non-targets, {condition}"
        return found


def write_report(folder: ResultFolder, report: Report) -> Path:
    """Writes the files, each as a whole or not at all, removes figures of earlier conditions; returns the page's path."""
    results = {
        **report.settings,
        "results": [asdict(result) for result in report.results],
        "differences": [asdict(difference) for difference in report.differences],
    }
    folder.write("results.json", (json.dumps(results, indent=2) + "\n").encode())
    facts = "".join(f"- {name}: {text}\n" for name, text in report.facts.items())
    tables = report.tables()
    folder.write("results.md", "\n".join([f"# {report.title}\n\n{facts}", *(t.markdown() for t in tables)]).encode())
    figures = {f"{name.replace(' ', '_')}.png": figure for name, figure in report.figures().items()}
    folder.remove([name for name in folder.listed("*.png") if name not in figures])
    for name, (image, _) in figures.items():
        folder.write(name, image)
    items = "".join(f"<li>{escape(name)}: {escape(text)}</li>" for name, text in report.facts.items())
    body = [
        f"<h1>{escape(report.title)}</h1><ul>{items}</ul>",
        tables[0].html(),
        *(picture(*figure) for figure in figures.values()),
        *(table.html() for table in tables[1:]),
    ]
    head = f'<meta charset="utf-8"><title>{escape(report.title)}</title><style>{STYLE}</style>'
    page = (
        f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n<body>\n' + "\n".join(body) + "\n</body>\n</html>\n"
    )
    folder.write("report.html", page.encode())
    return folder.path / "report.html"
