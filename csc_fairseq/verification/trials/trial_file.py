"""Trial lists as text, in our own form, VoxCeleb's or Kaldi's, and the file of enrolments beside them.

Our form is tab-separated with the header ``label enrol test interferers``: 1 or 0, the enrolled model, the test recording,
and the recordings that talk over it, with commas between (- for none). VoxCeleb's lines are ``1 enrol test``; Kaldi's
``enrol test target``, with ``nontarget``, ``tgt``, ``imp``, 1 or 0 as well. Both are separated by spaces, or by tabs if names
contain spaces. Recordings have their names in the manifest, with or without the extension. ``trials.enrolments`` beside
``trials.txt`` lists models of several recordings, in the form of Kaldi's spk2utt: ``model utterance utterance …``. Without this
file, a model is one recording of the manifest.
"""

import logging
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from csc_fairseq.data.manifest import Manifest, label_path, read_labels, write_lines
from csc_fairseq.errors import InputError
from csc_fairseq.text import alike, iterate_lines, normal
from csc_fairseq.verification.trials.drawing import require_distinct
from csc_fairseq.verification.trials.listed_trials import ListedTrials
from csc_fairseq.verification.trials.trial_list import MOST_INTERFERERS, TrialList

HEADER = ("label", "enrol", "test", "interferers")
NOBODY = "-"
FORMS = {
    "csc": f"the header {' '.join(HEADER)} with four tab-separated fields per line",
    "voxceleb": "`1 enrol test` (or 0)",
    "kaldi": "`enrol test target` (or nontarget, tgt, imp, 1, 0)",
}
LABELS = {
    "csc": {"1": True, "0": False},
    "voxceleb": {"1": True, "0": False},
    "kaldi": {"target": True, "nontarget": False, "tgt": True, "imp": False, "1": True, "0": False},
}
LINES_AT_ONCE = 100_000  # written together, to limit memory

logger = logging.getLogger(__name__)


def enrolments_path(path: str | Path) -> Path:
    """Path of the file with a list's models of several recordings: trials.txt gives trials.enrolments."""
    if not Path(path).name:
        raise InputError(f"{path}: is not the name of a file; expected a list of trials such as trials.txt")
    return Path(path).with_suffix(".enrolments")


def write_trials(path: str | Path, trials: TrialList, manifest: Manifest) -> None:
    """Write a list in our own form, and its enrolments beside it if its models have names. Each file is written atomically.

    InputError, before anything is written: names that the form cannot hold; or enrolments of an earlier list beside it,
    which would be read with this list.
    """
    path, beside = Path(path), enrolments_path(path)
    if path == beside:
        raise InputError(f"{path}: is the name of the list's enrolments; choose another ending, such as .txt")
    for recording in np.unique(trials.interferers[trials.interferers >= 0]).tolist():
        name = manifest.names[recording]
        if "," in name or name == NOBODY:
            raise InputError(
                f"{path}: cannot hold the name {name!r}, because commas separate interferers and {NOBODY} means none; "
                "rename the file"
            )
    for name in trials.names:
        if not name or name != name.strip() or any(character in name for character in "\t\r\n"):
            raise InputError(
                f"{path}: cannot hold the model {name!r}: it is empty, or has tabs, line breaks or spaces at its ends; rename it"
            )
    if trials.names:
        utterances = ("\t".join(manifest.names[recording] for recording in model) for model in trials.models)
        write_lines(beside, (f"{name}\t{own}" for name, own in zip(trials.names, utterances, strict=True)))
    elif beside.exists():
        raise InputError(f"{beside}: belongs to an earlier list; move it away, or choose another name for {path.name}")
    write_lines(path, _written(trials, manifest))


def _written(trials: TrialList, manifest: Manifest) -> Iterator[str]:
    """Lines of a list in our own form."""
    yield "\t".join(HEADER)
    models = trials.model_names(manifest)
    tests = [
        f"{name}\t{','.join(manifest.names[other] for other in others if other >= 0) or NOBODY}"
        for name, others in zip(manifest.names, trials.interferers.tolist(), strict=True)
    ]
    for start in range(0, len(trials.enrol), LINES_AT_ONCE):
        part = slice(start, start + LINES_AT_ONCE)
        columns = (column[part].tolist() for column in (trials.targets, trials.enrol, trials.test))
        for target, model, test in zip(*columns, strict=True):
            yield f"{target:d}\t{models[model]}\t{tests[test]}"


