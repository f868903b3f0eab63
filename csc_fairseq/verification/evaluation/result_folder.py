"""The folder of an evaluation's results: it holds what the last evaluation wrote, and whatever else somebody keeps there.

A list in the folder names the files that evaluations wrote. Nothing else is ever replaced or removed.
"""

import io
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from csc_fairseq.errors import InputError
from csc_fairseq.files import replacing
from csc_fairseq.locking import LOCK, alone_in
from csc_fairseq.verification.encoders.spec import encoder_name
from csc_fairseq.verification.evaluation.benchmark_options import BenchmarkOptions
from csc_fairseq.verification.evaluation.embedding_store import EmbeddingStore, slug
from csc_fairseq.verification.evaluation.evaluation_set import EvaluationSet
from csc_fairseq.verification.trials.trial_file import enrolments_path, write_trials

LISTED = "files.json"
TRIALS, SCORES = "trials.txt", "scores"
OF_TRIALS = "--manifest"  # the option of `csc evaluate` that names what is evaluated


class ResultFolder:
    """A folder whose files one evaluation at a time writes. It is a context, at whose end others may.

    Args:
        path: the folder; it is made if it is missing.
        given: files that are read by this evaluation and may lie there without having been listed.
        of: the option of `csc evaluate` that names what is evaluated. Results of another one stay.

    Raises:
        InputError: it cannot be written, another evaluation is at work there, its list is damaged or of an evaluation of
            something else, or it has no list and holds other files than the given ones.
    """

    def __init__(self, path: Path, given: Sequence[Path] = (), of: str = OF_TRIALS) -> None:
        self.path = path
        self._of = of
        EmbeddingStore(path)  # makes the folder, or complains
        self._read(given)  # not even a lock is left in a folder of somebody else's
        with ExitStack() as lock:
            lock.enter_context(alone_in(path, "another evaluation", "choose another --out"))
            self._listed = self._read(given)
            self._lock = lock.pop_all()  # held on, as nothing went wrong

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._lock.close()

    def _read(self, given: Sequence[Path]) -> set[str]:
        path = self.path / LISTED
        if path.exists():
            try:
                content = json.loads(path.read_bytes())
                listed = {
                    str(Path(name))
                    for name in content["files"]
                    if not Path(name).is_absolute() and ".." not in Path(name).parts
                }
                of = content.get("of", OF_TRIALS)
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"{path}: is damaged, and does not tell which files are results; choose another --out"
                ) from error
            if of != self._of:
                raise InputError(
                    f"{self.path}: holds results of `csc evaluate {of}`, expected none or those of {self._of}; choose another --out"
                )
            return listed
        known = {LOCK, *(file.name for file in given if file.absolute().parent == self.path.absolute())}
        foreign = sorted(file.name for file in self.path.iterdir() if file.name not in known)
        if foreign:
            raise InputError(
                f"{self.path}: holds {foreign[0]}, which no evaluation wrote; choose an empty folder, or that of an earlier "
                "evaluation"
            )
        return set()

    def listed(self, pattern: str) -> list[str]:
        """Names of files that evaluations wrote, relative to the folder, which match a pattern of `Path.match`."""
        return sorted(name for name in self._listed if Path(name).match(pattern))

    def claim(self, name: str) -> Path:
        """The path of a file that is about to be written, once it is listed. InputError if there is one of somebody else's."""
        path = self.path / name
        if name not in self._listed:
            if path.exists():
                raise InputError(f"{path}: is there, and no evaluation wrote it; move it away, or choose another --out")
            self._list(self._listed | {name})
        return path

    def write(self, name: str, content: bytes) -> None:
        """Writes a file as a whole or not at all; see `claim`."""
        with replacing(self.claim(name)) as temporary:
            temporary.write_bytes(content)

    def remove(self, names: Sequence[str]) -> None:
        """Removes those of the files that evaluations wrote."""
        gone = self._listed.intersection(names)
        for name in gone:
            (self.path / name).unlink(missing_ok=True)
        if gone:
            self._list(self._listed - gone)

    def _list(self, names: set[str]) -> None:
        self._listed = names
        with replacing(self.path / LISTED) as temporary:
            temporary.write_text(json.dumps({"of": self._of, "files": sorted(names)}, indent=1) + "\n")


def open_folder(options: BenchmarkOptions) -> ResultFolder:
    """The folder of an evaluation. InputError as of the class."""
    return ResultFolder(
        options.out, [file for file in (options.trials, options.enrolments, options.conditions) if file]
    )


def prepare_folder(folder: ResultFolder, options: BenchmarkOptions, test: EvaluationSet) -> None:
    """Leaves the trials there if no other file holds them, and removes what is out of date, or would be read with them.

    InputError if a file of somebody else's is in the way.
    """
    _leave_trials(folder, options, test)
    asked = {slug(encoder_name(text)) for text in options.encoders}
    folder.remove([name for name in folder.listed(f"{SCORES}/*/*.npy") if Path(name).parent.name not in asked])


def save_scores(folder: ResultFolder, encoder: str, scores: Mapping[str, np.ndarray]) -> None:
    """float32 [n] in the order of the trials, one .npy file a condition. Those of earlier conditions are removed."""
    names = {f"{SCORES}/{slug(encoder)}/{condition}.npy": best for condition, best in scores.items()}
    folder.remove([name for name in folder.listed(f"{SCORES}/{slug(encoder)}/*.npy") if name not in names])
    for name, best in names.items():
        content = io.BytesIO()
        np.save(content, best)
        folder.write(name, content.getvalue())


def _leave_trials(folder: ResultFolder, options: BenchmarkOptions, test: EvaluationSet) -> None:
    """Writes the list unless the user's file holds just these trials. Then a list of an earlier evaluation is removed.

    Otherwise scores would be read with the wrong list.
    """
    path, trials = folder.path / TRIALS, test.trials
    given = options.trials is not None and path.exists() and path.samefile(options.trials)
    if given and trials.dropped:
        raise InputError(
            f"{path}: {trials.dropped} of its trials are left out, whose enrolled speaker interferes, and the list of the "
            "others would take its place; move it elsewhere"
        )
    models = enrolments_path(path)
    if options.trials is None or trials.dropped:
        if trials.names:
            folder.claim(models.name)
        else:
            folder.remove([models.name])
        write_trials(folder.claim(TRIALS), trials, test.manifest)
    elif not given:
        read = options.enrolments is not None and models.absolute() == options.enrolments.absolute()
        folder.remove([TRIALS] if read else [TRIALS, models.name])
