"""Regular and editable installs: what is in them, and that fairseq finds configurations and package from anywhere."""

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = ("setup.py", "pyproject.toml", "MANIFEST.in", "LICENSE", "csc_fairseq", "hydra_plugins")


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=300)


def checked(*command: object, cwd: Path) -> str:
    result = run(*command, cwd=cwd)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """A copy of what is packaged, so that builds and editable installs leave the repository alone."""
    copy = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        if (REPOSITORY / name).is_dir():
            shutil.copytree(REPOSITORY / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(REPOSITORY / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def wheel(sources, tmp_path_factory) -> Path:
    """The wheel, built from the unpacked source distribution: a file missing there is missing here."""
    out = tmp_path_factory.mktemp("dist")
    build = "import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"
    sdist = out / checked(sys.executable, "-c", build, out, cwd=sources).splitlines()[-1]
    checked(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", out, sdist, cwd=out)
    (built,) = out.glob("csc_fairseq-*.whl")
    return built


@pytest.fixture(scope="module", params=["regular", "editable"])
def environment(request, tmp_path_factory) -> tuple[Path, str, Path]:
    """(python, kind, package folder) of an own virtual environment that borrows this one's other packages.

    A folder named in a .pth file is searched, but .pth files inside it are not read: this environment's own editable
    install of csc_fairseq is out of sight.
    """
    place = tmp_path_factory.mktemp(request.param)
    checked(sys.executable, "-m", "venv", "--without-pip", place / "venv", cwd=place)
    python = place / "venv" / "bin" / "python"
    site = Path(checked(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=place).strip())
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    assert run(python, "-c", "import csc_fairseq", cwd=place).returncode != 0, "not isolated"
    if request.param == "regular":
        what, package = [request.getfixturevalue("wheel")], site / "csc_fairseq"
    else:
        sources = request.getfixturevalue("sources")
        what, package = ["--no-build-isolation", "-e", sources], sources / "csc_fairseq"
    # --ignore-installed: pip must not uninstall what it sees in the borrowed folder.
    flags = ("--no-deps", "--no-index", "--ignore-installed", "--quiet")
    checked(sys.executable, "-m", "pip", "--python", python, "install", *flags, *what, cwd=place)
    return python, request.param, package


def test_wheel_holds_every_module_and_configuration(wheel):
    packed = set(zipfile.ZipFile(wheel).namelist())
    expected = {str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob("csc_fairseq/**/*.py")}
    expected |= {str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob("csc_fairseq/config/*.yaml")}
    expected |= {"hydra_plugins/csc_search_path/__init__.py"}
    assert expected - packed == set()
    assert "hydra_plugins/__init__.py" not in packed, "it would hide the Hydra plugins of other distributions"
    assert not [name for name in packed if name.startswith(("tests", "benchmarks"))]


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
