"""CN-Celeb (openslr.org/82; Fan et al., ICASSP 2020): data/speaker/genre-session-number.flac, eval/enroll, eval/test.

``dev/dev.lst`` names the training speakers. ``eval/lists/enroll.lst`` has lines ``model enroll/FILE.wav`` and ``trials.lst`` lines
``model test/FILE.wav 1``: wav is written there even where the files are flac. What eval has is made from files of data.
"""

from pathlib import Path, PurePosixPath

from csc_fairseq.corpora.corpus import Corpus, Part, by_split, recordings_at, require_folder
from csc_fairseq.corpora.preparation import Recording
from csc_fairseq.corpora.published_trials import Trials, read_pairs
from csc_fairseq.errors import InputError
from csc_fairseq.text import read_lines

EXTENSIONS = ("flac", "wav")
TRIALS = "eval.trials"


def read(root: Path) -> Corpus:
    """Split train: speakers of data, without those of eval, and of dev.lst alone if it is there. Split eval: enrolments and tests.

    Session: genre and session of the file's name, `enroll` for enrolments. InputError: no data; a name or a line of another form.
    """
    require_folder(root / "data", "data/idXXXXX/GENRE-01-001.flac")
    pairs: list[tuple[str, Recording]] = []
    notes = []
    trials: dict[str, Trials] = {}
    eval_speakers = set()
    if (root / "eval").is_dir():
        for folder in ("enroll", "test"):
            for name, (file,) in recordings_at(root, f"eval/{folder}", "FILE", EXTENSIONS):
                speaker, _, rest = PurePosixPath(file).stem.partition("-")
                pairs.append(("eval", _recording(name, speaker, rest)))
                eval_speakers.add(speaker)
        lists = root / "eval" / "lists"
        if lists.is_dir():
            names = {str(PurePosixPath(recording.name).with_suffix("")): recording.name for _, recording in pairs}
            trials[TRIALS] = _trials(lists / "enroll.lst", lists / "trials.lst", names)
        else:
            notes.append(f"no {lists}: no trials; copy the folder there, if another place has it")
    else:
        notes.append(f"no {root / 'eval'}: no evaluation set, and all speakers of data that dev.lst allows are train")
    listed = root / "dev" / "dev.lst"
    allowed = {line.strip() for line in read_lines(listed)} if listed.is_file() else None
    left_out = set()
    for name, (speaker, file) in recordings_at(root, "data", "SPEAKER/FILE", EXTENSIONS):
        if speaker in eval_speakers or allowed is not None and speaker not in allowed:
            left_out.add(speaker)
        else:
            pairs.append(("train", _recording(name, speaker, PurePosixPath(file).stem)))
    if left_out:
        notes.append(f"left out, of the evaluation or not in dev.lst: {len(left_out)} speakers of data")
    if not any(split == "train" for split, _ in pairs):
        raise InputError(
            f"{listed}: allows none of the speakers in {root / 'data'}; expected lines such as id00000; restore the file"
        )
    return Corpus([Part(root, by_split(pairs))], ("spk", "session"), trials=trials, notes=notes)


def _recording(name: str, speaker: str, rest: str) -> Recording:
    """rest: GENRE-SESSION-NUMBER, or enroll."""
    label = f"cnceleb/{speaker}"
    session = rest.rpartition("-")[0] or rest
    return Recording(name, 0, label, f"{label}/{session}")


def _trials(enrolments: Path, trials: Path, names: dict[str, str]) -> Trials:
    """names: in the manifest, by the path below the corpus without ending."""

    def ours(path: str) -> str:
        return names.get(f"eval/{PurePosixPath(path).with_suffix('')}", path)

    models = {}
    for number, line in enumerate(read_lines(enrolments), start=1):
        fields = line.split()
        if len(fields) != 2:
            raise InputError(
                f"{enrolments}:{number}: found {line!r}, expected `MODEL enroll/FILE.wav`; restore the list"
            )
        models[fields[0]] = ours(fields[1])
    pairs = read_pairs(trials, "`MODEL test/FILE.wav 1` (or 0)", label=2)
    return Trials(trials, "eval", [(same, models.get(model, model), ours(test)) for same, model, test in pairs])
