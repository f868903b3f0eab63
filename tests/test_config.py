"""The configurations beside each other."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import csc_fairseq

FOLDER = Path(csc_fairseq.__file__).parent / "config"
PRETRAINING = ("csc_debug", "csc_small", "csc_base")


def keys(node: dict, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Dotted names of all values, in order."""
    for name, value in node.items():
        if isinstance(value, dict):
            yield from keys(value, (*path, name))
        else:
            yield ".".join((*path, name))


def read(name: str) -> dict:
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


def test_the_sizes_of_csc_have_the_same_keys():
    """What one configuration says, the others say too, so that they can be compared line by line."""
    found = {name: list(keys(read(name))) for name in PRETRAINING}
    for name in PRETRAINING:
        assert set(found[name]) == set(found["csc_base"]), f"{name} has other keys than csc_base"
        assert len(set(found[name])) == len(found[name]) > 60


@pytest.mark.parametrize("name", PRETRAINING)
def test_every_option_of_ours_is_there(name):
    """And no other: fairseq drops unknown ones of a checkpoint silently."""
    from csc_fairseq.criterions.csc import CscCriterionConfig
    from csc_fairseq.models.csc import CscConfig
    from csc_fairseq.tasks.csc_pretraining import CscPretrainingConfig

    # `sources` of the model is the task's; `rebuild_batches` is for fairseq, and never another value.
    dataclasses = {"model": (CscConfig, {"sources"}), "criterion": (CscCriterionConfig, set())}
    dataclasses["task"] = (CscPretrainingConfig, {"rebuild_batches"})
    for section, (dataclass, left_out) in dataclasses.items():
        expected = set(dataclass.__dataclass_fields__) - left_out - {"_name"}
        assert set(read(name)[section]) - {"_name"} == expected, section
