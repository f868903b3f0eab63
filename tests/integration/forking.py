"""Runs Python programs in processes of their own that need not import fairseq or torch: that takes longer than most of them.

As a program, this is the process that they are forked from. It imports nothing of ours, so what a program finds of ours it
finds as in a process that was started for it.
"""

import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path


class ForkServer:
    """Starts programs as forks of one process, which ends with this one.

    environment: variables for all of them. imports: modules that they find imported.
    """

    def __init__(self, environment: Mapping[str, str], imports: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *imports],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *programs: Sequence[str], cwd: Path) -> list[subprocess.CompletedProcess]:
        """Runs programs at the same time in the folder `cwd`, as if typed there; returns when all have ended.

        programs: the words of each, the first of them the path of a Python script.
        """
        with tempfile.TemporaryDirectory() as folder:
            outputs = [(f"{folder}/{number}.out", f"{folder}/{number}.err") for number in range(len(programs))]
            orders = [
                {"words": list(words), "cwd": str(cwd), "stdout": stdout, "stderr": stderr}
                for words, (stdout, stderr) in zip(programs, outputs, strict=True)
            ]
            assert self._process.stdin is not None and self._process.stdout is not None
            print(json.dumps(orders), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
            assert answer, f"the process to fork from ended with status {self._process.wait()}"
            statuses = json.loads(answer)
            return [
                subprocess.CompletedProcess(words, status, Path(stdout).read_text(), Path(stderr).read_text())
                for words, status, (stdout, stderr) in zip(programs, statuses, outputs, strict=True)
            ]

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()


def _serve() -> dict[str, str] | None:
    """Forks for every order that a line of standard input holds, and answers with exit statuses.

    Returns the order in a forked process, and None at the end of the input.
    """
    for line in sys.stdin:
        children = []
        for order in json.loads(line):
            child = os.fork()
            if child == 0:
                return order
            children.append(child)
        print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]), flush=True)
    return None


def _become(words: list[str], cwd: str, stdout: str, stderr: str) -> None:
    """Turns this process into the one of a program, up to its end: what it raises is for the interpreter."""
    os.chdir(cwd)
    for descriptor, path in enumerate((os.devnull, stdout, stderr)):
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(file, descriptor)
        os.close(file)
    sys.argv, sys.path[0] = words, str(Path(words[0]).parent)
    runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        importlib.import_module(name)
    if (order := _serve()) is not None:
        _become(**order)
