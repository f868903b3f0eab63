"""Signals, in a process of their own."""

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys, time
from csc_fairseq.training import stopping
stopping.SAME = float(sys.argv[2])
stop = stopping.Stop()
number = signal.Signals[sys.argv[1]]
with stop.listening():
    stop.saves = sys.argv[3] == "saves"
    os.kill(os.getpid(), number)
    print("goes on", stop.received, flush=True)
    os.kill(os.getpid(), number)
    print("still goes on", flush=True)
    stopping.leave(stop.received, "done")
"""


def run(name: str, same: float, saves: str) -> tuple[int, list[str], list[str]]:
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, name, str(same), saves], capture_output=True, text=True, check=False
    )
    return process.returncode, process.stdout.splitlines(), process.stderr.splitlines()


@pytest.mark.parametrize(("name", "number"), [("SIGTERM", 15), ("SIGINT", 2), ("SIGUSR1", 10)])
def test_the_second_signal_ends_at_once(name, number):
    status, printed, said = run(name, 0.0, "saves")
    assert (status, printed) == (128 + number, [f"goes on {number}"])
    assert len(said) == 2 and "will save" in said[0] and "ended at once" in said[1]


def test_the_same_signal_by_two_ways_is_one():
    """A terminal sends it to all processes, and torchrun passes it on."""
    status, printed, said = run("SIGINT", 1e6, "saves")
    assert (status, printed) == (130, ["goes on 2", "still goes on"]) and said[-1] == "done"


def test_where_there_is_nothing_to_save_the_first_ends():
    status, printed, said = run("SIGTERM", 0.0, "nothing")
    assert (status, printed) == (143, []) and len(said) == 1 and "checkpoints are as they were" in said[0]
