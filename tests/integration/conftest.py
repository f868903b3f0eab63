"""One finished training that several tests look at."""

import subprocess
from pathlib import Path

import pytest

from tests.integration.running import train


@pytest.fixture(scope="session")
def trained(voices: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess]:
    """Run folder and output of a csc_debug training of 12 updates over two epochs, with two data workers."""
    run = tmp_path_factory.mktemp("trained")
    return run, train(voices, run, "optimization.max_update=12", "dataset.num_workers=2", "dataset.batch_size=5")
