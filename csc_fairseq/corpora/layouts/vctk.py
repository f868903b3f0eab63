"""VCTK 0.92 (doi.org/10.7488/ds/2645; Yamagishi et al., 2019): wav48_silence_trimmed/speaker/speaker_number_mic1.flac, 48 kHz.

Two microphones heard everything, but for a few speakers who have the first alone. ``speaker-info.txt`` is separated by blanks: ID,
AGE, GENDER, and more.
"""

from pathlib import Path, PurePosixPath

from csc_fairseq.corpora.corpus import UNKNOWN, Corpus, Part, gender_of, recordings_at, require_folder
from csc_fairseq.corpora.preparation import Recording
from csc_fairseq.errors import InputError
from csc_fairseq.text import read_lines

FOLDER, INFO = "wav48_silence_trimmed", "speaker-info.txt"
MICROPHONES = ("mic1", "mic2")


def read(root: Path, microphone: str = "mic1") -> Corpus:
    """All recordings of one microphone, in split train. InputError: not there, or none of that microphone."""
    require_folder(root / FOLDER, f"{FOLDER}/p225/p225_001_mic1.flac, of version 0.92")
    genders = _genders(root / INFO)
    recordings, others, absent = [], 0, set()
    for name, (speaker, file) in recordings_at(root, FOLDER, "SPEAKER/FILE", ("flac", "wav")):
        absent.add(speaker)
        if not PurePosixPath(file).stem.endswith(f"_{microphone}"):
            others += 1
            continue
        recordings.append(Recording(name, 0, f"vctk/{speaker}", gender=genders.get(speaker, UNKNOWN)))
    if not recordings:
        raise InputError(
            f"{root / FOLDER}: has no files ending in _{microphone}; choose another --mic of {', '.join(MICROPHONES)}"
        )
    absent -= {recording.speaker.removeprefix("vctk/") for recording in recordings}
    notes = [f"microphone: {microphone}", f"left out, of other microphones: {others} recordings"]
    if absent:
        notes.append(f"left out, without {microphone}: speakers {', '.join(sorted(absent))}")
    if not genders:
        notes.append(f"no {root / INFO}: no .gender files")
    return Corpus([Part(root, {"train": recordings})], ("spk", "gender") if genders else ("spk",), notes=notes)


def _genders(path: Path) -> dict[str, str]:
    """Gender by speaker; empty without the file. Of older versions, speakers lack their p."""
    if not path.is_file():
        return {}
    found = {}
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split()
        if not fields or fields[0] == "ID":
            continue
        if len(fields) < 3:
            raise InputError(f"{path}:{number}: found {line!r}, expected ID, AGE, GENDER; restore the file")
        found[f"p{fields[0]}" if fields[0].isdecimal() else fields[0]] = gender_of(fields[2])
    return found