def read_trials(path: str | Path, manifest: Manifest, enrolments: str | Path | None = None, seed: int = 0) -> TrialList:
    """Read a list of any of the three forms.

    If a list has no interferers, `assign_interferers` draws them, which needs the manifest's .spk file. Then trials whose
    enrolled speaker interferes are left out, and counted in `dropped`. If a list has interferers, they are drawn only for
    recordings that the list does not test (if there is a .spk file), for mixtures on the enrolment side.

    Args:
        path: the list.
        manifest: its recordings.
        enrolments: models of several recordings. None: the file beside the list (`enrolments_path`), if there is one.
        seed: seed of the interferers that the list does not give.

    Raises:
        InputError, naming file and line: unknown names, another form or a mixture of forms, labels that contradict the .spk
            file or each other, recordings compared with themselves, no targets or no non-targets.

    Warns of trials that the list has twice.
    """
    path = Path(path)
    if enrolments is None and enrolments_path(path).is_file():
        enrolments = enrolments_path(path)
    recordings = _Recordings(manifest)
    speakers = read_labels(manifest, "spk") if label_path(manifest, "spk").is_file() else None
    reader = _Reader(recordings)
    names: tuple[str, ...] = ()
    models: tuple[tuple[int, ...], ...]
    if enrolments is None:
        models = tuple((recording,) for recording in range(len(manifest)))
    else:
        enrolled = _read_enrolments(Path(enrolments), recordings, speakers)
        names, models = tuple(enrolled), tuple(enrolled.values())
        reader.enrol_from(Path(enrolments), names)
    form = reader.read(path)
    lines, enrol, test, targets = reader.columns()
    trials = TrialList(models, enrol, test, targets, reader.interferers, names)
    _tell_repeated(path, lines, trials, manifest)
    if form == "csc":
        return ListedTrials(path, manifest, speakers, lines, trials).with_own_interferers(seed)
    speakers = speakers or read_labels(manifest, "spk")  # without a .spk file, it raises the error
    return ListedTrials(path, manifest, speakers, lines, trials).with_new_interferers(seed)


class _Recordings:
    """Finds the recordings of a manifest by name, with or without extension. InputError if the manifest has a name twice."""

    def __init__(self, manifest: Manifest) -> None:
        require_distinct(manifest)
        self.manifest = manifest
        names = [normal(name) for name in manifest.names]
        if pairs := alike(manifest.names):
            raise InputError(
                f"{manifest.path}: {ascii(pairs[0][0])} and {ascii(pairs[0][1])} differ in their Unicode form alone; rename one"
            )
        self._places = {name: recording for recording, name in enumerate(names)}
        stems: dict[str, list[int]] = {}
        for recording, name in enumerate(names):
            stems.setdefault(str(PurePosixPath(name).with_suffix("")), []).append(recording)
        self._ambiguous = {stem: found for stem, found in stems.items() if len(found) > 1}
        for stem, found in stems.items():
            if stem not in self._ambiguous:
                self._places.setdefault(stem, found[0])

    def has(self, name: str) -> bool:
        """Whether a recording has this name."""
        return name in self._places or name in self._ambiguous

    def find(self, name: str, role: str) -> int:
        """Number of a recording. InputError, without file and line. `role`: what the name is in the list, for the message."""
        recording = self._places.get(name)
        if recording is not None:
            return recording
        if name in self._ambiguous:
            both = " or ".join(self.manifest.names[recording] for recording in self._ambiguous[name][:2])
            raise InputError(f"{role} {name!r} may be {both} of {self.manifest.path}; write the extension as well")
        raise InputError(
            f"{role} {name!r} is not in {self.manifest.path}; expected a name of the manifest, such as "
            f"{self.manifest.names[0]}; correct it, or remove the line"
        )


