"""Options of all verbs that decide: a calibration, how often targets come, and what errors cost."""

import argparse
from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from csc_fairseq.errors import InputError

if TYPE_CHECKING:
    from csc_fairseq.decisions.calibration_file import ModelCalibration
    from csc_fairseq.decisions.decision import OperatingPoint
    from csc_fairseq.inference.embedding_model import EmbeddingModel

NO_THRESHOLD = (
    "no threshold is right for all recordings, so nothing is decided; for decisions, fit a calibration on recordings like these "
    "(csc calibrate) and give it with --calibration"
)
POINT = ("prior", "cost_miss", "cost_false_alarm")


class Decider(NamedTuple):
    """What turns scores into decisions."""

    calibration: "ModelCalibration"
    point: "OperatingPoint"

    def verdict(self, score: float) -> str:
        """What a cosine of an enrolled voice and a talker means; one line."""
        llr = float(self.calibration.llr(score))
        decision = "the same voice" if self.point.accepts(llr) else "not the same voice"
        return f"log-likelihood ratio {llr:+z.2f}: {decision}; probability of the same voice {self.point.posterior(llr):.3f}"

    def remarks(self, heard: Collection[float], enrolments: Collection[int]) -> list[str]:
        """A line that begins with # where the calibration is of something else; see `Domain.unlike`, also for the arguments."""
        unlike = self.calibration.domain.unlike(heard, enrolments)
        return [] if unlike is None else [f"# {unlike}"]

    def __str__(self) -> str:
        """At which prior and costs, and for which recordings; one line."""
        return f"{self.point}; calibrated on {self.calibration.domain}"


def add_decision_arguments(
    parser: argparse.ArgumentParser, prior: str = "that the voices are the same", fitted: str = ""
) -> None:
    """--calibration, --prior, --cost-miss and --cost-false-alarm. For the help: prior: of what it is the probability; fitted: how
    the calibration should be.
    """
    parser.add_argument(
        "--calibration",
        metavar="JSON",
        help="of `csc calibrate`, for this model: prints log-likelihood ratios and decides (default: the bundle's, if it has one)"
        + (fitted and f"; {fitted}"),
    )
    parser.add_argument(
        "--prior", type=float, metavar="P", help=f"probability {prior}, before anything is heard (default: 0.5)"
    )
    parser.add_argument("--cost-miss", type=float, metavar="C", help="what it costs to miss a voice (default: 1)")
    parser.add_argument(
        "--cost-false-alarm", type=float, metavar="C", help="what it costs to accept another voice (default: 1)"
    )


def load_decider(arguments: argparse.Namespace, model: "EmbeddingModel") -> Decider | None:
    """What the options say, for the model of --model; None without a calibration, of an option or of the model's bundle.

    InputError: impossible values, values without a calibration, a faulty calibration or one of another model.
    """
    given = {name: getattr(arguments, name) for name in POINT if getattr(arguments, name) is not None}
    if arguments.calibration is None and model.calibration is None:
        for name, value in given.items():
            raise InputError(
                f"--{name.replace('_', '-')} {value:g}: is for decisions, which need a calibration; give --calibration"
            )
        return None
    from csc_fairseq.decisions.calibration_file import parse_calibration, read_calibration
    from csc_fairseq.decisions.decision import OperatingPoint
    from csc_fairseq.decisions.model_identity import ModelIdentity

    point = OperatingPoint(**given)
    identity = ModelIdentity.of(model, arguments.model)
    if arguments.calibration is not None:
        return Decider(read_calibration(arguments.calibration, identity), point)
    return Decider(parse_calibration(model.calibration, f"{arguments.model}, its calibration", identity), point)
