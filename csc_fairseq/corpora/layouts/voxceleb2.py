"""VoxCeleb2 (robots.ox.ac.uk/~vgg/data/voxceleb/vox2.html; Chung et al., Interspeech 2018): dev/aac/speaker/video/number.m4a.

The archive of the test set unpacks to ``aac``, here also ``test/aac``. ``vox2_meta.csv`` is separated by commas, with blanks at the
ends of its fields: VoxCeleb2 ID, VGGFace2 ID, Gender, Set. Trees that somebody decoded have the same paths with .wav or .flac, in
``aac`` or ``wav``.
"""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from csc_fairseq.corpora.conversion import decode, require_ffmpeg
from csc_fairseq.corpora.corpus import UNKNOWN, Corpus, Part, gender_of, recordings_at
from csc_fairseq.corpora.preparation import Recording
from csc_fairseq.corpora.tables import read_table
from csc_fairseq.errors import InputError

META = "vox2_meta.csv"
# Folders that may be there, and the split of what is in them.
FOLDERS = {"dev/aac": "train", "dev/wav": "train", "test/aac": "test", "test/wav": "test", "aac": "test"}
READABLE, ENCODED = ("wav", "flac"), "m4a"


def read(root: Path, audio: Path) -> Corpus:
    """Recordings of both sets, as far as they are there. Session: the video.

    A split is decoded to `audio`, with the same paths, unless each of its .m4a files has a .wav or .flac of the same speaker, video
    and number. InputError: none of the folders is there; ffmpeg is needed and missing.
    """
    folders = [folder for folder in FOLDERS if (root / folder).is_dir()]
    if not folders:
        raise InputError(
            f"{root}: has none of the folders {', '.join(FOLDERS)}; expected dev/aac/idXXXXX/VIDEO/00001.m4a; give the folder that "
            "holds dev as ROOT"
        )
    genders = _genders(root / META)
    readable: dict[str, dict[str, str]] = {}  # names by split and SPEAKER/VIDEO/NUMBER
    encoded: dict[str, dict[str, str]] = {}
    for folder in folders:
        for name, parts in recordings_at(root, folder, "SPEAKER/VIDEO/FILE", (*READABLE, ENCODED)):
            path = PurePosixPath(*parts)
            kind = encoded if path.suffix.lower() == f".{ENCODED}" else readable
            kind.setdefault(FOLDERS[folder], {})[str(path.with_suffix(""))] = name
    found, undecoded = [], 0
    for split in sorted({*readable, *encoded}):
        there, others = readable.get(split, {}), encoded.get(split, {})
        if others.keys() <= there.keys():
            found.append(Part(root, {split: _recordings(there.values(), genders)}))
            continue
        sources = {str(PurePosixPath(name).with_suffix(".flac")): root / name for name in {**there, **others}.values()}
        undecoded += sum(not (audio / name).is_file() for name in sources)
        found.append(Part(audio, {split: _recordings(sources, genders)}, sources, decode))
    if undecoded:
        require_ffmpeg(root, ENCODED, undecoded)
    labels = ("spk", "session", "gender") if genders else ("spk", "session")
    notes = [] if genders else [f"no {root / META}: no .gender files"]
    return Corpus(found, labels, notes=notes)


def _recordings(names: Iterable[str], genders: dict[str, str]) -> list[Recording]:
    found = []
    for name in sorted(names):
        *_, speaker, video, _ = name.split("/")
        label = f"voxceleb2/{speaker}"
        found.append(Recording(name, 0, label, f"{label}/{video}", genders.get(speaker, UNKNOWN)))
    return found


def _genders(path: Path) -> dict[str, str]:
    """Gender by speaker; empty without the file."""
    if not path.is_file():
        return {}
    return {
        row.cells["VoxCeleb2 ID"]: gender_of(row.cells["Gender"])
        for row in read_table(path, ("VoxCeleb2 ID", "Gender"))
    }
