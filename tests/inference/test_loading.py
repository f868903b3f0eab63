"""Loading: from anywhere, without fairseq, without running code; one clear line for what cannot be loaded."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from csc_fairseq.errors import InputError
from csc_fairseq.inference.loading import load_model, save_bundle
from csc_fairseq.inference.speaker_encoder import SpeakerEncoder
from tests.making import csc_checkpoint, saved, speaker_encoder, without


@pytest.fixture
def model() -> SpeakerEncoder:
    """With something in its memory bank."""
    return speaker_encoder(filled=3)


@pytest.fixture
def checkpoint(model: SpeakerEncoder) -> dict[str, Any]:
    return csc_checkpoint(model.network)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """save(state, name): a checkpoint; its path."""
    return lambda state, name="checkpoint.pt": saved(state, tmp_path / name)


def test_checkpoint_and_bundle_give_the_same_model(model, checkpoint, save, voice, tmp_path):
    samples = voice(8000)
    expected = model.embed_sources(samples)
    loaded = load_model(save(checkpoint))
    np.testing.assert_array_equal(loaded.embed_sources(samples), expected)
    assert (loaded.sample_rate, loaded.identity_level) == (16000, "session")
    assert torch.equal(loaded.network.memory.entries, model.network.memory.entries)
    assert int(loaded.network.memory.filled) == 3
    assert not loaded.network.training

    save_bundle(loaded, tmp_path / "new folder" / "csc.pt")
    bundled = load_model(str(tmp_path / "new folder" / "csc.pt"))
    np.testing.assert_array_equal(bundled.embed_sources(samples), expected)
    assert (bundled.sample_rate, bundled.identity_level) == (16000, "session")
    assert torch.equal(bundled.network.memory.entries, model.network.memory.entries)
    assert os.listdir(tmp_path / "new folder") == ["csc.pt"]
    state = torch.load(tmp_path / "new folder" / "csc.pt", weights_only=True)
    assert set(state) == {"format", "version", "config", "sample_rate", "identity_level", "state_dict"}
    assert (state["format"], state["version"]) == ("csc-bundle", 1)


def test_a_moved_checkpoint_loads_after_its_run_folder_is_gone(checkpoint, tmp_path, voice):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    run.mkdir()
    elsewhere.mkdir()
    checkpoint["cfg"]["task"]["data"] = str(run)
    torch.save(checkpoint, run / "checkpoint_best.pt")
    shutil.move(run / "checkpoint_best.pt", elsewhere / "moved.pt")
    shutil.rmtree(run)
    assert load_model(elsewhere / "moved.pt").embed(voice(8000)).shape == (12,)


def test_loading_needs_no_fairseq(checkpoint, save, tmp_path):
    """In a process of its own, in another folder. Importing the package does not even import torch."""
    program = f"""if True:
        import sys
        import csc_fairseq
        assert csc_fairseq.__version__ and "load_model" in dir(csc_fairseq)
        assert not {{"torch", "fairseq", "numpy"}} & set(sys.modules), "heavy imports"
        model = csc_fairseq.load_model({str(save(checkpoint))!r})
        assert "fairseq" not in sys.modules, "fairseq was imported"
        print(type(model).__name__)
    """
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert (result.returncode, result.stdout) == (0, "SpeakerEncoder\n"), result.stderr


class Intruder:
    """Creates a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("legacy", [False, True])
def test_no_code_is_run(checkpoint, tmp_path, legacy):
    checkpoint["extra_state"]["intruder"] = Intruder(tmp_path / "intruded")
    path = tmp_path / "evil.pt"
    torch.save(checkpoint, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(InputError, match="evil.pt: is no checkpoint, or holds more than tensors") as caught:
        load_model(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "intruded").exists()
    torch.load(path, weights_only=False)  # what a careless loader does: the trap is real
    assert (tmp_path / "intruded").exists()


def test_files_that_are_no_checkpoint(checkpoint, save, tmp_path):
    whole = save(checkpoint).read_bytes()
    contents = [
        b"",
        b"hello\n",
        b"\x80\x02}",
        bytes(range(256)) * 40,
        *(whole[: len(whole) * k // 7] for k in range(1, 7)),
    ]
    for content in contents:
        (tmp_path / "damaged.pt").write_bytes(content)
        with pytest.raises(InputError, match="damaged.pt: is ") as caught:
            load_model(tmp_path / "damaged.pt")
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="absent.pt: no such file"):
        load_model(tmp_path / "absent.pt")
    with pytest.raises(InputError, match="list.pt: holds a list"):
        load_model(save([1], "list.pt"))
    with pytest.raises(InputError, match="weights.pt: holds a, b, expected a checkpoint of csc or speaker_verifier"):
        load_model(save({"a": torch.zeros(1), "b": 2}, "weights.pt"))


def test_incomplete_checkpoints(checkpoint, save):
    weight = "encoder.bottleneck.weight"
    other = {**checkpoint, "cfg": {**checkpoint["cfg"], "model": {"_name": "transformer"}}}
    misshapen = {**checkpoint, "model": {**checkpoint["model"], weight: torch.zeros(3)}}
    unknown = {**checkpoint, "model": {**checkpoint["model"], "encoder.extra": torch.zeros(3)}}
    wrong = {**checkpoint, "cfg": {"model": {**checkpoint["cfg"]["model"], "channels": "${task.sources}"}}}
    cases = [
        (other, "architecture 'transformer', expected a checkpoint of csc or speaker_verifier"),
        (without(checkpoint, "cfg", "model", "channels"), "lacks the model settings channels"),
        (without(checkpoint, "cfg", "model"), "cfg.model is a NoneType"),
        ({**checkpoint, "cfg": None}, "cfg is a NoneType, expected a dictionary"),
        (wrong, "model setting channels is '\\${task.sources}', expected a whole number"),
        (without(checkpoint, "model", weight), "lacks weights, 1 in all, the first is bottleneck.weight"),
        (misshapen, "has misshapen weights, 1 in all, the first is bottleneck.weight"),
        (unknown, "has unknown weights, 1 in all, the first is extra"),
        (without(checkpoint, "task_state"), "lacks the entry 'task_state'"),
        (without(checkpoint, "task_state", "sample_rate"), "lacks the entry 'sample_rate'"),
        (without(checkpoint, "task_state", "identity_level"), "lacks the entry 'identity_level'"),
    ]
    for state, message in cases:
        with pytest.raises(InputError, match=message) as caught:
            load_model(save(state))
        assert "checkpoint.pt: " in str(caught.value) and "\n" not in str(caught.value)


def test_bundles_of_another_version(model, tmp_path):
    save_bundle(model, tmp_path / "csc.pt")
    bundle = torch.load(tmp_path / "csc.pt", weights_only=True)
    torch.save({**bundle, "version": 2}, tmp_path / "newer.pt")
    with pytest.raises(InputError, match="is a bundle of csc, version 2, expected 1"):
        load_model(tmp_path / "newer.pt")
    torch.save(without(bundle, "state_dict"), tmp_path / "part.pt")
    with pytest.raises(InputError, match="lacks the entry 'state_dict'"):
        load_model(tmp_path / "part.pt")


def test_bundle_that_cannot_be_written(model, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        save_bundle(model, tmp_path / "file" / "csc.pt")
