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

PROGRAM = "fairseq-hydra-train"


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
            if Path(sys.argv[0]).name == PROGRAM:
                require_configuration(sys.argv[1:], search_path)


def require_configuration(words: list[str], search_path: ConfigSearchPath) -> None:
    """SystemExit with one line if a command names no configuration that there is.

    fairseq registers its defaults under whatever name was given, so that Hydra finds nothing wrong with it, and then complains of
    every option. Folders that the command itself names are not known yet; then nothing is checked.
    """
    if any(word.split("=")[0] in ("--config-dir", "-cd", "--config-path", "-cp") for word in words):
        return
    ours = ", ".join(sorted(path.stem for path in Path(user_dir(), "config").glob("*.yaml")))
    name = named(words)
    if name is None:
        composed = any(word.lstrip("+").startswith("task=") for word in words)
        if not composed and any(word.startswith("task.") for word in words):
            sys.exit(f"--config-name is missing; csc_fairseq has {ours}")
    elif not any(Path(folder, f"{name.removesuffix('.yaml')}.yaml").is_file() for folder in folders(search_path)):
        sys.exit(f"--config-name {name}: no such configuration; csc_fairseq has {ours}")


def named(words: list[str]) -> str | None:
    """The configuration that a command names."""
    for word, after in zip(words, [*words[1:], ""], strict=True):
        option, mark, value = word.partition("=")
        if option in ("--config-name", "-cn"):
            return value if mark else after
    return None


def folders(search_path: ConfigSearchPath) -> list[str]:
    """Those of its entries that are folders or packages."""
    found = []
    for entry in search_path.get_path():
        kind, _, place = (entry.path or "").partition("://")
        if kind == "file":
            found.append(place)
        elif kind == "pkg" and (spec := importlib.util.find_spec(place)):
            found += spec.submodule_search_locations or []
    return found


# At import, so that processes which only unpickle a job (Hydra launchers) know the resolver too. `replace`, because
# Hydra may load a plugin twice.
OmegaConf.register_new_resolver("csc_user_dir", user_dir, replace=True)
