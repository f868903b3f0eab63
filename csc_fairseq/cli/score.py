"""`csc score`: is it the same voice?"""

import argparse

from csc_fairseq.cli.decision_options import NO_THRESHOLD, add_decision_arguments, load_decider
from csc_fairseq.cli.model_options import add_model_arguments, add_resample_argument, load_model
from csc_fairseq.inference.durations import LENGTH, LONG

SUMMARY = "print how alike the voices of two recordings are"
EXAMPLE = f"""\
csc score enrol.wav test.wav --model checkpoint_best.pt
# 0.8123 is the first word that is printed
csc score enrol.wav meeting.wav --model checkpoint_best.pt
# 0.8123 at 754.0 s: of a recording over {LONG:g} s, where the window of {LENGTH:g} s begins in which the voice was found
csc score enrol.wav test.wav --model csc.pt --calibration csc.calibration.json --prior 0.1"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this verb."""
    parser.add_argument("enrol", help="recording of one voice")
    parser.add_argument("test", help="recording in which that voice is looked for, others may talk at the same time")
    add_model_arguments(parser)
    add_decision_arguments(parser)
    add_resample_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the cosine in [-1, 1], the largest over the talkers of the test recording; of one over LONG s, over its windows of
    LENGTH s, and the second at which the best one begins. Then, with a calibration, what the cosine means; without one, in a line
    that begins with #, that no threshold is right for all recordings.
    """
    model = load_model(arguments)
    decider = load_decider(arguments, model)
    found = model.best_match(arguments.enrol, arguments.test, resample=arguments.resample)
    print(f"{found.cosine:.4f}" + ("" if found.seconds is None else f" at {found.seconds:.1f} s"))
    if decider is None:
        print(f"# {NO_THRESHOLD}")
    else:
        print(decider.verdict(found.cosine))
        if found.seconds is not None:
            print("# the best of many windows: the longer a recording, the higher is its score by chance")
            for line in decider.remarks([LENGTH], [1]):
                print(line)
        print(decider)
    return 0
