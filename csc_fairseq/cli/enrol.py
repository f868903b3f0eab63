"""`csc enrol`: a voice into a gallery."""

import argparse
from pathlib import Path

from csc_fairseq.cli.faults import settle
from csc_fairseq.cli.model_options import add_model_arguments, add_resample_argument, load_model
from csc_fairseq.errors import InputError

SUMMARY = "put a voice into a gallery, from one or several recordings of it"
EXAMPLE = """\
csc enrol anna anna_1.wav anna_2.wav anna_3.wav --to team.npz --model csc.pt
csc identify meeting.wav --gallery team.npz --model csc.pt"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this verb."""
    parser.add_argument("name", help="whose voice it is")
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="recordings of this voice alone; three are far better than one (csc calibrate "
        "--enrol-utterances as many, for decisions)",
    )
    parser.add_argument(
        "--to",
        required=True,
        type=Path,
        metavar="NPZ",
        help="the gallery; made where there is none, extended where there is",
    )
    add_model_arguments(parser)
    parser.add_argument(
        "--replace", action="store_true", help="in place of the recordings that the name has (default: beside them)"
    )
    add_resample_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Writes the gallery with the voice, and says what it now has of it. A recording that it has already counts once."""
    from tqdm import tqdm

    from csc_fairseq.decisions.enrolment import ENOUGH_SECONDS, enrolment_of
    from csc_fairseq.decisions.gallery import ENDING, Gallery, checked_name, read_gallery, write_gallery
    from csc_fairseq.decisions.model_identity import ModelIdentity

    path, name = arguments.to, checked_name(arguments.name)
    if path.suffix != ENDING:
        raise InputError(f"{path}: expected a name that ends in {ENDING}")
    model = load_model(arguments)
    identity = ModelIdentity.of(model, arguments.model)
    gallery = read_gallery(path, identity) if path.exists() else Gallery(identity)
    found, faults = [], []
    for file in tqdm(arguments.files, desc="enrol", unit="file", leave=False, disable=None):
        try:
            found.append(enrolment_of(model, file, arguments.resample))
        except InputError as error:
            faults.append(str(error))
    settle(faults, len(arguments.files), None, "nothing was enrolled")
    gallery = gallery.enrolled(name, found, arguments.replace)
    write_gallery(path, gallery)
    voice = gallery.voice(name)
    print(
        f"{path}: {name}, recordings {len(voice.enrolments)}, {voice.seconds:.1f} s; voices in all {len(gallery.voices)}"
    )
    if voice.seconds < ENOUGH_SECONDS:
        print(
            f"{voice.seconds:.1f} s are little to know a voice by; {ENOUGH_SECONDS:g} s and more, from several days, are better"
        )
    return 0
