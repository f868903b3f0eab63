"""`csc VERB ...`: finds the verb's module, parses its options, and turns bad input into one line and exit status 2.

A verb is a module with SUMMARY (one line), EXAMPLE (commands), add_arguments(parser) and run(arguments) -> exit
status. Only the verb that is called is imported, and verbs import torch inside `run`, so that help is instant.
"""

import argparse
import importlib
import io
import logging
import sys
from collections.abc import Sequence
from types import ModuleType

from csc_fairseq.errors import InputError
from csc_fairseq.package import __version__
from csc_fairseq.text import escaped, is_utf8

VERBS = {
    "doctor": "csc_fairseq.cli.doctor",
    "prepare": "csc_fairseq.cli.prepare",
    "check": "csc_fairseq.cli.check",
    "pack": "csc_fairseq.cli.pack",
    "mix": "csc_fairseq.cli.mix",
    "embed": "csc_fairseq.cli.embed",
    "cluster": "csc_fairseq.cli.cluster",
    "calibrate": "csc_fairseq.cli.calibrate",
    "score": "csc_fairseq.cli.score",
    "enrol": "csc_fairseq.cli.enrol",
    "identify": "csc_fairseq.cli.identify",
    "separate": "csc_fairseq.cli.separate",
    "diarize": "csc_fairseq.cli.diarize",
    "find": "csc_fairseq.cli.find",
    "extract": "csc_fairseq.cli.extract",
    "evaluate": "csc_fairseq.cli.evaluate",
    "content": "csc_fairseq.cli.content",
    "trials": "csc_fairseq.cli.trials",
    "export": "csc_fairseq.cli.export",
    "demo": "csc_fairseq.cli.demo",
}
BAD_INPUT = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Args:
        argv: arguments after `csc`; those of the process by default.

    Returns:
        Exit status: the verb's own (0 is success), 2 for bad input, 130 when interrupted. Unknown options, --help and
        --version leave through SystemExit, as argparse does.
    """
    # First, because the import of fairseq shows the debugging lines of all packages unless logging is set up.
    logging.basicConfig(level=logging.WARNING)
    if isinstance(sys.stdout, io.TextIOWrapper):  # names are printed on terminals of any encoding
        sys.stdout.reconfigure(errors="backslashreplace")
    argv = list(sys.argv[1:] if argv is None else argv)
    verb = argv[0] if argv and argv[0] in VERBS else None
    if verb is None:
        _overview().parse_args(argv or ["--help"])
        raise AssertionError("argparse accepts no verb that is not in VERBS")
    module = importlib.import_module(VERBS[verb])
    # Taken out by hand, so that it also works behind a sub-verb (`csc prepare folders --debug`).
    debug = "--debug" in argv
    arguments = _verb_parser(verb, module).parse_args([argument for argument in argv[1:] if argument != "--debug"])
    arguments.debug = debug
    try:
        for argument in argv:
            if not is_utf8(argument):
                raise InputError(f"{escaped(argument)}: the name is not UTF-8; rename it")
        return module.run(arguments)
    except (InputError, OSError) as error:
        if debug:
            raise
        print(f"csc {verb}: {escaped(error)}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"csc {verb}: interrupted", file=sys.stderr)
        return INTERRUPTED


def _verb_parser(verb: str, module: ModuleType) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"csc {verb}",
        description=module.SUMMARY,
        epilog=f"example:\n{_indented(module.EXAMPLE)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _overview() -> argparse.ArgumentParser:
    """Parser of `csc` without a verb: help, version, and the complaint about an unknown verb."""
    summaries = {verb: importlib.import_module(name).SUMMARY for verb, name in VERBS.items()}
    parser = argparse.ArgumentParser(
        prog="csc",
        description="Contrastive separative coding: speaker embeddings while others talk.",
        epilog="\n".join(
            ["verbs:", *(f"  {verb:10}{summary}" for verb, summary in summaries.items())]
            + [
                "",
                "`csc VERB --help` gives options and an example. Training: fairseq-hydra-train --config-name csc_small",
            ]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"csc-fairseq {__version__}")
    parser.add_argument("verb", choices=list(VERBS), metavar="VERB", help="what to do")
    return parser


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines())


if __name__ == "__main__":
    sys.exit(main())
