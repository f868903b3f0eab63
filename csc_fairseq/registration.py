"""Our tasks, models and criterions in fairseq's registries, whichever of the two packages is imported first.

fairseq finds an architecture by its name only after the module that defines it has been imported. `fairseq-hydra-train` imports
ours by `common.user_dir`. Other programs do not, such as those that open a checkpoint with `fairseq.checkpoint_utils`. So importing
csc_fairseq registers them: at once if fairseq has been imported, else as soon as the program imports it. To import csc_fairseq
alone loads neither fairseq nor torch.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from csc_fairseq.package import require_training

FAIRSEQ, OURS = "fairseq", "csc_fairseq."
TRAINING_PROGRAM = "fairseq_cli.train"  # of fairseq-hydra-train, too


def register() -> None:
    """Registers tasks, models, criterions and optimizers with fairseq, lets its `checkpoint_utils` open bundles of csc, and,
    in the program that trains, surrounds the training (`training/hooks.py`).

    Importing csc_fairseq does this by itself, before or after fairseq. To call it again does nothing.

    Raises:
        InputError: fairseq is not installed.
    """
    require_training("training")
    import csc_fairseq.models.csc
    import csc_fairseq.models.ctc_probe
    import csc_fairseq.models.speaker_verifier
    import csc_fairseq.tasks.csc_pretraining
    import csc_fairseq.tasks.speaker_verification  # noqa: F401
    from csc_fairseq.models.bundles import let_fairseq_read_bundles

    let_fairseq_read_bundles()
    if is_imported(TRAINING_PROGRAM):
        from csc_fairseq.training.hooks import surround_fairseq

        surround_fairseq()


def register_when_fairseq_is_there() -> None:
    """Registers now if fairseq has been imported, else later, by `RegistrationHook`. Called once, when csc_fairseq is imported."""
    if is_imported(FAIRSEQ):
        register()
    else:
        sys.meta_path.insert(0, RegistrationHook())


def is_imported(name: str) -> bool:
    """Whether a module has been imported to its end. Python's import system marks modules in the middle of it like this."""
    module = sys.modules.get(name)
    return module is not None and not getattr(module.__spec__, "_initializing", False)


class RegistrationHook(MetaPathFinder):
    """A finder for `sys.meta_path` that notices when fairseq has been imported. Then it registers us and removes itself.

    It lets the other finders find every module. It only asks to be told when the import of fairseq, or of a module of ours, has
    ended: registering imports modules of ours, so it must wait while one is half imported. This is the case whenever one of ours
    is what imports fairseq, for instance in a data worker that is sent a dataset.

    Where csc_fairseq is imported in the middle of fairseq's own import, registering waits for the next import of any module.
    """

    def __init__(self) -> None:
        self._running: list[str] = []
        """Names of the modules above whose import has begun and has not ended, in whichever thread."""
        self._has_fairseq = False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Python calls this for every module that is not there yet. None leaves it to the finders behind this one."""
        awaited = name == FAIRSEQ or name.startswith(OURS)
        if not awaited and not self._register_if_possible():
            return None
        # Python is walking through the list of finders. It would skip one if this one had just left, so the others are asked here.
        for finder in list(sys.meta_path):
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if awaited and spec.loader is not None:
                    spec.loader = NotifyingLoader(spec.loader, self)  # type: ignore[assignment]  # it is whatever it wraps
                return spec
        return None

    def begin(self, name: str) -> None:
        """Called before a module is executed."""
        self._running.append(name)

    def end(self, name: str, failed: bool) -> None:
        """Called after it."""
        self._running.remove(name)
        self._has_fairseq = self._has_fairseq or (name == FAIRSEQ and not failed)
        if not failed:
            self._register_if_possible()

    def _register_if_possible(self) -> bool:
        """Whether it did."""
        if self._running or not (self._has_fairseq or is_imported(FAIRSEQ)):
            return False
        try:
            sys.meta_path.remove(self)
        except ValueError:  # another thread was faster
            return False
        register()
        return True


class NotifyingLoader:
    """Loads one module by another loader and tells the hook. The module keeps no trace of it."""

    def __init__(self, loader: Any, hook: RegistrationHook) -> None:
        self._loader = loader
        self._hook = hook

    def exec_module(self, module: ModuleType) -> None:
        """Executes the module, then may register."""
        module.__loader__ = module.__spec__.loader = self._loader
        self._hook.begin(module.__name__)
        failed = True
        try:
            self._loader.exec_module(module)
            failed = False
        finally:
            self._hook.end(module.__name__, failed)

    def __getattr__(self, name: str) -> object:
        """Whatever else is asked of a loader: `create_module`, or `get_code` for `python -m`."""
        return getattr(self._loader, name)
