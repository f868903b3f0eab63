"""`csc prepare ami` and `voxconverse`: folders of recordings and RTTM."""

import argparse
from pathlib import Path

from csc_fairseq.cli.faults import add_skip_argument
from csc_fairseq.cli.prepare_options import add_audio_argument, add_rate_arguments, add_root, audio_folder
from csc_fairseq.cli.prepare_steps import SKIPPED, account_of, sound
from csc_fairseq.corpora.conversations import annotate, summary, write
from csc_fairseq.corpora.layouts import ami, voxconverse

HELP = {
    "ami": "AMI: meetings of one microphone with their RTTM, as conversations to diarize and evaluate on",
    "voxconverse": "VoxConverse: recordings with their RTTM, as conversations to diarize and evaluate on",
}


def add_kinds(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The sub-verbs and their arguments."""
    for name, text in HELP.items():
        parser = kinds.add_parser(name, help=text, description=text)
        add_root(parser)
        parser.add_argument(
            "--out", type=Path, required=True, metavar="DIR", help="for DIR/test/NAME.wav and NAME.rttm"
        )
        parser.add_argument(
            "--rttm",
            type=Path,
            metavar="DIR",
            help="where train, dev and test with NAME.rttm are (default: below ROOT)",
        )
        if name == "ami":
            parser.add_argument(
                "--mic", default=ami.MICROPHONE, metavar="NAME", help="MEETING.NAME.wav is taken (default: %(default)s)"
            )
            add_audio_argument(parser)
        add_skip_argument(parser, f"DIR/{SKIPPED}")
        add_rate_arguments(parser)
        parser.set_defaults(run_kind=_run)


def _run(args: argparse.Namespace) -> int:
    """Write the folders and print a summary."""
    args.root = args.root.resolve()
    rttms = args.root if args.rttm is None else args.rttm.resolve()
    if args.kind == "ami":
        sources, notes = ami.read(args.root, rttms, args.out, audio_folder(args), args.mic, args.jobs)
    else:
        sources, notes = voxconverse.read(args.root, rttms, args.out)
    conversations, faults = sound(args, sources, lambda source: annotate(source, args.sample_rate, args.allow_rates))
    text = [*summary(conversations), *notes]
    write(args.out, conversations, account_of(args, text, faults))
    print(*text, sep="\n")
    return 0