def _read_enrolments(path: Path, recordings: _Recordings, speakers: Sequence[str] | None) -> dict[str, tuple[int, ...]]:
    """Recordings of every model, in the order of the file."""
    models: dict[str, tuple[int, ...]] = {}
    places: dict[str, int] = {}
    for number, line in _lines(path):
        try:
            name, *utterances = _fields(line)
            if name in models:
                raise InputError(f"model {name!r} is already on line {places[name]}; keep one, or join them")
            if not utterances:
                raise InputError(f"model {name!r} has no utterances; expected `model utterance utterance …`")
            found = tuple(recordings.find(utterance, "utterance") for utterance in utterances)
            if len(set(found)) < len(found):
                raise InputError(f"model {name!r} has an utterance twice; keep one")
            voices = sorted({speakers[recording] for recording in found}) if speakers else []
            if len(voices) > 1:
                raise InputError(
                    f"model {name!r} has utterances of {voices[0]} and of {voices[1]} by "
                    f"{label_path(recordings.manifest, 'spk')}; expected one speaker; make one model for each speaker"
                )
        except InputError as error:
            raise InputError(f"{path}:{number}: {error}") from error
        models[name], places[name] = found, number
    if not models:
        raise InputError(f"{path}: holds no models; expected lines `model utterance utterance …`")
    return models


