"""Regular and editable installs: what is in them, and that fairseq finds configurations and package from anywhere."""

import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.integration.installing import (
    REPOSITORY,
    SITE,
    build_wheel,
    checked,
    copy_sources,
    make_environment,
    run,
    wheel_metadata,
)

pytestmark = pytest.mark.xdist_group("install")  # the environments are made once


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    return copy_sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def wheel(sources, tmp_path_factory) -> Path:
    return build_wheel(sources, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module", params=["regular", "editable"])
def environment(request, tmp_path_factory) -> tuple[Path, str, Path]:
    """(python, kind, package folder) of a virtual environment of its own that borrows this one's other packages."""
    place = tmp_path_factory.mktemp(request.param)
    if request.param == "regular":
        python, site = make_environment(place, SITE, request.getfixturevalue("wheel"))
        return python, request.param, site / "csc_fairseq"
    sources = request.getfixturevalue("sources")
    python, _ = make_environment(place, SITE, "--no-build-isolation", "-e", sources)
    return python, request.param, sources / "csc_fairseq"


def test_wheel_holds_every_module_and_configuration(wheel):
    packed = set(zipfile.ZipFile(wheel).namelist())
    expected = {str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob("csc_fairseq/**/*.py")}
    expected |= {str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob("csc_fairseq/config/**/*.yaml")}
    expected |= {"hydra_plugins/csc_search_path/__init__.py", "csc_fairseq/py.typed"}
    assert expected - packed == set()
    assert "hydra_plugins/__init__.py" not in packed, "it would hide the Hydra plugins of other distributions"
    assert not [name for name in packed if name.startswith(("tests", "benchmarks"))]


def test_only_training_needs_fairseq_and_a_compiler(wheel):
    """Names by extra, "" for what always comes. The tests train, and so does the demo."""
    metadata = wheel_metadata(wheel)
    requirements = [Requirement(line) for line in metadata.get_all("Requires-Dist")]

    def needs(extra: str) -> set[str]:
        return {one.name for one in requirements if one.marker is None or one.marker.evaluate({"extra": extra})}

    always, training = needs(""), {"fairseq-fixed", "hydra-core", "tensorboardX", "editdistance"}
    assert not always & (training | {"omegaconf", "resemblyzer"})
    assert needs("train") - always == training
    for extra in ("demo", "test"):
        assert training < needs(extra)
    assert needs("baselines") | needs("demo") <= needs("test")
    assert set(metadata.get_all("Provides-Extra")) == {
        "train",
        "demo",
        "cluster",
        "baselines",
        "campplus",
        "diarization",
        "lhotse",
        "test",
    }


def test_configuration_is_found_by_name_from_another_folder(environment, tmp_path):
    python, _, package = environment
    command = (python, "-m", "fairseq_cli.hydra_train", "--config-name", "csc_base", "--cfg", "job", "--resolve")
    composed = checked(*command, cwd=tmp_path)
    assert f"user_dir: {package}\n" in composed
    assert "_name: csc_pretraining" in composed
    assert list(tmp_path.iterdir()) == []


def test_training_reaches_our_task_from_another_folder(environment, tmp_path):
    """The task is registered through the user folder: the complaint about the missing manifest is its own."""
    python, _, _ = environment
    command = (python, "-m", "fairseq_cli.hydra_train", "--config-name", "csc_debug")
    result = run(*command, f"task.data={tmp_path}/absent", f"hydra.run.dir={tmp_path}/run", cwd=tmp_path)
    assert result.returncode != 0
    assert f"{tmp_path}/absent/" in result.stderr and "Traceback" not in result.stderr, result.stderr


def test_console_script_starts(environment, tmp_path):
    python, _, _ = environment
    assert "demo" in checked(python.parent / "csc", "--help", cwd=tmp_path)
