"""Tables of the benchmark, as Markdown, as HTML and as plain text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from csc_fairseq.verification.evaluation.results import Difference, Estimate, Result

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
        """With its title as a heading and its note; all texts are escaped."""
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
    """A figure that is not a share, with its interval: "0.612 (0.580 to 0.641)"."""
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def error_rates(results: Sequence[Result]) -> Table:
    """The headline: EER by condition and encoder."""
    return _by_condition(
        results,
        "Equal error rate, % (95 % interval)",
        "The same trials everywhere; the score is the cosine of the enrolled voice and the most similar stream, or a sum of two "
        "such scores. Intervals are "
        "from resampled speakers, so they say how far other speakers of the kind would differ. Lower is better, 50 is chance.",
        lambda result: percent(result.eer),
    )


def detection_costs(results: Sequence[Result], prior: str) -> Table:
    """Minimum detection costs at one prior."""
    return _by_condition(
        results,
        f"Minimum detection cost at a target prior of {prior} (95 % interval)",
        "Misses and false alarms cost the same; divided by the cost of the better constant answer, so 1 is useless.",
        lambda result: plain(result.min_dcf[prior]),
    )


def normalised(results: Sequence[Result]) -> Table | None:
    """EER after score normalisation; None without a cohort."""
    if all(result.normalised is None for result in results):
        return None
    return _by_condition(
        results,
        "Equal error rate after score normalisation, % (95 % interval)",
        "AS-norm: scores relative to those of the most similar speakers of the cohort, on both sides.",
        lambda result: NOTHING if result.normalised is None else percent(result.normalised),
    )


def calibrated(results: Sequence[Result], prior: str) -> Table | None:
    """Costs of calibrated scores; None without a calibration."""
    if all(result.cllr is None for result in results):
        return None
    return _by_condition(
        results,
        f"Calibrated on the development speakers: C_llr, and actual detection cost at a target prior of {prior}",
        "C_llr in bits: 0 is perfect, 1 says nothing. One calibration for all conditions. An actual cost far above the minimum "
        "one means thresholds that do not carry over.",
        lambda result: NOTHING if result.cllr is None else f"{result.cllr:.3f}, {result.actual_dcf[prior]:.3f}",
    )


def separation(results: Sequence[Result]) -> Table | None:
    """What encoders that separate do to mixtures; None if no encoder separates."""
    mixed = [result for result in results if result.si_snri is not None]
    if not mixed:
        return None
    rows = [
        [
            f"{result.encoder}, {result.condition}",
            f"{result.si_snri:+.1f}",
            f"{result.sdri:+.1f}",
            percent(result.eer),
            percent(result.oracle),
            percent(result.wrong_stream),
        ]
        for result in mixed
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
    """EER differences of one encoder to each of the others."""
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


def kinds_of_trials(results: Sequence[Result], encoder: str) -> Table | None:
    """Error rates of one encoder by kind of trial; None where no kinds are known."""
    own = [result for result in results if result.encoder == encoder and result.groups]
    if not own:
        return None
    kinds = list(dict.fromkeys(kind for result in own for kind in result.groups))
    return Table(
        f"Kinds of trials, {encoder}",
        "EER, % (95 % interval). same …: non-targets whose two speakers agree in it; cross …: disagree; all targets in both. "
        "name=value: both sides are that.",
        ["condition", *kinds],
        [
            [result.condition, *(percent(result.groups[kind]) if kind in result.groups else NOTHING for kind in kinds)]
            for result in own
        ],
    )


def _by_condition(results: Sequence[Result], title: str, note: str, show: Callable[[Result], str]) -> Table:
    encoders = list(dict.fromkeys(result.encoder for result in results))
    texts = {(result.condition, result.encoder): show(result) for result in results}
    conditions = dict.fromkeys(result.condition for result in results)
    rows = [
        [condition, *(texts.get((condition, encoder), NOTHING) for encoder in encoders)] for condition in conditions
    ]
    return Table(title, note, ["condition", *encoders], rows)
