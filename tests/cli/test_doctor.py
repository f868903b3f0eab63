"""`csc doctor`: PASS on this installation, FAIL with status 1 when something is amiss, NOTE for what may stay."""

import sys

import pytest

from csc_fairseq.cli import doctor
from csc_fairseq.cli.main import main


@pytest.fixture(autouse=True)
def no_torchaudio(monkeypatch):
    """What fairseq brought into the environment of the tests is no matter of theirs."""
    monkeypatch.setitem(sys.modules, "torchaudio", None)


def test_this_installation_is_well(capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "all is well"
    names = [*doctor.CHECKS, *doctor.TRAINING_CHECKS]
    assert [line.split(":")[0] for line in lines[1:-1]] == [f"PASS  {name}" for name in names]
    assert "reads Ogg-Opus" in "".join(lines) and "CscSearchPath" in "".join(lines)


def test_a_failed_check_is_named(monkeypatch, capsys):
    def broken():
        raise ImportError("no such thing\nsecond line")

    monkeypatch.setitem(doctor.TRAINING_CHECKS, "fairseq", broken)
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "FAIL  fairseq: ImportError: no such thing" in lines
    assert lines[-1] == f"1 of {len(doctor.CHECKS) + len(doctor.TRAINING_CHECKS)} checks failed"
    with pytest.raises(ImportError):
        main(["doctor", "--debug"])


def test_without_fairseq_only_training_is_missing(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "fairseq", None)
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[1:-2]] == [f"PASS  {name}" for name in doctor.CHECKS]
    assert lines[-2].startswith("NOTE  training: fairseq is not installed;")
    assert lines[-2].endswith(": pip install 'csc-fairseq[train]'") and lines[-1] == "all is well"


def test_a_torchaudio_that_cannot_be_imported_is_named(monkeypatch, tmp_path, capsys):
    (tmp_path / "torchaudio.py").write_text("raise OSError('libcudart.so.13: no such file\\nsecond line')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torchaudio")
    assert main(["doctor"]) == 0
    note = capsys.readouterr().out.splitlines()[-2]
    assert note.startswith("NOTE  torchaudio: cannot be imported (OSError: libcudart.so.13: no such file); ")
    assert note.endswith("pip uninstall torchaudio")
    (tmp_path / "torchaudio.py").write_text("")
    assert doctor.unusable_torchaudio() is None


def test_each_check_can_fail(monkeypatch):
    import soundfile
    import torch
    from hydra.core.plugins import Plugins

    monkeypatch.setattr(Plugins.instance(), "discover", lambda kind: [])
    with pytest.raises(RuntimeError, match="csc_search_path is not found"):
        doctor.hydra()
    monkeypatch.setattr(soundfile, "read", lambda file: ([], 16000))
    with pytest.raises(RuntimeError, match="wrote 1600 samples as Ogg-Opus and read 0"):
        doctor.soundfile()
    monkeypatch.setattr(torch, "__version__", type(torch.__version__)("2.5.1+cpu"))
    with pytest.raises(RuntimeError, match="found 2.5.1.cpu, expected 2.6 or newer"):
        doctor.torch()
    monkeypatch.setattr(doctor.shutil, "which", lambda name, path: None)
    with pytest.raises(RuntimeError, match="fairseq-hydra-train is not installed"):
        doctor.fairseq()
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))
    with pytest.raises(RuntimeError, match="expected 3.11 to 3.13"):
        doctor.python()
