"""Fixtures for all tests: recorded speech where it is at hand, synthetic voices, and folders that parallel workers share."""

import fcntl
import gc
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.making import write_voices


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest test comes first: otherwise a worker waits for it alone at the end."""
    items.sort(key=lambda item: item.name != "test_walk_through_of_the_example")


@pytest.fixture(autouse=True)
def no_data_workers_left() -> Iterator[None]:
    """Ends the data workers that fairseq's iterators keep. The garbage collector would wait 5 s for each, in some later test.

    It ends the threads that could tell them to stop before it asks PyTorch to stop them.
    """
    yield
    if multiprocessing.active_children():
        from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

        for one in gc.get_objects():
            if type(one) is _MultiProcessingDataLoaderIter:
                one._shutdown_workers()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of recorded speech, noise and room responses; named by CSC_SHARED_DATA, else beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("CSC_SHARED_DATA", beside))
    if not (folder / "speakers.tsv").is_file():
        pytest.skip(f"no recorded speech at {folder}; name its folder with CSC_SHARED_DATA")
    return folder


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """once("name", fill): a folder that the first worker to ask for it fills with fill(folder), for all of them.

    Tests must leave it as it is. The others wait meanwhile.
    """
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent  # the workers' own folders are below one of the whole run

    def folder_of(name: str, fill: Callable[[Path], object]) -> Path:
        folder, complete = place / name, place / f"{name}.complete"
        with open(place / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # released with the file, so also by a worker that dies
            if not complete.exists():
                shutil.rmtree(folder, ignore_errors=True)  # left by a worker that failed
                folder.mkdir()
                fill(folder)
                complete.touch()
        return folder

    return folder_of


@pytest.fixture(scope="session")
def voices(once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """Manifests train (8 speakers), valid (the same speakers, other takes) and test (4 other speakers) of synthetic voices."""

    def synthesise(folder: Path) -> None:
        write_voices(folder, "train", {speaker: range(4) for speaker in range(8)})
        write_voices(folder, "valid", {speaker: range(4, 6) for speaker in range(8)})
        write_voices(folder, "test", {speaker: range(3) for speaker in range(8, 12)})

    return once("voices", synthesise)
