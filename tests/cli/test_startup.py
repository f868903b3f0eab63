"""What a command imports. Each takes a second or more, and whoever does not need it should not wait for it."""

import subprocess
import sys

import pytest

HEAVY = {"torch", "scipy", "matplotlib", "sklearn", "torchmetrics", "hydra", "omegaconf", "fairseq", "librosa"}
PROGRAM = """
import sys
from csc_fairseq.cli.main import main
try:
    status = main(sys.argv[1:])
except SystemExit as left:
    status = left.code
print("imported", *{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
sys.exit(status)
"""


def imported(*words: object) -> set[str]:
    """The heavy packages that `csc WORDS` has imported at its end, in a process of its own."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    *noise, last = result.stderr.splitlines()
    assert not noise, "a command that succeeds says nothing on standard error"
    return HEAVY & set(last.split())


def test_the_package_imports_nothing_but_itself():
    program = "import sys; before = set(sys.modules); import csc_fairseq; print(*set(sys.modules) - before)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    tops = {name.partition(".")[0] for name in result.stdout.split()}
    assert tops - sys.stdlib_module_names == {"csc_fairseq"}


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["evaluate", "--help"], ["score", "--help"]])
def test_help(words):
    assert imported(*words) == set()


def test_manifests_and_trials(corpus, tmp_path):
    assert imported("check", corpus / "train.tsv", "--deep") == set()
    assert imported("prepare", "audio", corpus, "--out", tmp_path / "all.tsv") == set()
    assert imported("trials", "--manifest", corpus / "train.tsv", "--out", tmp_path / "trials.txt") == set()


def test_a_model_needs_torch_alone(corpus, bundle, tmp_path):
    first, second = corpus / "s0_0.wav", corpus / "s0_1.wav"
    assert imported("score", first, second, "--model", bundle) == {"torch"}
    assert imported("embed", first, "--model", bundle, "--out", tmp_path / "e.npz") == {"torch"}
    assert imported("separate", first, "--model", bundle, "--out", tmp_path / "separated") == {"torch"}


def test_mixing_is_quiet(corpus, tmp_path):
    """fairseq lets everybody's debugging lines through, and calls Hydra in a way that Hydra warns about."""
    words = ["mix", "--config-name", "csc_debug", f"task.data={corpus}", "task.view_seconds=0.4"]
    assert {"fairseq", "hydra"} <= imported(*words, "--out", tmp_path / "mixes")


def test_training_prints_no_warning_of_hydra_that_is_ours(tmp_path):
    """sv_ge2e has a defaults list and a group. Two warnings are fairseq's: how it calls Hydra and how it names its schema."""
    command = [
        sys.executable,
        "-W",
        "default",
        "-m",
        "fairseq_cli.hydra_train",
        "--config-name",
        "sv_ge2e",
        "--cfg",
        "job",
    ]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    warned = result.stderr.split("UserWarning: ")[1:]
    fairseqs = ("\nThe version_base parameter is not specified", "\n'sv_ge2e' is validated against ConfigStore schema")
    assert warned and not [text for text in warned if not text.startswith(fairseqs)]
