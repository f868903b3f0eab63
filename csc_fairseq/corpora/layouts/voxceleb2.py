"""VoxCeleb2 (robots.ox.ac.uk/~vgg/data/voxceleb/vox2.html; Chung et al., Interspeech 2018): dev/aac/speaker/video/number.m4a.

The archive of the test set unpacks to ``aac``, here also ``test/aac``. ``vox2_meta.csv`` is separated by commas, with blanks at the
ends of its fields: VoxCeleb2 ID, VGGFace2 ID, Gender, Set. Trees that somebody decoded have the same paths with .wav or .flac, in
``aac`` or ``wav``; some have both sets in one ``wav``.
"""

from pathlib import Path, PurePosixPath

from csc_fairseq.corpora.corpus import Corpus, by_split, decoded_part, recordings_at, require_decoder
from csc_fairseq.corpora.layouts.voxceleb import listed, read_speakers
from csc_fairseq.corpora.preparation import Recording
from csc_fairseq.errors import InputError

META = "vox2_meta.csv"
# Folders that may be there, and the split of what is in them. `aac` is that of the test set's archive, but where the table is
# there, the table says it; of `wav` it alone does.
FOLDERS = {"dev/aac": "train", "dev/wav": "train", "test/aac": "test", "test/wav": "test", "aac": "test", "wav": ""}
UNSURE = ("aac", "wav")
READABLE, ENCODED = ("wav", "flac"), "m4a"


def read(root: Path, audio: Path) -> Corpus:
    """Recordings of both sets, as far as they are there. Session: the video.

    An .m4a file with a .wav or .flac of the same speaker, video and number is not needed. If others are left in a split, they are
    decoded to `audio`, with the same paths, where the split's other recordings are links. InputError: none of the folders is there;
    the table lacks a speaker, or has another set than the folder; ffmpeg is needed and missing.
    """
    folders = [folder for folder in FOLDERS if (root / folder).is_dir()]
    if not folders:
        raise InputError(
            f"{root}: has none of the folders {', '.join(FOLDERS)}; expected dev/aac/idXXXXX/VIDEO/00001.m4a; give the folder that "
            "holds dev as ROOT"
        )
    table = root / META
    if "wav" in folders and not table.is_file():
        raise InputError(
            f"{table}: no such file; expected the corpus' table, which says of {root / 'wav'} who is in which set; put it there"
        )
    speakers = read_speakers(table, "VoxCeleb2 ID") if table.is_file() else None
    found: dict[tuple[str, str], Recording] = {}  # by split and SPEAKER/VIDEO/NUMBER
    for folder in folders:
        for name, path in recordings_at(root, folder, "SPEAKER/VIDEO/FILE", (*READABLE, ENCODED), apart=[audio]):
            speaker, video, file = path
            split, gender, label = FOLDERS[folder], "", f"voxceleb2/{speaker}"
            if speakers is not None:
                row = listed(table, speakers, speaker, "" if folder in UNSURE else split, root / name)
                split, gender = row.split, row.gender
            key = split, f"{speaker}/{video}/{PurePosixPath(file).stem}"
            if key not in found or not name.lower().endswith(f".{ENCODED}"):
                found[key] = Recording(name, 0, label, f"{label}/{video}", gender)
    splits = by_split([(split, recording) for (split, _), recording in found.items()])
    parts = [decoded_part(root, audio, split, recordings, ENCODED) for split, recordings in splits.items()]
    require_decoder(root, parts, ENCODED)
    labels = ("spk", "session") if speakers is None else ("spk", "session", "gender")
    notes = [f"no {table}: no .gender files"] if speakers is None else []
    return Corpus(parts, labels, notes=notes)
