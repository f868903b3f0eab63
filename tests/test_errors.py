"""InputError is one of Hydra's exceptions where Hydra runs, and needs no Hydra elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from csc_fairseq.errors import InputError
from csc_fairseq.package import require_training

REPOSITORY = Path(__file__).parents[1]
# Hydra is imported behind the condition, so that a data worker, which imports this file again, comes without it.
APPLICATION = """
if __name__ == "__main__":
    import hydra
    from torch.utils.data import DataLoader
    from tests.test_errors import Faulty

    @hydra.main(version_base=None, config_path=None)
    def main(cfg):
        list(DataLoader(Faulty(), **WORKERS))

    main()
"""


def test_long_messages_keep_their_ends():
    message = str(InputError(f"x.tsv:3: found {'y' * 100_000}, expected a number"))
    assert (
        message.startswith("x.tsv:3: found yyy") and message.endswith("yyy, expected a number") and len(message) < 2100
    )
    assert str(InputError("x.tsv:3: short")) == "x.tsv:3: short"


class Faulty(Dataset):
    """Has one bad recording."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> torch.Tensor:
        raise InputError("a.wav: is broken")


def python(*words: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("workers", [{}, {"num_workers": 1, "multiprocessing_context": "spawn"}])
def test_hydra_prints_the_message_alone(tmp_path, workers):
    """Also that of a worker whose own InputError is not one of Hydra's: the main process raises its own class."""
    (tmp_path / "app.py").write_text(APPLICATION.replace("WORKERS", str(workers)))
    result = python(str(tmp_path / "app.py"), f"hydra.run.dir={tmp_path}/run")
    assert result.returncode == 1
    assert "\na.wav: is broken\n" in result.stderr and "Traceback" not in result.stderr


def test_hydra_is_not_imported_otherwise():
    program = (
        "import sys; from csc_fairseq.errors import InputError; print('hydra' in sys.modules, InputError.__bases__)"
    )
    assert python("-c", program).stdout == "False (<class 'ValueError'>,)\n"
    without = (
        "import sys; sys.modules['hydra'] = None; from csc_fairseq.errors import InputError; print(InputError('a'))"
    )
    assert python("-c", without).stdout == "a\n"


def test_the_message_of_a_data_worker_is_the_message():
    with pytest.raises(InputError) as caught:
        list(DataLoader(Faulty(), num_workers=1))
    assert str(caught.value) == "a.wav: is broken"


def test_require_training(monkeypatch):
    require_training("mixing")
    monkeypatch.setitem(sys.modules, "fairseq", None)
    with pytest.raises(InputError, match=r"^mixing needs fairseq, .*: run pip install 'csc-fairseq\[train\]'$"):
        require_training("mixing")


def test_a_quoted_name_of_the_exception_cuts_nothing_off():
    """A file may hold that text; only the traceback of a data worker, of several lines, is taken apart."""
    from csc_fairseq.errors import InputError

    message = "a.pt: its entry kind is 'InputError: x', expected csc"
    assert str(InputError(message)) == message
    assert str(InputError(f"Traceback:\n  File …\ncsc_fairseq.errors.InputError: {message}")) == message
