"""What a command imports. Each takes a second or more, and whoever does not need it should not wait for it."""

import json
import subprocess
import sys
from collections.abc import Sequence

HEAVY = {"torch", "scipy", "matplotlib", "sklearn", "torchmetrics", "hydra", "omegaconf", "fairseq", "librosa"}
PROGRAM = """
import json, sys
from csc_fairseq.cli.main import main
for words in json.loads(sys.argv[1]):
    try:
        status = main(words)
    except SystemExit as left:
        status = left.code
    if status:
        sys.exit(status)
print("imported", *{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
"""


def imported(*commands: Sequence[object]) -> set[str]:
    """The heavy packages that any of the commands, each the words after `csc`, imports, in a process of their own."""
    words = json.dumps([list(map(str, command)) for command in commands])
    result = subprocess.run([sys.executable, "-c", PROGRAM, words], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    *noise, last = result.stderr.splitlines()
    assert not noise, "a command that succeeds says nothing on standard error"
    return HEAVY & set(last.split())


def test_the_package_imports_nothing_but_itself():
    program = "import sys; before = set(sys.modules); import csc_fairseq; print(*set(sys.modules) - before)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    tops = {name.partition(".")[0] for name in result.stdout.split()}
    assert tops - sys.stdlib_module_names == {"csc_fairseq"}


def test_help():
    assert imported(["--help"], ["--version"], ["evaluate", "--help"], ["score", "--help"]) == set()


def test_manifests_and_trials(corpus, tmp_path):
    check = ("check", corpus / "train.tsv", "--deep")
    prepare = ("prepare", "audio", corpus, "--out", tmp_path / "all.tsv")
    trials = ("trials", "--manifest", corpus / "train.tsv", "--out", tmp_path / "trials.txt")
    assert imported(check, prepare, trials) == set()


def test_a_model_needs_torch_alone(corpus, bundle, tmp_path):
    first, second = corpus / "s0_0.wav", corpus / "s0_1.wav"
    score = ("score", first, second, "--model", bundle)
    embed = ("embed", first, "--model", bundle, "--out", tmp_path / "e.npz")
    separate = ("separate", first, "--model", bundle, "--out", tmp_path / "separated")
    assert imported(score, embed, separate) == {"torch"}


def test_mixing_is_quiet(corpus, tmp_path):
    """fairseq lets everybody's debugging lines through, and calls Hydra in a way that Hydra warns about."""
    words = ["mix", "--config-name", "csc_debug", f"task.data={corpus}", "task.view_seconds=0.4"]
    assert {"fairseq", "hydra"} <= imported([*words, "--out", tmp_path / "mixes"])


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
