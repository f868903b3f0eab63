"""Folders that are no speakers: what looks as if the wrong level of folders, or the wrong corpus, was prepared (our choice)."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from csc_fairseq.corpora.preparation import Recording

FEW_SPEAKERS, MANY_RECORDINGS = 10, 200
_MIXED = re.compile(r"mix(_(clean|both|single))?|mixture")
_SOURCE = re.compile(r"s[1-5]|noise")
_MICROPHONE = re.compile(r"mic[_-]?\d+|ch(annel)?[_-]?\d+", re.IGNORECASE)
_MICROPHONE_OF_FILE = re.compile(r"_(mic\d+)$")
_SPLIT = re.compile(r"(train|dev|valid|validation|test|eval)([-_](clean|other)([-_]\d+)?)?", re.IGNORECASE)
_OFFICIAL_TEST = re.compile(r"(dev|test)-(clean|other)")


def suspicions(root: Path, splits: Mapping[str, Sequence[Recording]]) -> list[str]:
    """What seems wrong with speakers that are folders, one line each with what to type instead. [] if nothing does.

    root: of the recordings. splits: recordings with their speakers, paths of folders.
    """
    recordings = [recording for own in splits.values() for recording in own]
    counts = Counter(recording.speaker for recording in recordings)
    folders = sorted({PurePosixPath(speaker).name for speaker in counts})
    return [
        *_of_folders(root, folders),
        *_of_microphones(root, recordings),
        *_of_tests(root, splits),
        *_of_numbers(root, counts),
    ]


def shared_speakers(splits: Mapping[str, Sequence[Recording]]) -> list[str]:
    """Speakers of train who are in another split, too, but for valid, which has training speakers; a line for each split."""
    speakers = {split: {recording.speaker for recording in own} for split, own in splits.items()}
    found = []
    for split, own in speakers.items():
        shared = speakers.get("train", set()) & own
        if split not in ("train", "valid") and shared:
            found.append(
                f"{_listed(sorted(shared))}: {len(shared)} speakers are in both train and {split}, which then tests no unknown "
                "voices; give each speaker one split, or call the split valid"
            )
    return found


def _of_folders(root: Path, folders: Sequence[str]) -> list[str]:
    """Names of speakers' folders that say that they hold no speakers."""
    found = []
    mixed, sources = (_having(form, folders) for form in (_MIXED, _SOURCE))
    # s1, s2, … may be speakers: they are sources only beside mixtures, or where there is nothing else.
    if mixed or len(sources) == len(folders):
        found.append(
            f"{_listed(mixed + sources)}: look like mixtures and their sources, not like speakers; prepare the recordings that "
            "they were mixed from, such as `csc prepare librispeech`, since training mixes itself, or keep the "
            "mixtures by `csc prepare librimix` or `wsj0-2mix`"
        )
    if microphones := _having(_MICROPHONE, folders):
        found.append(
            f"{_listed(microphones)}: look like microphones, not like speakers; choose another --speaker-level, and one microphone "
            f"with --include '*{microphones[0]}/*'"
        )
    if splits := _having(_SPLIT, folders):
        verb = "csc prepare librispeech" if any("-" in name for name in splits) else "csc prepare folders"
        found.append(
            f"{_listed(splits)}: look like splits, not like speakers; prepare them with "
            + (
                f"`{verb} {root}`"
                if "libri" in verb
                else f"--speaker-level 2, or each by itself with `{verb} {root}/{splits[0]}`"
            )
        )
    return found


def _of_microphones(root: Path, recordings: Sequence[Recording]) -> list[str]:
    """Recordings that are there once for each microphone."""
    stems = (_MICROPHONE_OF_FILE.search(PurePosixPath(recording.name).stem) for recording in recordings)
    microphones = sorted({stem[1] for stem in stems if stem})
    if len(microphones) < 2:
        return []
    return [
        f"{_listed(microphones)} at the ends of names: each utterance is there once for each microphone; choose one with --exclude "
        f"'*_{microphones[1]}.*', or type `csc prepare vctk` for VCTK"
    ]


def _of_tests(root: Path, splits: Mapping[str, Sequence[Recording]]) -> list[str]:
    """LibriSpeech's data for development and tests in training."""
    folders = {
        folder
        for recording in splits.get("train", ())
        for folder in PurePosixPath(root.name, recording.name).parts
        if _OFFICIAL_TEST.fullmatch(folder)
    }
    if not folders:
        return []
    return [
        f"{_listed(sorted(folders))}: official development and test data are train here; type `csc prepare librispeech` for the "
        "official roles, or leave them out with --exclude"
    ]


def _of_numbers(root: Path, counts: Mapping[str, int]) -> list[str]:
    """Too few recordings of a speaker, or too many."""
    number = sum(counts.values())
    if 1 < number == len(counts):
        return [
            f"one recording for each of {len(counts)} speakers: training on speakers needs two; choose another --speaker-level, or "
            f"train with task.identity=utterance on `csc prepare audio {root} --valid-share 0.05`"
        ]
    if 1 == len(counts) < number or len(counts) < FEW_SPEAKERS and number > MANY_RECORDINGS * len(counts):
        speakers = "one speaker" if len(counts) == 1 else f"{len(counts)} speakers"
        return [
            f"{speakers} with {number // len(counts)} recordings each: are these folders speakers? if not, choose another "
            "--speaker-level, or find speakers in names with `csc prepare table --speaker-regex`"
        ]
    return []


def _having(form: re.Pattern[str], names: Sequence[str]) -> list[str]:
    return [name for name in names if form.fullmatch(name)]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
