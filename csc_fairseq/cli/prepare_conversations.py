"""`csc prepare ami` and `voxconverse`: folders of recordings and RTTM."""

import argparse
from pathlib import Path

from csc_fairseq.cli.faults import add_skip_argument, settle
from csc_fairseq.cli.prepare_options import add_rate_arguments, add_root
from csc_fairseq.cli.prepare_steps import SKIPPED
from csc_fairseq.corpora.conversations import Annotated, Source, annotate, summary, write
from csc_fairseq.corpora.layouts import ami, voxconverse
from csc_fairseq.corpora.report import REPORT
from csc_fairseq.data.parallel import parallel_map
from csc_fairseq.errors import InputError

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
        add_skip_argument(parser, f"DIR/{SKIPPED}")
        add_rate_arguments(parser)
        parser.set_defaults(run_kind=_run)


def _run(args: argparse.Namespace) -> int:
    """Write the folders and print a summary."""
    root = args.root.resolve()
    rttms = root if args.rttm is None else args.rttm.resolve()
    sources, notes = ami.read(root, rttms, args.mic) if args.kind == "ami" else voxconverse.read(root, rttms)

    def read(source: Source) -> Annotated | str:
        try:
            return annotate(source, args.sample_rate, args.allow_rates)
        except InputError as error:
            return str(error)

    found = list(parallel_map(read, sources, args.jobs, "read files"))
    faults = [one for one in found if isinstance(one, str)]
    settle(faults, len(found), args.out / SKIPPED if args.skip_bad else None)
    conversations = [one for one in found if isinstance(one, Annotated)]
    text = [*summary(conversations), *notes]
    told = [f"left out, with faults: {len(faults)} recordings, listed in {SKIPPED}"] if faults else []
    write(args.out, conversations, {args.out / REPORT: [f"csc prepare {args.kind} {root}", *text, *told]})
    print(*text, sep="\n")
    return 0
