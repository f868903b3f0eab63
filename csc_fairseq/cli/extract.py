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
    parser.add_argument(
        "mix",
        nargs="?",
        metavar="MIX",
        help="recording of any length, in which others may talk at the same time; without it, the last of --enrol",
    )
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
        help="file to write; if the voice is absent, none is written, and one that is there stays as it is",
    )
    add_acceptance_arguments(
        parser,
        "that the voice is in the recording",
        "fit it with --seconds as long as MIX, and --enrol-utterances as many as recordings ENROL",
    )
    add_resample_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the file that was written, or the word absent, then how that was decided in lines that begin with #.

    Both are answers: status 0. Where no voice is found at all: absent, whatever the options. Then nothing is written or removed: a
    file at --out may be of anybody.
    """
    from csc_fairseq.data.audio import write_wav
    from csc_fairseq.decisions.enrolment import voice_of
    from csc_fairseq.diarization.extraction import extract_voice
    from csc_fairseq.files import replacing

    out = arguments.out
    *enrol, last = arguments.enrol
    if arguments.mix is not None:
        enrol, mix = arguments.enrol, arguments.mix
    elif enrol:  # csc extract --enrol E1 E2 MIX: all of them are behind --enrol
        mix = last
    else:
        raise InputError(f"{last}: is the only recording; give the one to draw the voice out of, too")
    if out.suffix.lower() != ".wav":
        raise InputError(f"{out}: expected a name that ends in .wav")
    if out.resolve() in {Path(file).resolve() for file in (mix, *enrol)}:
        raise InputError(f"{out}: is one of the recordings and would be overwritten; choose another --out")
    model = load_model(arguments)
    model.require_separation()
    acceptance = load_acceptance(arguments, model)
    voice = voice_of(model, enrol, arguments.resample)
    found = extract_voice(model, mix, voice.centre, arguments.resample)
    if found is None or (acceptance.decides and not acceptance.accepts(found.cosine)):
        print(ABSENT)
        if out.exists():
            print(f"# {out}: was there before and is not of this command")
    else:
        with replacing(out) as temporary:
            write_wav(temporary, found.samples, model.sample_rate)
        print(out)
    if found is None:
        print(f"# {mix}: no voice was found in it")
        return 0
    scores = zip(acceptance.columns, acceptance.scores(found.cosine), strict=True)
    print(f"# {mix}: the most similar talker has {', '.join(f'{name} {score}' for name, score in scores)}")
    print(*acceptance.remarks([found.heard], [len(voice.enrolments)]), f"# {acceptance}", sep="\n")
    return 0
