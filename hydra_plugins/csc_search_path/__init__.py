"""Hydra plugin: finds the configurations of csc_fairseq by name, and the folder that fairseq imports user code from.

Every Hydra program on the machine loads this module. Therefore it imports neither torch nor fairseq nor csc_fairseq,
and it leaves the search path of programs that have not imported fairseq as it is.
"""

import importlib.util
import sys
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf


def user_dir() -> str:
    """Return the absolute folder of the installed csc_fairseq, for fairseq's `common.user_dir`.

    In a configuration: `common.user_dir: ${csc_user_dir:}`. The package is looked up, not imported: that is for
    fairseq to do, which imports this module on its way.

    Raises ModuleNotFoundError if csc_fairseq is not installed.
    """
    spec = importlib.util.find_spec("csc_fairseq")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("csc_fairseq is not installed beside its Hydra plugin: run `pip install csc-fairseq`")
    return str(Path(spec.submodule_search_locations[0]).absolute())


class CscSearchPath(SearchPathPlugin):
    """Appends csc_fairseq/config to the search path of fairseq's Hydra programs, behind the program's own folders."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add the folder; programs that did not import fairseq keep theirs untouched."""
        if "fairseq" in sys.modules:
            # file:// and not pkg://, which would import csc_fairseq before fairseq does.
            search_path.append(provider="csc-fairseq", path=f"file://{user_dir()}/config")


# At import, so that processes which only unpickle a job (Hydra launchers) know the resolver too. `replace`, because
# Hydra may load a plugin twice.
OmegaConf.register_new_resolver("csc_user_dir", user_dir, replace=True)
