"""The examples in docstrings: each runs as it is printed, and prints what its comments say."""

import inspect
import re
import textwrap

import pytest

from csc_fairseq.data.rendering import render
from csc_fairseq.verification.trials.drawing import build_trials


def example_of(function) -> str:
    """The indented block after the line of the docstring that begins with Example and ends with two colons."""
    (block,) = re.findall(r"^Example.*::\n\n((?:    .*\n?|\n)+)", inspect.getdoc(function), flags=re.MULTILINE)
    return textwrap.dedent(block)


@pytest.mark.parametrize("function", [render, build_trials], ids=lambda function: function.__name__)
def test_an_example_prints_what_it_says(function, capsys):
    code = example_of(function)
    exec(compile(code, f"<example of {function.__name__}>", "exec"), {})
    said = [line.removeprefix("# ") for line in code.splitlines() if line.startswith("# ")]
    assert said and capsys.readouterr().out.splitlines() == said
