"""One finished training that several tests look at."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.running import train_once


@pytest.fixture(scope="session")
def trained(voices: Path, once: Callable[..., Path]) -> tuple[Path, subprocess.CompletedProcess]:
    """Run folder and output of a csc_debug training of 12 updates over two epochs, with two data workers."""
    quick = ("optimization.max_update=12", "dataset.num_workers=2", "dataset.batch_size=5")
    return train_once(once, "trained", voices, *quick, fresh=True)
