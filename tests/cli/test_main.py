"""Dispatch: help, exit statuses, one-line errors."""

import importlib
import os
import subprocess
import sys
import types

import pytest

from csc_fairseq.cli import main as cli
from csc_fairseq.errors import InputError


def csc(*arguments, cwd=None):
    """The real command in a process of its own."""
    command = [sys.executable, "-m", "csc_fairseq.cli.main", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env={**os.environ, "PYTHONPATH": os.getcwd()}, check=False
    )


def test_overview_lists_every_verb_and_loads_no_torch(capsys):
    with pytest.raises(SystemExit) as left:
        cli.main(["--help"])
    text = capsys.readouterr().out
    assert left.value.code == 0
    for verb, name in cli.VERBS.items():
        assert f"  {verb} " in text and importlib.import_module(name).SUMMARY in text
    with pytest.raises(SystemExit) as left:
        cli.main([])
    assert (left.value.code, capsys.readouterr().out) == (0, text)

    program = "import sys; from csc_fairseq.cli.main import main\ntry: main(['--help'])\nfinally: print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0 and not {"torch", "fairseq"} & set(result.stdout.split()), result.stderr


@pytest.mark.parametrize("verb", cli.VERBS)
def test_help_of_every_verb_has_an_example(verb, capsys):
    with pytest.raises(SystemExit) as left:
        cli.main([verb, "--help"])
    text = capsys.readouterr().out
    assert left.value.code == 0
    assert f"usage: csc {verb}" in text and "--debug" in text
    assert f"csc {verb} " in text.split("example:")[1] or verb == "doctor"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sing"], "invalid choice: 'sing'"),
        (["--loud"], "required: VERB"),
        (["score", "a.wav", "b.wav", "--model", "m.pt", "--loud"], "unrecognized arguments: --loud"),
        (["score", "a.wav", "b.wav", "--mod", "m.pt"], "required: --model"),  # no abbreviations
        (["embed", "a.wav"], "required: --model, --out"),
        (["export", "a.pt", "--format", "onnx", "--out", "b"], "invalid choice: 'onnx'"),
        (["mix", "--config-name", "a", "--out", "b", "--index", "1", "--count", "2"], "not allowed with argument"),
    ],
)
def test_unknown_options_exit_with_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    assert left.value.code == 2 and message in capsys.readouterr().err


@pytest.fixture
def verb(monkeypatch):
    """verb(action): makes `csc trial` call it."""

    def install(action):
        module = types.ModuleType("trial_verb")
        module.SUMMARY, module.EXAMPLE = "tries", "csc trial"
        module.add_arguments = lambda parser: parser.add_subparsers(dest="kind").add_parser("sub")
        module.run = action
        monkeypatch.setitem(sys.modules, "trial_verb", module)
        monkeypatch.setitem(cli.VERBS, "trial", "trial_verb")

    return install


def raising(error):
    def action(arguments):
        raise error

    return action


def test_exit_statuses(verb, capsys):
    verb(lambda arguments: 7)
    assert cli.main(["trial"]) == 7
    verb(raising(InputError("a.wav: is broken")))
    assert cli.main(["trial"]) == 2
    assert capsys.readouterr().err == "csc trial: a.wav: is broken\n"
    verb(raising(PermissionError(13, "Permission denied", "/out")))
    assert cli.main(["trial"]) == 2
    assert capsys.readouterr().err == "csc trial: [Errno 13] Permission denied: '/out'\n"
    verb(raising(KeyboardInterrupt()))
    assert cli.main(["trial"]) == 130
    verb(raising(ZeroDivisionError()))  # a mistake of ours is not dressed up as the user's
    with pytest.raises(ZeroDivisionError):
        cli.main(["trial"])


@pytest.mark.parametrize("arguments", [["--debug"], ["sub", "--debug"], ["--debug", "sub"]])
def test_debug_shows_the_traceback(verb, arguments):
    verb(raising(InputError("a.wav: is broken")))
    with pytest.raises(InputError):
        cli.main(["trial", *arguments])


def test_the_command_prints_one_line_for_bad_input(tmp_path):
    result = csc("score", "a.wav", "b.wav", "--model", "absent.pt", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "csc score: absent.pt: no such file; expected a checkpoint (checkpoint_best.pt) or a bundle\n"
    )
    debug = csc("score", "a.wav", "b.wav", "--model", "absent.pt", "--debug", cwd=tmp_path)
    assert debug.returncode == 1 and "Traceback" in debug.stderr and "InputError" in debug.stderr
    assert csc("--version").stdout == "csc-fairseq 0.1.0\n"
