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
    if not stop.saves:
        time.sleep(600)
    print("goes on", stop.received, flush=True)
    while stop._since is None:  # until the thread has heard of it, too
        time.sleep(0.01)
    os.kill(os.getpid(), number)
    if stopping.SAME == 0:
        time.sleep(600)
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


STUCK = """
import ctypes, os, signal, threading
from csc_fairseq.training import stopping
stop = stopping.Stop()
with stop.listening():
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
    libc, left = ctypes.CDLL(None), 600
    while left:
        left = libc.sleep(left)  # as a library that waits for other processes, whatever signals come
"""


def test_ends_where_the_main_thread_hears_of_nothing():
    process = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, check=False)
    assert process.returncode == 143 and "no update was being made" in process.stderr


FORK = """
import os, signal, time
from csc_fairseq.training import stopping
stop = stopping.Stop()
with stop.listening():
    stop.saves = True
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), signal.SIGINT)
        print("serves", flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    time.sleep(0.2)
    print("not asked to stop", stop.received, stop._since)
"""


def test_a_signal_to_a_data_worker_alone_stops_nothing():
    process = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=False)
    assert process.stdout.splitlines() == ["serves", "not asked to stop 0 None"], process.stderr
