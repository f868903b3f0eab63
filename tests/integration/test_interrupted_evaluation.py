"""Ctrl-C in a terminal: `csc evaluate` with two processes stops at once, leaves no process behind, and goes on later."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.running import BIN, environment

# Energies of eight bands, slowly: fast enough for a test, slow enough to be interrupted in the second condition.
MODULE = """
import time
import numpy as np

def bands(waveforms):
    time.sleep(0.5)
    spectra = [np.array_split(np.abs(np.fft.rfft(waveform)) ** 2, 8) for waveform in waveforms]
    energies = np.log([[band.mean() + 1e-9 for band in spectrum] for spectrum in spectra])
    return energies - energies.mean(axis=1, keepdims=True)
"""
CONDITIONS = """
- {name: clean}
- {name: white 5 dB, noise: stationary, snr_db: 5}
- {name: white 0 dB, noise: stationary, snr_db: 0}
"""
LONGEST = 240  # seconds to wait for another process; far more than it takes


def evaluation(folder: Path, voices: Path) -> subprocess.Popen:
    """Starts the command in a process group of its own, as a shell does; standard error is a pipe."""
    words = f"csc evaluate --encoder slow:bands --manifest {voices}/test.tsv --conditions conditions.yaml --replicates 20 --jobs 2"
    return subprocess.Popen(
        [str(BIN / "csc"), *words.split()[1:], "--out", "out"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A test run in the background of a script ignores Ctrl-C, and its processes would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def alive(group: int) -> bool:
    """Whether any process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow  # a minute: three evaluations, each with processes of its own
def test_ctrl_c_with_processes_resumes_to_the_same_files(voices, tmp_path):
    for name in ("whole", "interrupted"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "slow.py").write_text(MODULE)
        (tmp_path / name / "conditions.yaml").write_text(CONDITIONS)
    whole = evaluation(tmp_path / "whole", voices)
    assert whole.wait(LONGEST) == 0, whole.stderr.read()

    interrupted = evaluation(tmp_path / "interrupted", voices)
    deadline = time.monotonic() + LONGEST
    while not list(
        (tmp_path / "interrupted").rglob("clean.test.npz")
    ):  # the first condition is complete, the second is not
        assert interrupted.poll() is None and time.monotonic() < deadline, interrupted.stderr.read()
        time.sleep(0.05)
    os.killpg(interrupted.pid, signal.SIGINT)  # a terminal sends it to the whole group
    assert interrupted.wait(LONGEST) == 130
    assert interrupted.stderr.read().splitlines() == ["csc evaluate: interrupted"]
    while alive(interrupted.pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    kept = {path.name for path in (tmp_path / "interrupted" / "out").rglob("*.npz")}
    assert kept == {"clean.enrolment.npz", "clean.test.npz"}

    assert evaluation(tmp_path / "interrupted", voices).wait(LONGEST) == 0
    assert contents(tmp_path / "interrupted" / "out") == contents(tmp_path / "whole" / "out")
