"""Tables of the benchmark, once as Markdown and once as HTML."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from csc_fairseq.verification.cells import Cell, Difference, Estimate

NOTHING = "–"


@dataclass(frozen=True)
class Table:
    """A table of texts. note: how to read it."""

    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """With its title as a heading."""
        lines = [_line(self.columns), _line(["---"] * len(self.columns)), *map(_line, self.rows)]
        return f"## {self.title}\n\n{self.note}\n\n" + "\n".join(lines) + "\n"

    def text(self) -> str:
        """For a terminal, columns aligned, without the note."""
        lines = [self.columns, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.columns))]
        aligned = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in lines]
        return "\n".join([self.title, *(line.rstrip() for line in aligned)])

    def html(self) -> str:
        """The same."""
        head = "".join(f"<th>{escape(text)}</th>" for text in self.columns)
        body = "".join(
            f'<tr><th scope="row">{escape(row[0])}</th>'
            + "".join(f'<td class="number">{escape(text)}</td>' for text in row[1:])
            + "</tr>"
            for row in self.rows
        )
        note = f'<p class="note">{escape(self.note)}</p>'
        return f"<h2>{escape(self.title)}</h2>{note}<table><tr>{head}</tr>{body}</table>"


def _line(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


def percent(estimate: Estimate) -> str:
    """A share as per cent with its interval: "12.0 (9.6 to 14.7)"."""
    return f"{100 * estimate.value:.1f} ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"


def plain(estimate: Estimate) -> str:
    """The same for a figure that is no share: "0.612 (0.580 to 0.641)"."""
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def error_rates(cells: Sequence[Cell]) -> Table:
    """The headline: EER by condition and encoder."""
    return _by_condition(
        cells,
        "Equal error rate, % (95 % interval)",
        "The same trials everywhere; the score is the cosine of the enrolled voice and the most similar stream. Intervals are "
        "from resampled speakers, so they say how far other speakers of the kind would differ. Lower is better, 50 is chance.",
        lambda cell: percent(cell.eer),
    )


def detection_costs(cells: Sequence[Cell], prior: str) -> Table:
    """Minimum detection costs at one prior."""
    return _by_condition(
        cells,
        f"Minimum detection cost at a target prior of {prior} (95 % interval)",
        "Misses and false alarms cost the same; divided by the cost of the better constant answer, so 1 is useless.",
        lambda cell: plain(cell.min_dcf[prior]),
    )


def normalised(cells: Sequence[Cell]) -> Table | None:
    """EER after score normalisation; None without a cohort."""
    if all(cell.normalised is None for cell in cells):
        return None
    return _by_condition(
        cells,
        "Equal error rate after score normalisation, % (95 % interval)",
        "AS-norm: scores relative to those of the most similar speakers of the cohort, on both sides.",
        lambda cell: percent(cell.normalised),
    )


def calibrated(cells: Sequence[Cell], prior: str) -> Table | None:
    """Costs of calibrated scores; None without a calibration."""
    if all(cell.cllr is None for cell in cells):
        return None
    return _by_condition(
        cells,
        f"Calibrated on the development speakers: C_llr, and actual detection cost at a target prior of {prior}",
        "C_llr in bits: 0 is perfect, 1 says nothing. One calibration for all conditions. An actual cost far above the minimum "
        "one means thresholds that do not carry over.",
        lambda cell: NOTHING if cell.cllr is None else f"{cell.cllr:.3f}, {cell.actual_dcf[prior]:.3f}",
    )


def separation(cells: Sequence[Cell]) -> Table | None:
    """What encoders that separate do to mixtures; None where none does."""
    mixed = [cell for cell in cells if cell.si_snri is not None]
    if not mixed:
        return None
    rows = [
        [
            f"{cell.encoder}, {cell.condition}",
            f"{cell.si_snri:+.1f}",
            f"{cell.sdri:+.1f}",
            percent(cell.eer),
            percent(cell.oracle),
            percent(cell.wrong_stream),
        ]
        for cell in mixed
    ]
    return Table(
        "Separation",
        "Improvements in dB over the mixture, mean over its talkers. Oracle: EER if the test speaker's stream were known. "
        "Wrong stream: EER of that stream against the interferer's, for the voice that is really there: whether the streams of "
        "one mixture are told apart.",
        ["encoder, condition", "SI-SNRi", "SDRi", "EER, best stream", "EER, oracle stream", "wrong stream"],
        rows,
    )


def paired(differences: Sequence[Difference], encoder: str) -> Table:
    """One encoder against the others."""
    rows = [
        [
            f"{difference.other}, {difference.condition}",
            f"{100 * difference.eer.value:+.1f} ({100 * difference.eer.low:+.1f} to {100 * difference.eer.high:+.1f})",
            NOTHING if difference.relative is None else f"{100 * difference.relative:+.0f} %",
        ]
        for difference in differences
        if difference.encoder == encoder
    ]
    return Table(
        f"{encoder} against the others",
        "EER of this encoder less that of the other one, in points, on the same resampled speakers: negative is better, and an "
        "interval without 0 is a difference that other speakers would show as well.",
        ["other encoder, condition", "difference (95 % interval)", "relative"],
        rows,
    )


def kinds_of_trials(cells: Sequence[Cell], encoder: str) -> Table | None:
    """Error rates of one encoder by kind of trial; None where no kinds are known."""
    own = [cell for cell in cells if cell.encoder == encoder and cell.groups]
    if not own:
        return None
    kinds = list(dict.fromkeys(kind for cell in own for kind in cell.groups))
    return Table(
        f"Kinds of trials, {encoder}",
        "EER, % (95 % interval). same …: non-targets whose two speakers agree in it; cross …: disagree; all targets in both. "
        "name=value: both sides are that.",
        ["condition", *kinds],
        [
            [cell.condition, *(percent(cell.groups[kind]) if kind in cell.groups else NOTHING for kind in kinds)]
            for cell in own
        ],
    )


def _by_condition(cells: Sequence[Cell], title: str, note: str, show: Callable[[Cell], str]) -> Table:
    encoders = list(dict.fromkeys(cell.encoder for cell in cells))
    texts = {(cell.condition, cell.encoder): show(cell) for cell in cells}
    conditions = dict.fromkeys(cell.condition for cell in cells)
    rows = [
        [condition, *(texts.get((condition, encoder), NOTHING) for encoder in encoders)] for condition in conditions
    ]
    return Table(title, note, ["condition", *encoders], rows)
