"""The wheel of this checkout, and virtual environments that borrow packages from the one that runs the tests."""

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = ("setup.py", "pyproject.toml", "MANIFEST.in", "LICENSE", "csc_fairseq", "hydra_plugins")
SITE = Path(sysconfig.get_path("purelib"))


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)


def checked(*command: object, cwd: Path) -> str:
    result = run(*command, cwd=cwd)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def copy_sources(folder: Path) -> Path:
    """What is packaged, so that builds and editable installs leave the repository alone."""
    for name in SOURCES:
        if (REPOSITORY / name).is_dir():
            shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(REPOSITORY / name, folder / name)
    return folder


def build_wheel(sources: Path, out: Path) -> Path:
    """The wheel, built from the unpacked source distribution: a file missing there is missing here."""
    build = "import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"
    sdist = out / checked(sys.executable, "-c", build, out, cwd=sources).splitlines()[-1]
    checked(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", out, sdist, cwd=out)
    (built,) = out.glob("csc_fairseq-*.whl")
    return built


def wheel_metadata(wheel: Path) -> Message:
    """What the wheel says of itself: Requires-Dist, Provides-Extra, …"""
    name = f"{wheel.name.removesuffix('-py3-none-any.whl')}.dist-info/METADATA"
    return message_from_string(zipfile.ZipFile(wheel).read(name).decode())


def make_environment(place: Path, borrowed: Path, *what: object) -> tuple[Path, Path]:
    """A virtual environment in which pip has installed `what`: (its python, its folder of packages).

    borrowed: a folder of packages that it sees, too. Python searches a folder that a .pth file names, but does not read the
    .pth files inside: the editable install of csc_fairseq in the environment of the tests is out of sight.
    """
    checked(sys.executable, "-m", "venv", "--without-pip", place / "venv", cwd=place)
    python = place / "venv" / "bin" / "python"
    site = Path(checked(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=place).strip())
    (site / "borrowed.pth").write_text(f"{borrowed}\n")
    assert run(python, "-c", "import csc_fairseq", cwd=place).returncode != 0, "not isolated"
    # --ignore-installed: pip must not uninstall what it sees in the borrowed folder.
    flags = ("--no-deps", "--no-index", "--ignore-installed", "--quiet")
    checked(sys.executable, "-m", "pip", "--python", python, "install", *flags, *what, cwd=place)
    return python, site
