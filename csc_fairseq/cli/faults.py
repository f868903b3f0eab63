"""What verbs do with many faulty recordings: name all of them, or leave them out into a report."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from csc_fairseq.data.manifest import write_lines
from csc_fairseq.errors import InputError
from csc_fairseq.text import escaped

SHOWN = 20  # faults that are printed; a report has all


def add_skip_argument(parser: argparse.ArgumentParser, report: str) -> None:
    """--skip-bad. report: the name of the file, for the help."""
    parser.add_argument(
        "--skip-bad", action="store_true", help=f"leave out recordings with faults, and list them in {report}"
    )


def settle(faults: Sequence[str], total: int, report: Path | None, remedy: str = "--skip-bad leaves such out") -> None:
    """Refuses faulty recordings, or leaves them out.

    Args:
        faults: one message for each faulty recording, which names it.
        total: recordings in all.
        report: file that lists those left out, for --skip-bad; one of an earlier run is replaced or removed. None: refuse.
        remedy: what else to do about them.

    Raises:
        InputError: faults, and no report. Several are printed first, on standard error; or no recording is left.
    """
    faults = [escaped(fault) for fault in faults]
    if report is not None:
        if len(faults) == total:
            raise InputError(f"{faults[0]} (and so on: all {total} recordings have faults)")
        if not faults:
            report.unlink(missing_ok=True)
            return
        write_lines(report, faults)
        print(f"left out, with faults: {len(faults)} of {total} recordings, listed in {report}")
    elif len(faults) == 1:
        raise InputError(f"{faults[0]} (1 of {total} recordings; {remedy})")
    elif faults:
        print(*faults[:SHOWN], sep="\n", file=sys.stderr)
        if len(faults) > SHOWN:
            print(f"… and {len(faults) - SHOWN} more", file=sys.stderr)
        raise InputError(f"{len(faults)} of {total} recordings have faults, see above; repair them; {remedy}")
