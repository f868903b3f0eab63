"""Configurations read without Hydra are those that it composes."""

import pytest

from csc_fairseq.configurations import configuration_files, read_configuration
from csc_fairseq.errors import InputError


def test_what_builds_on_others_replaces_what_they_say():
    small, unlabelled = read_configuration("csc_small"), read_configuration("csc_small_unlabelled")
    changed = {
        (section, name)
        for section, settings in unlabelled.items()
        for name, value in settings.items()
        if small[section].get(name) != value
    }
    assert changed == {
        ("checkpoint", "best_checkpoint_metric"), ("task", "identity"), ("model", "global_vectors"), ("model", "memory"),
        ("task", "view_seconds"), ("task", "single_talker_share_start"), ("task", "curriculum_epochs"), ("model", "window"),
        ("model", "segment_overlap"), ("optimization", "max_update"), ("hydra", "run"),
    }  # fmt: skip
    assert set(unlabelled) == set(small) and unlabelled["model"]["window"] == 512
    names = [path.stem for path in configuration_files("csc_small_unlabelled")]
    assert names == ["csc_small_unlabelled", "csc_small", "unlabelled", "small_unlabelled"]


def test_a_file_alone_is_its_content():
    assert [path.name for path in configuration_files("csc_debug")] == ["csc_debug.yaml"]
    assert read_configuration("csc_debug")["model"]["_name"] == "csc"


def test_unknown_names_are_told():
    with pytest.raises(InputError, match="there is no configuration 'csc_big', expected one of csc_base, "):
        read_configuration("csc_big")
