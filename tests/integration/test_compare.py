"""examples/csc/compare.sh with programs that only note how they are called: what is run, kept, refused and told."""

import os
import shutil
import signal
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow  # half a minute, most of it bash that starts programs

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "csc" / "compare.sh"
SLEEPER = "sleep 600"
TRAIN = """#!/usr/bin/env bash
echo "train $*" >> "$NOTES"
for word in "$@"; do case "$word" in hydra.run.dir=*) run=${word#*=} ;; esac; done
if [ "${BROKEN:-}" = "${run##*/}" ]; then echo "no such thing" >&2; exit 1; fi
mkdir -p "$run/checkpoints"
cp "$NOTES.pt" "$run/checkpoints/checkpoint_last.pt"
cp "$NOTES.pt" "$run/checkpoints/checkpoint_best.pt"
"""
CSC = """#!/usr/bin/env bash
echo "csc $*" >> "$NOTES"
while [ $# -gt 0 ]; do
  if [ "$1" = --out ]; then out=$2; fi
  shift
done
case "$out" in
  *.tsv) touch "$out" ;;
  *manifests) for split in train valid dev test; do touch "$out/$split.tsv" "$out/$split.spk"; done ;;
  *) mkdir -p "$out"
     echo '{"results": [{"encoder": "1", "eer": {"value": 0.4}}, {"encoder": "2", "eer": {"value": 0.3}}]}' > "$out/results.json" ;;
esac
"""