class _Reader:
    """Reads a list into columns, line by line.

    interferers: int64 [N, 2], the interferers in the list, −1 elsewhere.
    """

    def __init__(self, recordings: _Recordings) -> None:
        self.interferers = np.full((len(recordings.manifest), MOST_INTERFERERS), -1, dtype=np.int64)
        self._recordings = recordings
        self._enrolments: tuple[Path, dict[str, int]] | None = None
        self._lines, self._enrol, self._test, self._targets = array("q"), array("q"), array("q"), bytearray()
        # Names that were found before: lists of millions of lines have few distinct names.
        self._models: dict[str, int] = {}
        self._tests: dict[tuple[str, ...], int] = {}
        self._given: dict[int, int] = {}  # by recording, the first line with its interferers

    def enrol_from(self, path: Path, names: Sequence[str]) -> None:
        """From now on, the enrolled side names models of this file, not recordings."""
        self._enrolments = path, {name: model for model, name in enumerate(names)}

    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Line numbers, models (recordings, if there are no enrolments), test recordings, and whether a target; [n] each."""
        lines, enrol, test = (np.array(column, dtype=np.int64) for column in (self._lines, self._enrol, self._test))
        return lines, enrol, test, np.array(self._targets, dtype=bool)

    def read(self, path: Path) -> str:
        """Reads the list and returns its form, a key of FORMS."""
        form, first = "", 0
        for number, line in _lines(path):
            try:
                if not form:
                    form, first = self._form(line), number
                    if form == "csc":
                        continue
                self._add(line, number, form, first)
            except InputError as error:
                raise InputError(f"{path}:{number}: {error}") from error
        if not self._lines:
            raise InputError(f"{path}: holds no trials; expected one per line, see `csc trials`")
        return form

    def _form(self, line: str) -> str:
        """Which form the first line has. 1 or 0 may be a label at either end or a name: the other two must be known."""
        fields = _fields(line)
        if len(fields) != 3 or fields[0] not in LABELS["voxceleb"] or fields[2] not in LABELS["voxceleb"]:
            return _form(line)
        known = self._enrolments[1] if self._enrolments else None
        fits = {
            form: self._recordings.has(test) and (self._recordings.has(model) if known is None else model in known)
            for form, (model, test) in (("voxceleb", fields[1:]), ("kaldi", fields[:2]))
        }
        if fits["voxceleb"] == fits["kaldi"]:
            raise InputError(
                f"found {line!r}, in which either end may be the label; write target or nontarget at the end"
            )
        return "voxceleb" if fits["voxceleb"] else "kaldi"

    def _add(self, line: str, number: int, form: str, first: int) -> None:
        fields = line.split("\t") if form == "csc" else _fields(line)
        label, others = (fields[-1], fields[:-1]) if form == "kaldi" else (fields[0], fields[1:])
        target = LABELS[form].get(label)
        if target is None or len(fields) != (4 if form == "csc" else 3):
            raise _mismatch(line, form, first)
        model, *tested = others
        key = tuple(tested)
        test = self._tests.get(key)
        if test is None:
            test = self._tests[key] = self._new_test(*tested, number=number)
        self._enrol.append(self._models[model] if model in self._models else self._new_model(model))
        self._test.append(test)
        self._targets.append(target)
        self._lines.append(number)

    def _new_model(self, name: str) -> int:
        if self._enrolments is None:
            self._models[name] = self._recordings.find(name, "enrol")
        else:
            path, models = self._enrolments
            if name not in models:
                raise InputError(f"enrol {name!r} is not a model of {path}; add it there, or correct the name")
            self._models[name] = models[name]
        return self._models[name]

    def _new_test(self, name: str, interferers: str | None = None, *, number: int) -> int:
        """A test recording. Its interferers, if given, must be the same in all of its trials."""
        test = self._recordings.find(name, "test")
        if interferers is None:
            return test
        others = [] if interferers == NOBODY else interferers.split(",")
        found = [self._recordings.find(other, "interferer") for other in others]
        if len(found) > MOST_INTERFERERS or len({test, *found}) < 1 + len(found):
            raise InputError(
                f"interferers of {name} are {interferers}, expected at most {MOST_INTERFERERS}, all different files"
            )
        row = [*found, -1, -1][:MOST_INTERFERERS]
        before = self._given.setdefault(test, number)
        if before != number and row != self.interferers[test].tolist():
            raise InputError(
                f"interferers of {name} differ from those on line {before}; use the same ones in all its trials"
            )
        self.interferers[test] = row
        return test


def _form(line: str) -> str:
    """Which form a line has, a key of FORMS."""
    fields = _fields(line)
    if tuple(fields) == HEADER:
        return "csc"
    if len(fields) != 3:
        raise InputError(f"has {len(fields)} fields, expected {', or '.join(FORMS.values())}; correct the line")
    # VoxCeleb's last: a model may have the name 1, but a recording will hardly have the name target, or 1.
    for form, label in (("kaldi", fields[2]), ("voxceleb", fields[0])):
        if label in LABELS[form]:
            return form
    raise InputError(
        f"begins with {fields[0]!r} and ends with {fields[2]!r}, expected 1 or 0 at the start, or target, nontarget, tgt, imp, "
        "1 or 0 at the end; correct the label"
    )


def _mismatch(line: str, form: str, first: int) -> InputError:
    """The error for a line that does not have the form of line `first`."""
    try:
        other = _form(line)
    except InputError as error:
        if form != "csc":
            return error
        return InputError(
            f"found {line!r}, expected 1 or 0, model, test and interferers, tab-separated; correct the line"
        )
    return InputError(f"has the form {FORMS[other]}, but line {first} has {FORMS[form]}; use one form")


def _fields(line: str) -> list[str]:
    """Fields of a line: separated by tabs if it has any, so that names may contain spaces, otherwise by spaces."""
    line = line.strip()
    return [field.strip() for field in line.split("\t")] if "\t" in line else line.split()


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbers and texts, in NFC, of the lines that are not empty. One line at a time: a whole list could take gigabytes."""
    for number, line in enumerate(iterate_lines(path), start=1):
        if line and not line.isspace():
            yield number, normal(line)


def _tell_repeated(path: Path, lines: np.ndarray, trials: TrialList, manifest: Manifest) -> None:
    """Warns of trials that are listed twice: they count twice. InputError if one is a target once and a non-target once."""
    pairs = trials.enrol * len(manifest) + trials.test
    _, first, number = np.unique(pairs, return_index=True, return_inverse=True)
    earlier = first[number]
    repeated = np.flatnonzero(earlier != np.arange(len(pairs)))
    if not len(repeated):
        return

    def place(trial: int) -> str:
        model = trials.model_names(manifest)[trials.enrol[trial]]
        return f"{path}:{lines[trial]}: {model} {manifest.names[trials.test[trial]]}"

    contrary = repeated[trials.targets[repeated] != trials.targets[earlier[repeated]]]
    if len(contrary):
        trial = int(contrary[0])
        raise InputError(f"{place(trial)} has the other label on line {lines[earlier[trial]]}; keep one of the two")
    trial = int(repeated[0])
    logger.warning(
        "%s is already on line %d; %d of %d trials are repeated and count again",
        place(trial), lines[earlier[trial]], len(repeated), len(pairs),
    )  # fmt: skip
