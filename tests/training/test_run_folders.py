"""Folders of runs and of the jobs of sweeps; that Hydra uses them is tested through the real command."""

import pytest
from omegaconf import OmegaConf

from csc_fairseq.training.run_folders import RunFolders


def test_a_folder_that_cannot_be_written_to_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    config = OmegaConf.create({"hydra": {"run": {"dir": f"{tmp_path}/file/below"}}})
    with pytest.raises(SystemExit, match="file/below: cannot be written to .Not a directory.*hydra.run.dir"):
        RunFolders().on_run_start(config)
    config.hydra.run.dir = f"{tmp_path}/new/below"
    RunFolders().on_run_start(config)
    assert not list((tmp_path / "new" / "below").iterdir())


def test_jobs_are_named_by_what_differs(tmp_path):
    words = ["task.data=/x", "common.seed=1,2", "+optimization.lr=[0.1],[0.2]", "task.noise='a=b.tsv'"]
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}, "overrides": {"task": words, "hydra": []}}})
    OmegaConf.set_readonly(config.hydra, True)
    RunFolders().on_multirun_start(config)
    assert config.hydra.overrides.hydra == ["hydra.job.config.override_dirname.exclude_keys=['task.data','task.noise']"]
