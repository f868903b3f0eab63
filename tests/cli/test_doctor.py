"""`csc doctor`: PASS on this installation, FAIL with status 1 when something is amiss."""

import sys

import pytest

from csc_fairseq.cli import doctor
from csc_fairseq.cli.main import main


def test_this_installation_is_well(capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "all is well"
    assert [line.split(":")[0] for line in lines[1:-1]] == [f"PASS  {name}" for name in doctor.CHECKS]
    assert "reads Ogg-Opus" in "".join(lines) and "CscSearchPath" in "".join(lines)


def test_a_failed_check_is_named(monkeypatch, capsys):
    def broken():
        raise ImportError("no such thing\nsecond line")

    monkeypatch.setitem(doctor.CHECKS, "fairseq", broken)
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "FAIL  fairseq: ImportError: no such thing" in lines
    assert lines[-1] == f"1 of {len(doctor.CHECKS)} checks failed"
    with pytest.raises(ImportError):
        main(["doctor", "--debug"])


def test_each_check_can_fail(monkeypatch):
    import soundfile
    from hydra.core.plugins import Plugins

    monkeypatch.setattr(Plugins.instance(), "discover", lambda kind: [])
    with pytest.raises(RuntimeError, match="csc_search_path is not found"):
        doctor.hydra()
    monkeypatch.setattr(soundfile, "read", lambda file: ([], 16000))
    with pytest.raises(RuntimeError, match="wrote 1600 samples as Ogg-Opus and read 0"):
        doctor.soundfile()
    monkeypatch.setattr(doctor.shutil, "which", lambda name, path: None)
    with pytest.raises(RuntimeError, match="fairseq-hydra-train is not installed"):
        doctor.fairseq()
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))
    with pytest.raises(RuntimeError, match="expected 3.11 to 3.13"):
        doctor.python()
