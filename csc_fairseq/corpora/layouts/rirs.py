"""RIRS_NOISES (openslr.org/28; Ko et al., ICASSP 2017): room responses, simulated and real, and noises.

``simulated_rirs/size/room/room-number.wav`` has one channel. ``real_rirs_isotropic_noises`` has files of several, and two lists
that tell them apart, whose lines end in a path that begins with RIRS_NOISES: ``rir_list`` and ``noise_list``.
``pointsource_noises`` are some of MUSAN's.
"""

from pathlib import Path

from csc_fairseq.corpora.conversion import Origin, first_channel
from csc_fairseq.corpora.corpus import Corpus, Part, recordings_at
from csc_fairseq.corpora.preparation import Recording
from csc_fairseq.errors import InputError
from csc_fairseq.text import read_lines

SIMULATED, REAL, POINTS = "simulated_rirs", "real_rirs_isotropic_noises", "pointsource_noises"
LISTS = {"real": "rir_list", "isotropic": "noise_list"}


def read(root: Path, audio: Path) -> Corpus:
    """Manifests simulated, real, isotropic and pointsource, as far as their folders are there, without labels.

    The first channels of real responses and isotropic noises are written to `audio`. Faults: files that a list names and that are
    missing. InputError: none of the folders, or a list is missing or names no file that is there.
    """
    there = [folder for folder in (SIMULATED, REAL, POINTS) if (root / folder).is_dir()]
    if not there:
        raise InputError(
            f"{root}: has none of the folders {SIMULATED}, {REAL}, {POINTS}; expected the folder RIRS_NOISES; give it as ROOT"
        )
    as_they_are = {}
    if POINTS in there:
        found = recordings_at(root, POINTS, "FILE", ("wav",), apart=[audio])
        as_they_are["pointsource"] = [Recording(name, 0) for name, _ in found]
    if SIMULATED in there:
        found = recordings_at(root, SIMULATED, "SIZE/ROOM/FILE", ("wav",), apart=[audio])
        as_they_are["simulated"] = [Recording(name, 0) for name, _ in found]
    parts = [Part(root, as_they_are)] if as_they_are else []
    notes, faults = [], []
    if REAL in there:
        listed = {}
        for split, name in sorted(LISTS.items()):
            listed[split], missing = _listed(root, root / REAL / name)
            faults += missing
        origins = {name: Origin(root / name, first_channel) for names in listed.values() for name in names}
        splits = {split: [Recording(name, 0) for name in names] for split, names in listed.items()}
        parts.append(Part(audio, splits, origins))
        notes.append(f"real and isotropic: first channels of {len(origins)} files, written to {audio}")
    return Corpus(parts, notes=notes, faults=faults)


def _listed(root: Path, path: Path) -> tuple[list[str], list[str]]:
    """Paths below root that a list names, sorted, and a line for each that is missing."""
    names, faults = set(), []
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split()
        if not fields:
            continue
        name = fields[-1].partition("/")[2]
        if (root / name).is_file():
            names.add(name)
        else:
            faults.append(f"{path}:{number}: no file {root / name}; expected what {fields[-1]} names; restore it")
    if faults and not names:
        raise InputError(faults[0])
    return sorted(names), faults
