"""The package itself: its version, its folder, its configurations, and the extra that brings fairseq."""

from importlib.util import find_spec
from pathlib import Path

__version__ = "0.1.0"
FOLDER = Path(__file__).parent
CONFIGURATIONS = FOLDER / "config"
"""csc_base.yaml and the others, found by `fairseq-hydra-train --config-name`."""
TRAINING = "pip install 'csc-fairseq[train]'"
"""The command that installs what training needs."""


def require_training(purpose: str) -> None:
    """InputError unless fairseq is installed, without importing it.

    purpose: what needs it, as the beginning of the message: "mixing", "a wav2vec checkpoint".
    """
    if find_spec("fairseq") is None:
        # Not at the top: `import csc_fairseq` comes by here, and errors.py should be imported after Hydra, if at all.
        from csc_fairseq.errors import InputError

        raise InputError(f"{purpose} needs fairseq, which is not installed: run {TRAINING}")
