"""`csc find`: where does this voice speak?"""

import argparse
from pathlib import Path

from csc_fairseq.cli.acceptance import add_acceptance_arguments, load_acceptance
from csc_fairseq.cli.model_options import add_model_arguments, add_resample_argument, load_model
from csc_fairseq.errors import InputError
from csc_fairseq.inference.durations import LENGTH

SUMMARY = "say where one voice speaks in recordings, from when to when"
EXAMPLE = """\
csc find anna_1.wav anna_2.wav --in meeting.wav --model csc.pt --calibration csc.calibration.json --prior 0.2
csc find anna_1.wav --in monday.wav tuesday.wav --model csc.pt --threshold 0.6
csc find anna_1.wav --in meeting.wav --model csc.pt     # every window with its cosine, nothing is decided"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this verb."""
    parser.add_argument("enrol", nargs="*", metavar="ENROL", help="recordings of this voice alone; they are averaged")
    parser.add_argument(
        "--in",
        dest="recordings",
        nargs="+",
        action="extend",
        required=True,
        metavar="REC",
        help="recordings of any length, in which others may talk at the same time",
    )
    add_model_arguments(parser)
    add_acceptance_arguments(
        parser,
        f"that the voice is heard in a window of {LENGTH:g} s",
        f"fit it with --seconds {LENGTH:g}, and --enrol-utterances as many as recordings ENROL",
    )
    add_resample_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints a table with a line for each stretch, columns separated by tabs. Lines that begin with # are not of it.

    A voice that is nowhere is an answer, too: status 0.
    """
    from tqdm import tqdm

    from csc_fairseq.data.audio import probe, require_format
    from csc_fairseq.decisions.enrolment import voice_of
    from csc_fairseq.diarization.finding import find_voice, window_stretches

    if not arguments.enrol:
        raise InputError(
            "no recording of the voice; give them first, as all after --in are searched: csc find ENROL... --in REC..."
        )
    model = load_model(arguments)
    acceptance = load_acceptance(arguments, model)
    for file in arguments.recordings:  # all, before the first of them takes long
        require_format(file, probe(file), model.sample_rate, arguments.resample)
    enrolled = voice_of(model, arguments.enrol, arguments.resample)
    voice, heard_seconds = enrolled.centre, set()
    print("recording", "start", "end", *acceptance.columns, sep="\t")
    files = tqdm(arguments.recordings, desc="find", unit="file", leave=False, disable=None)
    for file in files:
        windows = model.windows(Path(file), resample=arguments.resample)
        heard_seconds.add(windows.length / windows.sample_rate)
        heard = window_stretches(windows, voice)
        found = find_voice(windows, voice, acceptance.accepts) if acceptance.decides else heard
        for one in found:
            tqdm.write("\t".join([file, f"{one.start:.2f}", f"{one.end:.2f}", *acceptance.scores(one.cosine)]))
        if not heard:
            tqdm.write(f"# {file}: no voice was found in it")
        elif not found:
            best = max(heard, key=lambda one: one.cosine)
            tqdm.write(
                f"# {file}: the voice is not found; the most similar window, {best.start:.2f} to {best.end:.2f} s, has "
                + ", ".join(
                    f"{name} {score}"
                    for name, score in zip(acceptance.columns, acceptance.scores(best.cosine), strict=True)
                )
            )
    print(*acceptance.remarks(heard_seconds, [len(enrolled.enrolments)]), f"# {acceptance}", sep="\n")
    return 0
