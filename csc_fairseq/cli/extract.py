"""`csc extract`: one voice out of a recording, or the word absent."""

import argparse
from pathlib import Path

from csc_fairseq.cli.acceptance import add_acceptance_arguments, load_acceptance
from csc_fairseq.cli.model_options import add_model_arguments, add_resample_argument, load_model
from csc_fairseq.errors import InputError

SUMMARY = "draw one voice out of a recording, or say that it is absent"
EXAMPLE = """\
csc extract mix.wav --enrol anna_1.wav anna_2.wav --model csc.pt --calibration csc.calibration.json --prior 0.5 --out anna.wav
csc extract mix.wav --enrol anna_1.wav --model csc.pt --threshold 0.5 --out anna.wav
csc extract mix.wav --enrol anna_1.wav --model csc.pt --out anna.wav     # the most similar talker, nothing is decided"""
ABSENT = "absent"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this verb."""
    parser.add_argument("mix", metavar="MIX", help="recording of any length, in which others may talk at the same time")
    parser.add_argument(
        "--enrol",
        nargs="+",
        action="extend",
        required=True,
        metavar="ENROL",
        help="recordings of this voice alone; they are averaged",
    )
    add_model_arguments(parser)
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="WAV",
        help="file to write; if the voice is absent, one of an earlier command is removed",
    )
    add_acceptance_arguments(parser, "that the voice is in the recording")
    add_resample_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the file that was written, or the word absent, then how that was decided in lines that begin with #.

    Both are answers: status 0. Nobody speaks at all: absent, whatever the options.
    """
    from csc_fairseq.data.audio import write_wav
    from csc_fairseq.diarization.enrolment import enrolled_voice
    from csc_fairseq.diarization.extraction import extract_voice
    from csc_fairseq.files import replacing

    out = arguments.out
    if out.suffix.lower() != ".wav":
        raise InputError(f"{out}: expected a name that ends in .wav")
    if out.resolve() in {Path(file).resolve() for file in (arguments.mix, *arguments.enrol)}:
        raise InputError(f"{out}: is one of the recordings and would be overwritten; choose another --out")
    model = load_model(arguments)
    model.require_separation()
    acceptance = load_acceptance(arguments, model)
    voice = enrolled_voice(model, arguments.enrol, arguments.resample)
    found = extract_voice(model, arguments.mix, voice, arguments.resample)
    if found is None or (acceptance.decides and not acceptance.accepts(found.cosine)):
        out.unlink(missing_ok=True)
        print(ABSENT)
    else:
        with replacing(out) as temporary:
            write_wav(temporary, found.samples, model.sample_rate)
        print(out)
    if found is None:
        print(f"# {arguments.mix}: nobody speaks in it")
        return 0
    scores = zip(acceptance.columns, acceptance.scores(found.cosine), strict=True)
    print(f"# {arguments.mix}: the most similar talker has {', '.join(f'{name} {score}' for name, score in scores)}")
    print(f"# {acceptance}")
    return 0
