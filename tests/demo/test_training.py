"""The demo's training step: its log is read, a finished run is used again, a failed run says why."""

import sys
from pathlib import Path

import pytest

from csc_fairseq.demo import training
from csc_fairseq.demo.training import History, read_history, train, training_command
from csc_fairseq.errors import InputError

# As fairseq prints them: all figures except epoch and update are strings.
INNER = '[2026-01-31 12:00:00,0][train_inner][INFO] - {{"epoch": 1, "update": 0.5, "loss": "{}", "num_updates": "{}"}}'
EPOCH = '[2026-01-31 12:00:00,000][train][INFO] - {"epoch": 1, "train_loss": "9.0", "train_num_updates": "20"}'
VALID = '[2026-01-31 12:00:00,000][valid][INFO] - {"epoch": 1, "valid_bound": "0.25", "valid_num_updates": "20"}'
OTHER = "[2026-01-31 12:00:00,000][fairseq.trainer][INFO] - {a brace}"
LOG = [INNER.format("8.5", 10), OTHER, INNER.format("7.5", 20), EPOCH, VALID]


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Puts a Python program in fairseq-hydra-train's place."""

    def install(text: str) -> None:
        file = tmp_path / "program.py"
        file.write_text(text)
        monkeypatch.setattr(training, "training_command", lambda overrides: [sys.executable, str(file)])

    return install


def printing(lines: list[str]) -> str:
    return f"print({chr(10).join(lines)!r})\n"


def test_history_holds_training_and_validation():
    history = History()
    for line in LOG:
        history.read(line + "\n")
    assert history.curve("loss") == [(10, 8.5), (20, 7.5)]
    assert history.curve("valid_bound") == [(20, 0.25)]
    assert (history.last("loss"), history.last("valid_bound")) == (7.5, 0.25)
    with pytest.raises(InputError, match="has no valid_si_snri"):
        history.last("valid_si_snri")


def test_updates_that_were_repeated_after_an_interruption_count_once():
    history = History()
    for line in [*LOG, INNER.format("7.0", 30), INNER.format("7.4", 20), VALID.replace("0.25", "0.3")]:
        history.read(line)
    assert history.curve("loss") == [(10, 8.5), (20, 7.4)]
    assert history.curve("valid_bound") == [(20, 0.3)]


def test_finished_run_is_used_again_and_another_key_starts_a_new_run(tmp_path, program):
    folder = tmp_path / "run"
    program(printing(LOG))
    assert train(folder, [], 20, key="a")
    assert read_history(folder / "train.log").curve("loss") == [(10, 8.5), (20, 7.5)]
    program("raise SystemExit('must not run')")
    assert not train(folder, [], 20, key="a")
    (folder / "checkpoint_last.pt").touch()
    program(printing(LOG[:1]))
    assert train(folder, [], 20, key="b")
    assert not (folder / "checkpoint_last.pt").exists()
    assert read_history(folder / "train.log").curve("loss") == [(10, 8.5)]


def test_interrupted_run_goes_on_and_leaves_no_process(tmp_path, program, monkeypatch):
    folder = tmp_path / "run"
    pid = tmp_path / "pid"
    program(f"import os, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\nprint(flush=True)\ntime.sleep(60)")
    with monkeypatch.context() as patch:
        patch.setattr(History, "read", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(folder, [], 20, key="a")
    assert not Path("/proc", pid.read_text()).exists()
    (folder / "checkpoint_last.pt").touch()
    program(printing(LOG))
    assert train(folder, [], 20, key="a")
    assert (folder / "checkpoint_last.pt").exists(), "the same run must find its checkpoint"


@pytest.mark.parametrize("raised", ["", "csc_fairseq.errors.InputError: "])
def test_failure_is_one_line_that_names_the_log(raised, tmp_path, program):
    said = f"first\n{raised}no train.tsv\n\nSet the environment variable HYDRA_FULL_ERROR=1 for …\n"
    program(f"import sys\nsys.stderr.write({said!r})\nsys.exit(3)")
    with pytest.raises(InputError) as caught:
        train(tmp_path / "run", [], 20, key="a")
    assert str(caught.value) == (
        f"training ended with status 3: no train.tsv; the whole log is {tmp_path}/run/train.log"
    )
    assert (tmp_path / "run" / "train.log").read_text() == said


def test_crash_without_a_message_is_told(tmp_path, program):
    program("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(InputError, match="status -11: no output"):
        train(tmp_path / "run", [], 20, key="a")


def test_command_is_fairseqs_own():
    program, *arguments = training_command(["task.data=/d"])
    assert Path(program).name == "fairseq-hydra-train" and Path(program).is_file()
    assert arguments == ["--config-name", "csc_debug", "task.data=/d"]


def interrupt(history: History, line: str) -> dict[str, float]:
    raise KeyboardInterrupt