@pytest.fixture
def compare(tmp_path):
    """compare(data, **environment): runs the script into tmp_path/out; (exit status, calls noted, what it printed).

    compare.start(data): its process.
    """
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("fairseq-hydra-train", TRAIN), ("csc", CSC)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (programs / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (programs / "python").chmod(0o755)
    state = {
        "cfg": {
            "model": {"_name": "wav2vec2", "encoder_layers": 2},
            "task": {"views": 2, "view_seconds": 3.0},
            "dataset": {"batch_size": 6},
            "distributed_training": {"distributed_world_size": 2},
            "optimization": {"update_freq": [3]},
        },
        "model": {},
        "optimizer_history": [{"num_updates": 1000}],
        "extra_state": {"previous_training_time": 1200.0},
    }
    torch.save(state, tmp_path / "notes.pt")
    notes = tmp_path / "notes"

    def start(data: Path, **environment: str) -> subprocess.Popen:
        notes.write_text("")
        around = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "NOTES": str(notes)} | environment
        return subprocess.Popen(
            [str(SCRIPT), str(data), str(tmp_path / "out")],
            env=around,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # bash does not trap what it finds ignored
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def run(data: Path, **environment: str) -> tuple[int, list[str], str]:
        script = start(data, **environment)
        printed = script.communicate()[0]
        return script.returncode, notes.read_text().splitlines(), printed

    run.start = start
    return run


@pytest.fixture
def manifests(tmp_path) -> Path:
    folder = tmp_path / "manifests"
    folder.mkdir()
    for split in ("train", "valid", "dev", "test"):
        for suffix in ("tsv", "spk"):
            (folder / f"{split}.{suffix}").touch()
    return folder


def alive(pid: str) -> bool:
    """Whether a process runs; one that has ended may wait for somebody to ask for its status (Z)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:  # gone, before or after the file was opened
        return False


def wait_for_lines(path: Path, count: int, process: subprocess.Popen) -> None:
    """Until a file has so many lines; the process that leads to them must go on."""
    while not (path.exists() and path.read_text().count("\n") == count):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def trainings(calls: list[str]) -> list[str]:
    return [call for call in calls if call.startswith("train")]


def test_everything_once(compare, manifests, tmp_path):
    status, calls, printed = compare(manifests, TUNE="optimization.max_update=7", CSC_TUNE="model.pooling=own")
    assert status == 0, printed
    named = {call.partition("hydra.run.dir=")[2].split()[0].rpartition("/")[2]: call for call in trainings(calls)}
    assert set(named) == {"csc", "wav2vec2", "csc_head", "wav2vec2_head", "csc_tuned", "wav2vec2_tuned", "xvector"}
    for name in ("csc_head", "wav2vec2_head", "csc_tuned", "wav2vec2_tuned", "xvector"):
        assert "optimization.max_update=7" in named[name]
        assert ("model.frozen=true" in named[name]) == name.endswith("head")
        assert ("model.pooling=own" in named[name]) == name.startswith("csc")
    assert named["xvector"].endswith("criterion.separation_weight=0.0")  # whatever TUNE says of pre-trained encoders
    dev, test = [call for call in calls if call.startswith("csc evaluate")]
    assert f"1={tmp_path}/out/wav2vec2/checkpoints/checkpoint_last.pt,layer=1" in dev and "dev.tsv" in dev
    # The better layer; no noise was given.
    assert "layer=2 --encoder xvector" in test and "test.tsv" in test and "--noise" not in test
    budgets = (tmp_path / "out" / "budgets.md").read_text().splitlines()
    # 1000 x 6 x 2 x 3 s on 2 ranks x 3, 1200 s
    assert len(budgets) == 2 + 7 and "| csc_tuned | 1000 | 60.0 | 20 |" in budgets

    status, calls, printed = compare(manifests, TUNE="optimization.max_update=7", CSC_TUNE="model.pooling=own")
    assert status == 0 and not trainings(calls)


def test_other_options_in_one_folder_are_refused(compare, manifests, tmp_path):
    assert compare(manifests)[0] == 0
    status, calls, printed = compare(manifests, TUNE="optimization.max_update=9")
    assert status != 0 and not trainings(calls)
    assert "csc_head was made with other options or files; take another OUT" in printed


def test_other_files_under_the_same_names_are_refused(compare, manifests, tmp_path):
    """Heads of another pre-training, or other manifests, are not taken for those asked for."""
    state = torch.load(tmp_path / "notes.pt")
    assert compare(manifests)[0] == 0
    shutil.rmtree(tmp_path / "out" / "csc")
    torch.save({**state, "optimizer_history": [{"num_updates": 2000}]}, tmp_path / "notes.pt")
    status, calls, printed = compare(manifests)
    assert status != 0 and len(trainings(calls)) == 1 and "csc_head was made with other options or files" in printed
    (manifests / "train.tsv").write_text("another\n")
    status, calls, printed = compare(manifests)
    assert status != 0 and not trainings(calls) and "csc was made with other options or files" in printed


def test_given_checkpoints_are_not_trained(compare, manifests, tmp_path):
    """A bundle, and one that only tells its options the old way: there is a budget of neither."""
    bundle, published = tmp_path / "bundle.pt", tmp_path / "published.pt"
    torch.save({"format": "csc-bundle", "version": 1}, bundle)
    torch.save({"args": Namespace(arch="wav2vec2", encoder_layers=2), "model": {}}, published)
    status, calls, printed = compare(manifests, CSC=str(bundle), W2V=str(published))
    assert status == 0, printed
    assert len(trainings(calls)) == 5 and sum(f"model.pretrained={bundle}" in call for call in calls) == 2
    budgets = (tmp_path / "out" / "budgets.md").read_text().splitlines()
    assert {"| csc | – | – | – |", "| wav2vec2 | – | – | – |"} < set(budgets)


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_stopped_trainings_do_not_live_on(kind, compare, manifests, tmp_path):
    """Both of them, with what they started, by a signal to the script alone."""
    (tmp_path / "bin" / "fairseq-hydra-train").write_text(
        f"#!/bin/sh\n{SLEEPER} &\necho $! >> {tmp_path}/sleepers\nwait\n"
    )
    script = compare.start(manifests)
    sleepers = tmp_path / "sleepers"
    wait_for_lines(sleepers, 2, script)
    script.send_signal(kind)
    assert script.wait() == 128 + kind
    # A signal was sent; it arrives when the system likes.
    while any(alive(pid) for pid in sleepers.read_text().split()):
        time.sleep(0.05)


def test_as_many_trainings_at_a_time_as_asked_for(compare, manifests, tmp_path):
    (tmp_path / "bin" / "fairseq-hydra-train").write_text(
        f"#!/bin/sh\necho $$ >> {tmp_path}/sleepers\nexec {SLEEPER}\n"
    )
    script = compare.start(manifests, CSC=str(tmp_path / "notes.pt"), W2V=str(tmp_path / "notes.pt"), TRAININGS="3")
    sleepers = tmp_path / "sleepers"
    wait_for_lines(sleepers, 3, script)
    first, *others = map(int, sleepers.read_text().split())
    os.kill(first, signal.SIGKILL)  # one has failed: no other begins, the two may end
    while "failed, the end of" not in (line := script.stdout.readline()):
        assert line
    assert script.poll() is None
    for pid in others:
        os.kill(pid, signal.SIGKILL)
    assert script.wait() not in (0, 128 + signal.SIGTERM) and sleepers.read_text().count("\n") == 3
    status, calls, printed = compare(manifests, TRAININGS="many")
    assert status == 2 and "TRAININGS=many: not a number of trainings" in printed


def test_from_recordings(compare, tmp_path):
    data = tmp_path / "data"
    for folder in ("speech", "rir/office"):
        (data / folder).mkdir(parents=True)
    for number in range(8):
        (data / "rir" / "office" / f"r{number}.flac").touch()
    for table in ("speakers.tsv", "noise.tsv"):
        (data / table).touch()
    status, calls, printed = compare(data)
    assert status == 0, printed
    assert [call.split()[2] for call in calls if call.startswith("csc prepare")] == ["folders"] + ["audio"] * 4
    rows = (tmp_path / "out" / "responses.tsv").read_text().splitlines()
    assert rows == ["name\tsplit", *(f"r{number}\t{'test' if number > 5 else 'train'}" for number in range(8))]
    pretraining = next(call for call in calls if "csc_small" in call)
    assert "task.noise=" in pretraining and "task.rir=" in pretraining
    assert "test_noise.tsv" in calls[-1] and "test_rir.tsv" in calls[-1]


def test_a_failed_training_is_told_and_tried_again(compare, manifests):
    status, calls, printed = compare(manifests, BROKEN="wav2vec2_head")
    assert status != 0 and "wav2vec2_head: failed" in printed and "no such thing" in printed
    assert not any(call.startswith("csc evaluate") for call in calls)
    status, calls, printed = compare(manifests)
    assert status == 0 and sum("/wav2vec2_head " in call for call in trainings(calls)) == 1
    assert calls[-1].startswith("csc evaluate")
    assert not any("/csc_head " in call for call in trainings(calls))


def test_what_is_missing_is_told_at_once(compare, manifests, tmp_path):
    (manifests / "dev.spk").unlink()
    status, calls, printed = compare(manifests)
    assert status == 2 and "dev.spk: not found" in printed and not calls
    assert "holds neither train.tsv nor speakers.tsv" in compare(tmp_path)[2]
    assert "/nowhere.pt: no such checkpoint" in compare(manifests, W2V="/nowhere.pt")[2]
    assert "no such folder" in compare(tmp_path / "gone")[2]
