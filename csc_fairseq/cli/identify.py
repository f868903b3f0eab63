"""`csc identify`: whose voices are these?"""

import argparse
from pathlib import Path

from csc_fairseq.cli.decision_options import NO_THRESHOLD, add_decision_arguments, load_decider
from csc_fairseq.cli.model_options import add_model_arguments, add_resample_argument, load_model

SUMMARY = "say which voices of a gallery talk in recordings, or that a voice is unknown"
EXAMPLE = """\
csc identify meeting.wav --gallery team.npz --model csc.pt --calibration csc.calibration.json --prior 0.5
csc identify a.wav b.wav --gallery team.npz --model csc.pt     # without a calibration: the nearest voices, no decision"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this verb."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="recordings of any length, in which several may talk")
    parser.add_argument("--gallery", required=True, type=Path, metavar="NPZ", help="enrolled voices, of `csc enrol`")
    add_model_arguments(parser)
    add_decision_arguments(
        parser,
        "that a talker is in the gallery, shared evenly by its voices",
        "fit it with --seconds as long as the recordings, and --enrol-utterances as many as each voice of the gallery has",
    )
    add_resample_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints a table with a line for each talker heard, columns separated by tabs. Lines that begin with # are not of it.

    nearest, cosine and llr are of the voice most like the talker, whoever else it is like. voice is the decision; a voice
    is at most one talker of a recording.
    """
    import numpy as np
    from tqdm import tqdm

    from csc_fairseq.data.audio import probe, require_format
    from csc_fairseq.decisions.gallery import UNKNOWN, read_gallery
    from csc_fairseq.decisions.identification import heard_talkers
    from csc_fairseq.decisions.model_identity import ModelIdentity

    model = load_model(arguments)
    decider = load_decider(arguments, model)
    gallery = read_gallery(arguments.gallery, ModelIdentity.of(model, arguments.model))
    lengths = []
    for file in arguments.files:  # all, before the first of them takes long
        info = probe(file)
        require_format(file, info, model.sample_rate, arguments.resample)
        lengths.append(info.frames / info.sample_rate)
    names, centres = [voice.name for voice in gallery.voices], gallery.centres
    columns = ("recording", "talker", "seconds", "nearest", "cosine")
    print(*columns, *(() if decider is None else ("llr", "voice", "probability")), sep="\t")
    for file in tqdm(arguments.files, desc="identify", unit="file", leave=False, disable=None):
        talkers = heard_talkers(model, file, arguments.resample)
        if not talkers:
            tqdm.write(f"# {file}: no voice was found in it")
            continue
        cosines = np.stack([talker.embedding for talker in talkers]) @ centres.T
        llrs = None if decider is None else decider.calibration.llr(cosines)
        decided = None if decider is None else decider.point.identified_apart(llrs)
        for i, talker in enumerate(talkers):
            best = int(cosines[i].argmax())
            row = [file, str(i + 1), f"{talker.seconds:.1f}", names[best], f"{cosines[i, best]:.4f}"]
            if decided is not None:
                found = decided[i]
                row += [
                    f"{llrs[i, best]:+z.2f}",
                    names[found.best] if found.named else UNKNOWN,
                    f"{found.posterior:.3f}",
                ]
            tqdm.write("\t".join(row))
    if decider is None:
        print(f"# {NO_THRESHOLD}")
    else:
        remarks = decider.remarks(lengths, [len(voice.enrolments) for voice in gallery.voices])
        print(*remarks, f"# {decider}", sep="\n")
    return 0
