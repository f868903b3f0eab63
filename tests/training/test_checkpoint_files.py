"""Checkpoints are written completely or not at all, and a damaged one is known as such."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from csc_fairseq.errors import InputError
from csc_fairseq.training.checkpoint_files import (
    ANY,
    OF_AN_UPDATE,
    FolderLock,
    copy_whole,
    fault,
    newest_readable,
    save_whole,
)


def saved(path: Path, updates: int, batches: int = 0, size: int = 3000, ranks: int = 1) -> Path:
    """A checkpoint with what every training's has."""
    state = {
        "cfg": {
            "dataset": {"batch_size": 4, "max_tokens": None},
            "model": {"_name": "csc", "channels": 64},
            "distributed_training": {"distributed_world_size": ranks},
        },
        "model": {"weight": torch.full((size,), float(updates))},
        "optimizer_history": [{"num_updates": updates}],
        "extra_state": {"train_iterator": {"epoch": 2, "iterations_in_epoch": batches}},
    }
    save_whole(state, path)
    return path


@pytest.fixture
def small_files():
    """No file may grow beyond 40 kB: what is written after that fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_failed_save_leaves_what_was_there(tmp_path, small_files):
    path = saved(tmp_path / "checkpoint_last.pt", 5)
    content = path.read_bytes()
    with pytest.raises(InputError, match="checkpoint_last.pt: cannot be written .File too large., and is as it was"):
        saved(path, 6, size=100_000)
    assert path.read_bytes() == content and [file.name for file in tmp_path.iterdir()] == [path.name]
    saved(path, 7)
    assert torch.load(path, weights_only=True)["model"]["weight"][0] == 7


def test_a_failed_save_of_something_else_is_not_told_as_a_full_disk(tmp_path):
    with pytest.raises(Exception, match="pickle") as caught:
        save_whole({"it": lambda: None}, tmp_path / "x.pt")
    assert not isinstance(caught.value, InputError)


def test_a_copy_is_whole_and_stays_when_the_other_is_replaced(tmp_path, monkeypatch):
    first, last = saved(tmp_path / "checkpoint_1_5.pt", 5), saved(tmp_path / "checkpoint_last.pt", 4)
    copy_whole(first, last)
    assert torch.load(last, weights_only=True)["model"]["weight"][0] == 5
    saved(first, 6)
    assert torch.load(last, weights_only=True)["model"]["weight"][0] == 5
    monkeypatch.setattr(
        os, "link", lambda *_: (_ for _ in ()).throw(OSError(1, "not permitted"))
    )  # no hard links there
    copy_whole(first, last)
    assert torch.load(last, weights_only=True)["model"]["weight"][0] == 6
    monkeypatch.setattr(
        shutil,
        "copyfile",
        lambda _, path: Path(path).write_bytes(b"half") and (_ for _ in ()).throw(OSError(28, "full")),
    )
    with pytest.raises(InputError, match="cannot be written .full"):
        copy_whole(first, last)
    assert torch.load(last, weights_only=True)["model"]["weight"][0] == 6 and not list(tmp_path.glob("*.tmp"))


def test_a_save_after_a_kill_does_not_write_into_another_checkpoint(tmp_path):
    """What a kill left behind may be a second name of a good file."""
    good = saved(tmp_path / "checkpoint_1_5.pt", 5)
    os.link(good, tmp_path / "checkpoint_last.pt.tmp")
    saved(tmp_path / "checkpoint_last.pt", 6)
    assert torch.load(good, weights_only=True)["model"]["weight"][0] == 5


def test_damage_is_found(tmp_path):
    path = saved(tmp_path / "checkpoint_last.pt", 5)
    assert fault(path) is None
    content = path.read_bytes()
    for share in (0.1, 0.5, 0.95):
        path.write_bytes(content[: int(len(content) * share)])
        assert fault(path) == "it is cut short or no checkpoint"
    middle = content.index(torch.full((3,), 5.0).numpy().tobytes())
    path.write_bytes(content[:middle] + b"\x00" + content[middle + 1 :])
    assert fault(path) is None  # a zero was there
    path.write_bytes(content[: middle + 3] + b"\x01" + content[middle + 4 :])
    assert fault(path) is not None and "checksum" in fault(path)
    path.write_bytes(b"")
    assert fault(path) == "it is empty"
    torch.save({"a": torch.ones(3)}, path, _use_new_zipfile_serialization=False)
    assert fault(path) is None
    path.write_bytes(path.read_bytes()[:-5])
    assert fault(path) is not None


def test_the_newest_is_that_with_the_most_updates(tmp_path):
    saved(tmp_path / "checkpoint_1_9.pt", 9)
    saved(tmp_path / "checkpoint_2_10.pt", 10)
    saved(tmp_path / "checkpoint_best.pt", 11)
    saved(tmp_path / "checkpoint_1_8.pt", 8)  # written last
    torn = saved(tmp_path / "checkpoint_3_30.pt", 30)
    torn.write_bytes(torn.read_bytes()[:-200])
    torch.save({"format": "csc-bundle"}, tmp_path / "checkpoint4.pt")
    assert newest_readable(tmp_path, ANY).path.name == "checkpoint_best.pt"
    assert newest_readable(tmp_path, OF_AN_UPDATE).path.name == "checkpoint_2_10.pt"
    assert newest_readable(tmp_path / "nowhere", ANY) is None


HOLD = """
import fcntl, os, sys
lock = open(sys.argv[1], "w")
fcntl.lockf(lock, fcntl.LOCK_EX)
lock.write(f"process {os.getpid()} on here")
lock.flush()
print("holds", flush=True)
sys.stdin.read()
"""


def test_one_training_a_folder(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "holds\n"
        with pytest.raises(InputError, match=f"another training writes there .process {other.pid} on .*hydra.run.dir"):
            FolderLock(tmp_path)
        other.kill()
        other.wait()
    lock = FolderLock(tmp_path)  # a kill frees it
    assert (tmp_path / ".lock").read_text().startswith(f"process {os.getpid()} on ")
    lock.release()
    lock.release()
