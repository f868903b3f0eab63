"""`csc evaluate` killed at random moments: no process is left, and the same command ends with the same files.

CSC_KILLS says how many kills (3); docs/RELIABILITY.md has the figures of a long run.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from csc_fairseq.data.rng import generator
from tests.integration.running import BIN, environment
from tests.verification.evaluation.coloured import write_speech

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("CSC_KILLS", "3"))
ENDS = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: -signal.SIGTERM, signal.SIGINT: 130}  # exit status by signal
POLLS = 600  # of 0.1 s, which is waiting, not work
TOGETHER = 3  # kills in one folder before it is finished


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def living(session: int) -> list[int]:
    """Processes of a session that are not zombies."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(status.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_kills(tmp_path):
    manifest = write_speech(tmp_path, "test", 6)
    (tmp_path / "two.yaml").write_text("- {name: clean}\n- {name: talker, talkers: 1, sir_db: 0}\n")

    def start(out: Path) -> subprocess.Popen:
        words = ["evaluate", "--encoder", "mfcc", "--encoder", "again=mfcc", "--manifest", str(manifest), "--jobs", "2"]
        words += ["--conditions", str(tmp_path / "two.yaml"), "--replicates", "20", "--out", str(out)]
        return subprocess.Popen(
            [BIN / "csc", *words], env=environment(), cwd=tmp_path, start_new_session=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
            # Tests in the background of a script ignore Ctrl-C, and their processes would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip

    out = tmp_path / "out"
    began = time.monotonic()
    process = start(out)
    printed, _ = process.communicate()
    duration = time.monotonic() - began  # only says when to kill
    assert process.returncode == 0, printed
    expected = contents(out)
    out.rename(tmp_path / "whole")
    moments = generator(0, "kills")
    for kill in range(KILLS):
        sent = list(ENDS)[kill % len(ENDS)]
        process = start(out)
        time.sleep(moments.uniform(0.2, 1.0) * duration)
        if sent == signal.SIGINT:
            os.killpg(process.pid, sent)  # as a terminal does
        else:
            process.send_signal(sent)
        printed, _ = process.communicate()  # which ends when no worker holds the pipe any more
        assert process.returncode in (0, ENDS[sent], -sent), printed  # −SIGINT: before Python had begun
        for _ in range(POLLS):
            if not living(process.pid):
                break
            time.sleep(0.1)
        assert not living(process.pid), f"kill {kill}: processes are left"
        assert "Traceback" not in printed or process.returncode == -signal.SIGINT, printed
        if kill % TOGETHER == TOGETHER - 1:
            kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.embedded")}
            process = start(out)
            printed, _ = process.communicate()
            assert process.returncode == 0, printed
            assert contents(out) == expected
            assert all(path.stat().st_mtime_ns == moment for path, moment in kept.items())  # nothing is done twice
            out.rename(tmp_path / f"after{kill}")
