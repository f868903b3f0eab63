"""Our configurations, read without Hydra: what a file says, over what it builds on."""

from pathlib import Path
from typing import Any

import yaml

from csc_fairseq.errors import InputError
from csc_fairseq.package import CONFIGURATIONS


def configuration_files(name: str) -> list[Path]:
    """The files of a configuration, e.g. csc_small, in the order in which they are merged: each replaces what those before it say.

    InputError if there is none of this name, with those of csc that there are.
    """
    path = CONFIGURATIONS / f"{name}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in CONFIGURATIONS.glob("csc_*.yaml"))
        raise InputError(f"there is no configuration {name!r}, expected one of {', '.join(known)}")
    files: list[Path] = []
    for entry in _content(path).get("defaults", ["_self_"]):
        files += [path] if entry == "_self_" else configuration_files(entry)
    return files


def read_configuration(name: str) -> dict[str, Any]:
    """Its settings by section. Interpolations (${…}) are left as they are. InputError as of `configuration_files`."""
    merged: dict[str, Any] = {}
    for path in configuration_files(name):
        content = _content(path)
        content.pop("defaults", None)
        _merge(merged, content)
    return merged


def _content(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _merge(settings: dict[str, Any], others: dict[str, Any]) -> None:
    for name, value in others.items():
        if isinstance(value, dict) and isinstance(settings.get(name), dict):
            _merge(settings[name], value)
        else:
            settings[name] = value
