"""How `csc find` and `csc extract` decide: by a calibration, by a cosine of the user's, or not at all."""

import argparse
from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from csc_fairseq.cli.decision_options import NO_THRESHOLD, POINT, Decider, add_decision_arguments, load_decider
from csc_fairseq.errors import InputError

if TYPE_CHECKING:
    from csc_fairseq.inference.embedding_model import EmbeddingModel


class Acceptance(NamedTuple):
    """decider: of a calibration. threshold: the least cosine of the voice. Neither: nothing is decided."""

    decider: Decider | None
    threshold: float | None

    @property
    def decides(self) -> bool:
        """Whether anything is decided."""
        return self.decider is not None or self.threshold is not None

    def accepts(self, cosine: float) -> bool:
        """Whether it is the voice."""
        if self.decider is not None:
            return self.decider.point.accepts(float(self.decider.calibration.llr(cosine)))
        return cosine >= self.threshold

    def scores(self, cosine: float) -> list[str]:
        """The cosine, and with a calibration its log-likelihood ratio, as columns; see `columns`."""
        llr = [] if self.decider is None else [f"{float(self.decider.calibration.llr(cosine)):+z.2f}"]
        return [f"{cosine:.4f}", *llr]

    @property
    def columns(self) -> list[str]:
        """Names of what `scores` gives."""
        return ["cosine"] if self.decider is None else ["cosine", "llr"]

    def remarks(self, heard: Collection[float], enrolments: Collection[int]) -> list[str]:
        """See `Decider.remarks`; none without a calibration."""
        return [] if self.decider is None else self.decider.remarks(heard, enrolments)

    def __str__(self) -> str:
        """How it was decided; one line."""
        if self.decider is not None:
            return str(self.decider)
        if self.threshold is not None:
            return f"a cosine of {self.threshold:g} and above counts as the voice, as --threshold says"
        return f"{NO_THRESHOLD}, or a cosine from trials of your own with --threshold"


def add_acceptance_arguments(parser: argparse.ArgumentParser, prior: str, fitted: str) -> None:
    """--calibration and what belongs to it, and --threshold. prior, fitted: as of `add_decision_arguments`."""
    add_decision_arguments(parser, prior, fitted)
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="COSINE",
        help="in place of a calibration: the least cosine of the voice. None is right for all recordings",
    )


def load_acceptance(arguments: argparse.Namespace, model: "EmbeddingModel") -> Acceptance:
    """What the options say: --threshold comes before the calibration of a bundle.

    InputError as of `load_decider`; a threshold beside --calibration or what belongs to it, or one that is no cosine.
    """
    if arguments.threshold is None:
        return Acceptance(load_decider(arguments, model), None)
    for name in ("calibration", *POINT):
        if getattr(arguments, name) is not None:
            raise InputError(f"--threshold and --{name.replace('_', '-')}: give one of them")
    if not -1 <= arguments.threshold <= 1:
        raise InputError(f"--threshold {arguments.threshold:g}: expected a cosine, from -1 to 1")
    return Acceptance(None, arguments.threshold)
