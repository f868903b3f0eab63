"""A folder for each job of `fairseq-hydra-train --multirun`, named by the options that differ between the jobs."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write


class RunFolders(Callback):
    """Hydra calls this, since our configurations name it in `hydra.callbacks`.

    Hydra names a job after all options of the command. Names would be too long then, and with a larger `optimization.max_update`
    a sweep would begin again in other folders. So options with one value are left out: the same jobs find their folders again.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Exit status 1 with one line if the run's folder cannot be written to."""
        require_writable(Path(config.hydra.run.dir))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Tells Hydra which options not to name folders after. Exit status 1 as of `on_run_start`."""
        require_writable(Path(config.hydra.sweep.dir))
        options = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
        constant = [option.key_or_group for option in options if not option.is_sweep_override()]
        with read_write(config.hydra), open_dict(config.hydra):
            names = ",".join(f"'{name}'" for name in dict.fromkeys(constant))
            config.hydra.overrides.hydra.append(f"hydra.job.config.override_dirname.exclude_keys=[{names}]")

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Before fairseq reads the options, in whichever process Hydra starts the job: see `hooks.py`.

        Exit status 1 with one line if the data are not named.
        """
        if OmegaConf.is_missing(config.task, "data"):
            sys.exit("task.data is missing: the folder with train.tsv and valid.tsv, such as task.data=manifests")
        from csc_fairseq.training.hooks import surround_fairseq

        surround_fairseq()


def require_writable(folder: Path) -> None:
    """Makes a folder. SystemExit with one line if that, or writing to it, fails: Hydra passes on no other error of a callback."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0")
    except OSError as error:
        sys.exit(
            f"{folder}: cannot be written to ({error.strerror}); make room or give it write permission, or choose another folder "
            "with hydra.run.dir"
        )
