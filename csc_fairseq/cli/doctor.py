"""`csc doctor`: is this installation fit for training and use?"""

import argparse
import importlib.metadata
import io
import os
import platform
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec

from csc_fairseq.package import FOLDER, TRAINING, __version__

SUMMARY = "check the installation, one line a check"
EXAMPLE = "csc doctor"
PYTHON_VERSIONS = ((3, 11), (3, 13))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """This verb has no options of its own."""


def run(arguments: argparse.Namespace) -> int:
    """Prints PASS or FAIL with details for every check, NOTE for what need not be changed. Exit status 1 if one failed."""
    failures = 0
    checks = CHECKS | (TRAINING_CHECKS if find_spec("fairseq") else {})
    print(f"csc-fairseq {__version__} in {FOLDER.parent}")
    for name, check in checks.items():
        try:
            verdict, detail = "PASS", check()
        except Exception as error:  # whatever a broken installation raises is this verb's result
            if arguments.debug:
                raise
            failures += 1
            verdict, detail = "FAIL", _first_line(error)
        print(f"{verdict}  {name}: {detail}", flush=True)
    for name, note in NOTES.items():
        if text := note():
            print(f"NOTE  {name}: {text}")
    print("all is well" if not failures else f"{failures} of {len(checks)} checks failed")
    return 1 if failures else 0


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def python() -> str:
    """Version of the interpreter, which must be a supported one."""
    (low, high), found = PYTHON_VERSIONS, sys.version_info[:2]
    if not low <= found <= high:
        raise RuntimeError(f"found {platform.python_version()}, expected {low[0]}.{low[1]} to {high[0]}.{high[1]}")
    return f"{platform.python_version()} at {sys.executable}"


def torch() -> str:
    """PyTorch computes, and is new enough to run no code from a checkpoint."""
    import torch

    if torch.__version__ < "2.6":
        raise RuntimeError(
            f"found {torch.__version__}, expected 2.6 or newer: older ones run code that a file contains"
        )
    total = float((torch.ones(3) * 2).sum())
    if total != 6:
        raise RuntimeError(f"2 + 2 + 2 gave {total}")
    return torch.__version__


def fairseq() -> str:
    """fairseq imports and its training command is at hand."""
    import fairseq.tasks  # noqa: F401  (the part that fails on an unpatched fairseq)

    command = shutil.which(
        "fairseq-hydra-train", path=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    )
    if command is None:
        raise RuntimeError("fairseq-hydra-train is not installed; expected it beside python; reinstall fairseq-fixed")
    return f"{importlib.metadata.version('fairseq-fixed')} (fairseq-fixed), {command}"


def hydra() -> str:
    """Hydra finds the plugin that makes --config-name csc_base work from any folder."""
    import hydra
    from hydra.core.plugins import Plugins
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    found = [
        plugin for plugin in Plugins.instance().discover(SearchPathPlugin) if "csc_search_path" in plugin.__module__
    ]
    if not found:
        raise RuntimeError(
            "its plugin csc_search_path is not found; reinstall csc-fairseq (pip install --force-reinstall --no-deps)"
        )
    return f"{hydra.__version__}, finds the configurations through {found[0].__name__}"


def soundfile() -> str:
    """soundfile writes and reads Ogg-Opus."""
    import numpy as np
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, np.zeros(1600, dtype=np.float32), 16000, format="OGG", subtype="OPUS")
    file.seek(0)
    samples, _ = soundfile.read(file)
    if len(samples) != 1600:
        raise RuntimeError(f"wrote 1600 samples as Ogg-Opus and read {len(samples)}; expected libsndfile 1.1 or newer")
    return f"{soundfile.__version__}, {soundfile.__libsndfile_version__}, reads Ogg-Opus"


def resampler() -> str:
    """soxr and scipy import: resampling and reverberation."""
    import scipy
    import soxr

    return f"soxr {soxr.__version__}, scipy {scipy.__version__}"


def hardware() -> str:
    """Cores and GPUs; a machine without GPU passes."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return f"{cores} CPU cores, {', '.join(gpus) if gpus else 'no GPU (training runs on the CPU)'}"


def without_training() -> str | None:
    """Whether the packages for training are missing."""
    if find_spec("fairseq"):
        return None
    needing = "training, csc mix, csc demo and the networks of wav2vec 2.0 and HuBERT"
    return f"fairseq is not installed; only {needing} need it: {TRAINING}"


def unusable_torchaudio() -> str | None:
    """fairseq-fixed brings a torchaudio for CUDA, which cannot be imported beside a CPU build of PyTorch."""
    if find_spec("torchaudio") is None:
        return None
    try:
        import torchaudio  # noqa: F401
    except Exception as error:  # a missing library, a missing symbol, another version of PyTorch
        return f"cannot be imported ({_first_line(error)}); csc-fairseq does not use it: pip uninstall torchaudio"
    return None


CHECKS: dict[str, Callable[[], str]] = {
    "python": python,
    "torch": torch,
    "soundfile": soundfile,
    "resampling": resampler,
    "hardware": hardware,
}
TRAINING_CHECKS: dict[str, Callable[[], str]] = {"fairseq": fairseq, "hydra": hydra}
NOTES: dict[str, Callable[[], str | None]] = {"training": without_training, "torchaudio": unusable_torchaudio}
