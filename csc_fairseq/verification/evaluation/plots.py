"""Figures of the benchmark's report: DET curves, error rates against levels, histograms of scores."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm

from csc_fairseq.page import png
from csc_fairseq.verification.evaluation.results import Result
from csc_fairseq.verification.metrics.error_rates import det_points
from csc_fairseq.verification.trials.conditions import Condition

DET_TICKS = (0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95)
DET_RANGE = (0.0005, 0.99)
SIDE_BY_SIDE = 3.6  # inches, width of a panel


def det_curves(scores: Mapping[str, Mapping[str, np.ndarray]], targets: np.ndarray) -> bytes:
    """One panel a condition, one curve an encoder, both axes in normal deviates. scores: by condition, then encoder."""
    figure = Figure(figsize=(SIDE_BY_SIDE * len(scores), SIDE_BY_SIDE))
    for axes, (condition, found) in zip(_panels(figure, len(scores)), scores.items(), strict=True):
        for name, own in found.items():
            valid = np.isfinite(own)
            false_alarms, misses, _ = det_points(own[targets & valid], own[~targets & valid])
            axes.plot(
                *(norm.ppf(np.clip(rates, *DET_RANGE)) for rates in (false_alarms, misses)), label=_plain(name), lw=1.3
            )
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks(norm.ppf(DET_TICKS), [f"{100 * tick:g}" for tick in DET_TICKS])
        axes.set_xlim(*norm.ppf(DET_RANGE))
        axes.set_ylim(*norm.ppf(DET_RANGE))
        _label(axes, condition, "false alarms, %", "misses, %")
    return png(figure)


def error_against_level(results: Sequence[Result], conditions: Sequence[Condition]) -> bytes | None:
    """EER with its interval against SIR or SNR, one panel a kind of interference, one line an encoder.

    None where no kind has two levels.
    """
    of = {(result.encoder, result.condition): result.eer for result in results}
    measured = {result.condition for result in results}
    kinds: dict[str, list[tuple[float, str]]] = {}
    for condition in conditions:
        for kind, level in _levels(condition) if condition.name in measured else []:
            kinds.setdefault(kind, []).append((level, condition.name))
    kinds = {kind: sorted(levels) for kind, levels in kinds.items() if len(levels) > 1}
    if not kinds:
        return None
    any_level = next(iter(kinds.values()))[0][1]  # embeddings from a file have no level, all other encoders have all
    names = [name for name in dict.fromkeys(result.encoder for result in results) if (name, any_level) in of]
    figure = Figure(figsize=(SIDE_BY_SIDE * len(kinds), SIDE_BY_SIDE))
    for axes, (kind, levels) in zip(_panels(figure, len(kinds)), kinds.items(), strict=True):
        for number, name in enumerate(names):
            rates = 100 * np.array([[of[name, key].value, of[name, key].low, of[name, key].high] for _, key in levels])
            # Shifted a little, or the intervals of two encoders would hide each other.
            places = np.array([level for level, _ in levels]) + 0.25 * (number - (len(names) - 1) / 2)
            bars = np.abs(rates[:, 1:] - rates[:, :1]).T
            axes.errorbar(places, rates[:, 0], yerr=bars, label=_plain(name), marker="o", ms=3, lw=1.3, capsize=2)
        axes.set_ylim(bottom=0)
        _label(axes, kind, "dB", "EER, %")
    return png(figure)


def _levels(condition: Condition) -> list[tuple[str, float]]:
    """[(kind of interference, its level in dB)] for a condition with one kind of interference, [] for others."""
    alone = not condition.rir and not condition.mixed_enrolment and condition.overlap == 1
    if alone and condition.noise is None and condition.talkers:
        plural = "s" if condition.talkers > 1 else ""
        return [(f"{condition.talkers} other talker{plural}, SIR", condition.sir_db)]
    if alone and condition.noise is not None and not condition.talkers:
        return [(f"{condition.noise} noise, SNR", condition.snr_db)]
    return []


def histograms(scores: Mapping[str, np.ndarray], targets: np.ndarray, condition: str) -> bytes:
    """Densities of target and non-target scores, one panel an encoder."""
    figure = Figure(figsize=(SIDE_BY_SIDE * len(scores), 0.8 * SIDE_BY_SIDE))
    for axes, (name, own) in zip(_panels(figure, len(scores)), scores.items(), strict=True):
        low, high = float(np.nanmin(own)), float(np.nanmax(own))
        edges = np.linspace(low, max(high, low + 1e-6), 60)  # an encoder may give all trials one score
        for label, chosen in (("non-targets", ~targets), ("targets", targets)):
            axes.hist(own[chosen], edges, density=True, alpha=0.55, label=label)
        _label(axes, f"{_plain(name)}, {condition}", "score", "density")
    return png(figure)


def _plain(name: str) -> str:
    """An encoder's name, safe for matplotlib, which takes text between dollars for a formula."""
    return name.replace("$", r"\$")


def _panels(figure: Figure, count: int) -> np.ndarray:
    return figure.subplots(1, count, squeeze=False)[0]


def _label(axes: Axes, title: str, below: str, beside: str) -> None:
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(below, fontsize=8)
    axes.set_ylabel(beside, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=6.5)
    axes.get_figure(root=True).tight_layout()
