"""`csc diarize`: who speaks when, in recordings of any length."""

import argparse
from pathlib import Path

from csc_fairseq.cli.model_options import add_model_arguments, add_resample_argument, add_talker_arguments, load_model

SUMMARY = "write who speaks when: RTTM, talking times, a page to look at, a file per talker"
EXAMPLE = """\
csc diarize meeting.wav --model csc.pt --out who
# writes who/meeting.rttm, who/meeting.tsv (seconds of each talker) and who/meeting.html
csc diarize *.wav --model csc.pt --most 4 --separated --out who
csc diarize meeting.wav --model csc.pt --reference meeting.rttm --out who"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this verb."""
    parser.add_argument("files", nargs="+", type=Path, metavar="REC", help="mono WAV, FLAC or Ogg recordings")
    add_model_arguments(parser)
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="FOLDER",
        help="for NAME.rttm, NAME.tsv, NAME.html, and NAME.json, by which the same command knows what is done",
    )
    add_talker_arguments(parser, where="")
    parser.add_argument("--separated", action="store_true", help="also NAME_talker_1.wav, ...: what each of them says")
    parser.add_argument(
        "--reference",
        nargs="+",
        action="extend",
        default=[],
        type=Path,
        metavar="RTTM",
        help="who really speaks when, by the names of the recordings: prints DER and JER (needs csc-fairseq[diarization])",
    )
    add_resample_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the talking times of each recording, and its errors with --reference. That no voice is found is an answer."""
    from tqdm import tqdm

    from csc_fairseq.diarization.recordings import DiarizeOptions, diarize_files, refuse_results, seconds_of
    from csc_fairseq.diarization.scoring import Scorer, read_references

    files = arguments.files
    scorer, references = None, {}
    if arguments.reference:
        scorer = Scorer()
        refuse_results(arguments.reference, files, arguments.out)
        references = read_references(arguments.reference, seconds_of(files))
    model = load_model(arguments)
    options = DiarizeOptions(arguments.talkers, arguments.most, arguments.separated, arguments.resample)
    results = diarize_files(model, Path(arguments.model), files, arguments.out, options)
    for result in tqdm(results, total=len(files), desc="diarize", unit="file", leave=False, disable=None):
        tqdm.write(result.text())
        if scorer is not None:
            tqdm.write(scorer.add(references[result.file_id], result.turns, result.seconds).text())
    if scorer is not None and len(files) > 1:
        print(f"all {len(files)} recordings")
        print(scorer.total().text())
    return 0
