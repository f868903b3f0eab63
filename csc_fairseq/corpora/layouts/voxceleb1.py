"""VoxCeleb1 (robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html; Nagrani et al., Interspeech 2017): wav/speaker/video/number.wav.

Both archives unpack to ``wav``: into one folder, or into one each, here ``dev`` and ``test`` or ``vox1_dev_wav`` and
``vox1_test_wav``. ``vox1_meta.csv`` is separated by tabs: VoxCeleb1 ID, VGGFace1 ID, Gender, Nationality, Set. The lists of trials
are published beside it, as lines ``1 speaker/video/number.wav speaker/video/number.wav``; those whose names end in 2 are cleaned.
"""

from pathlib import Path, PurePosixPath

from csc_fairseq.corpora.corpus import Corpus, Part, by_split, recordings_at
from csc_fairseq.corpora.layouts.voxceleb import listed, read_speakers
from csc_fairseq.corpora.preparation import Recording
from csc_fairseq.corpora.published_trials import Trials, read_pairs
from csc_fairseq.errors import InputError

META = "vox1_meta.csv"
# Folders that may be there, and the split of what is in them; "" where the table says it.
FOLDERS = {
    "wav": "",
    "dev/wav": "train",
    "test/wav": "test",
    "vox1_dev_wav/wav": "train",
    "vox1_test_wav/wav": "test",
}
# Name of our file and manifest by the published name. E and H are of all speakers, those of development too.
LISTS = {
    "veri_test.txt": ("vox1_O.trials", "test"),
    "veri_test2.txt": ("vox1_O_cleaned.trials", "test"),
    "list_test_all.txt": ("vox1_E.trials", "all"),
    "list_test_all2.txt": ("vox1_E_cleaned.trials", "all"),
    "list_test_hard.txt": ("vox1_H.trials", "all"),
    "list_test_hard2.txt": ("vox1_H_cleaned.trials", "all"),
}


def read(root: Path, lists: Path | None = None) -> Corpus:
    """Recordings of both sets, as far as they are there, and the trials whose lists are in `root` or `lists`. Session: the video.

    Split `all`, both sets, is there if a list of E or H has all its recordings. InputError: no recordings where they should be; no
    table where only it tells the sets apart; a speaker whom it lacks, or of another set than that of the folder.
    """
    folders = [folder for folder in FOLDERS if (root / folder).is_dir()]
    if not folders:
        raise InputError(
            f"{root}: has no folder wav; expected wav/idXXXXX/VIDEO/00001.wav (or {', '.join(list(FOLDERS)[1:])}); give the "
            "folder that holds it as ROOT"
        )
    if lists is not None and not any((lists / name).is_file() for name in (META, *LISTS)):
        raise InputError(f"{lists}: has none of {', '.join((META, *LISTS))}; put them there, or leave out --lists")
    places = [place for place in (lists, root) if place is not None]
    metas = [place / META for place in places if (place / META).is_file()]
    if "wav" in folders and not metas:
        raise InputError(
            f"{root / META}: no such file; expected the corpus' table, which says who is in which set; put it there, or give its "
            "folder with --lists"
        )
    speakers = read_speakers(metas[0], "VoxCeleb1 ID") if metas else {}
    pairs, names = [], {}
    for folder in folders:
        for name, (speaker, video, file) in recordings_at(root, folder, "SPEAKER/VIDEO/FILE", ("wav", "flac")):
            split, gender, label = FOLDERS[folder], "", f"voxceleb1/{speaker}"
            if metas:
                row = listed(metas[0], speakers, speaker, split, root / name)
                split, gender = row.split, row.gender
            pairs.append((split, Recording(name, 0, label, f"{label}/{video}", gender)))
            names[f"{speaker}/{video}/{PurePosixPath(file).stem}"] = name
    splits = by_split(pairs)
    trials = _trials(places, names)
    known = set(names.values())
    if any(one.split == "all" and one.recordings <= known for one in trials.values()):
        splits["all"] = sorted((recording for _, recording in pairs), key=lambda one: one.name)
    labels = ("spk", "session", "gender") if metas else ("spk", "session")
    notes = [] if metas else [f"no {root / META}: no .gender files"]
    if not trials:
        notes.append(f"no lists of trials: looked for {', '.join(LISTS)} in {' and '.join(map(str, places))}")
    return Corpus([Part(root, splits)], labels, trials=trials, notes=notes)


def _trials(places: list[Path], names: dict[str, str]) -> dict[str, Trials]:
    """The published lists that are there, by the name of our file. names: in the manifest, by the published name without ending."""

    def ours(published: str) -> str:
        return names.get(str(PurePosixPath(published).with_suffix("")), published)

    found: dict[str, Trials] = {}
    for published, (name, split) in LISTS.items():
        for path in [place / published for place in places if (place / published).is_file()][:1]:
            pairs = read_pairs(path, "`1 ENROLMENT TEST` (or 0)", label=0)
            found[name] = Trials(path, split, [(same, ours(one), ours(other)) for same, one, other in pairs])
    return found
