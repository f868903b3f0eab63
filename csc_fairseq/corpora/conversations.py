"""Corpora of conversations: recordings, and RTTM that says who speaks when.

They become folders that `data/conversation_folder.py` reads. Recordings stay where they are: the folders have links to them.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from csc_fairseq.corpora.conversion import Origin, convert, first_channel
from csc_fairseq.corpora.preparation import find_recordings
from csc_fairseq.corpora.report import REPORT, read_report, report_lines
from csc_fairseq.corpora.writing import Account, refuse_stale
from csc_fairseq.data.audio import probe, require_format
from csc_fairseq.data.conversation_folder import BEYOND
from csc_fairseq.data.manifest import write_lines_together
from csc_fairseq.data.rttm import Turn, read_rttm, rttm_lines
from csc_fairseq.errors import InputError
from csc_fairseq.files import replacing

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Source:
    """A published conversation. name: its file id. split: the folder of its RTTM. cut: its turns may end after the recording, and
    are cut there.
    """

    name: str
    split: str
    audio: Path
    rttm: Path
    cut: bool = False


@dataclass(frozen=True)
class Annotated:
    """A conversation that was read. seconds: of the recording."""

    source: Source
    seconds: float
    turns: Sequence[Turn]


def pair(
    root: Path, rttms: Path, made: Sequence[Path], endings: Sequence[str] = ("",)
) -> tuple[list[Source], list[str]]:
    """Conversations that have both a recording and RTTM, by split and name; and notes on the others.

    Args:
        root: recordings are anywhere below it, as NAME with one of the endings and a format's own, such as .wav.
        rttms: NAME.rttm are anywhere below it, in a folder train, dev or test. Beside these folders may be files of their names,
            which hold all turns of a split once more.
        made: folders that the preparation writes to. What is in them is no source, even if they lie below root or rttms.
        endings: of a microphone, such as ".Mix-Headset".

    Raises:
        InputError: a name is there twice, RTTM lies in none of these folders, or no two fit; root or rttms is one of `made`.
    """
    made = [folder.resolve() for folder in made]
    if mixed := next((folder for folder in made if folder in (root, rttms)), None):
        raise InputError(
            f"{mixed}: is searched for recordings or RTTM, so nothing can be written there; choose another --out or --audio"
        )
    recordings = [root / name for name in find_recordings(root, apart=made)]
    audio = _by_name(recordings, endings, "recordings", "give the folder of one of them as ROOT")
    below = [folder for folder in made if folder.is_relative_to(rttms)]
    found = [
        path
        for path in rttms.rglob("*.rttm")
        if not path.name.startswith(".")
        and path.stem not in SPLITS
        and not any(path.is_relative_to(folder) for folder in below)
    ]
    references = _by_name(sorted(found), ("",), "RTTM files", "give the folder of one of them with --rttm")
    sources = []
    for name, path in references.items():
        split = next((part for part in reversed(path.relative_to(rttms.parent).parts[:-1]) if part in SPLITS), "")
        if not split:
            raise InputError(
                f"{path}: lies in no folder {', '.join(SPLITS)}; expected one, for the split; move it there"
            )
        if name in audio:
            sources.append(Source(name, split, audio[name], path))
    if not sources:
        raise InputError(
            f"{root}: no recording NAME{endings[0]}.wav has a NAME.rttm below {rttms}; found {len(audio)} such recordings and "
            f"{len(references)} RTTM files; choose another folder, or another --rttm"
        )
    notes = []
    for what, left in (
        ("RTTM without a recording", references.keys() - audio),
        ("recordings without RTTM", audio.keys() - references),
    ):
        if left:
            notes.append(f"left out, {what}: {len(left)}, such as {min(left)}")
    return sorted(sources, key=lambda source: (source.split, source.name)), notes


def _by_name(paths: Sequence[Path], endings: Sequence[str], what: str, remedy: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        own = next((ending for ending in endings if path.stem.endswith(ending)), None)
        if own is None:
            continue
        name = path.stem.removesuffix(own)
        if name in found:
            raise InputError(f"{path}: {what} of {name} are there twice, also as {found[name]}; {remedy}")
        found[name] = path
    return found


def annotate(source: Source, sample_rate: int, resample: bool) -> Annotated:
    """Reads RTTM and the header of the recording. InputError: another rate, several channels, no turns, or turns after its end."""
    info = probe(source.audio)
    require_format(source.audio, info, sample_rate, resample)
    turns = read_rttm(source.rttm).get(source.name, [])
    if not turns:
        raise InputError(f"{source.rttm}: holds no turns of {source.name}; leave this recording out")
    seconds = info.frames / info.sample_rate
    if source.cut:
        turns = [replace(turn, end=min(turn.end, seconds)) for turn in turns if turn.start < seconds]
    last = max(turn.end for turn in turns)
    if last > seconds + BEYOND:
        raise InputError(
            f"{source.rttm}: has a turn until {last:.2f} s, but {source.audio} lasts {seconds:.2f} s; they do not fit"
        )
    return Annotated(source, seconds, turns)


def summary(conversations: Sequence[Annotated]) -> list[str]:
    """Lines of a table: recordings, talkers and hours of every split."""
    rows = [f"{'split':<12} {'recordings':>11} {'talkers':>9} {'hours':>8}"]
    for split in sorted({one.source.split for one in conversations}):
        own = [one for one in conversations if one.source.split == split]
        talkers = len({(one.source.name, turn.talker) for one in own for turn in one.turns})
        rows.append(f"{split:<12} {len(own):>11} {talkers:>9} {sum(one.seconds for one in own) / 3600:>8.2f}")
    return rows


def with_one_channel(sources: Sequence[Source], root: Path, audio: Path, jobs: int) -> tuple[list[Source], list[str]]:
    """The conversations, those of several channels with the first one, written below `audio` at their paths; and notes on these.

    One that cannot be read keeps its recording, which `annotate` refuses. InputError: a file cannot be written.
    """
    ours = {}
    for source in sources:
        try:
            if probe(source.audio).channels > 1:
                ours[source.audio] = str(source.audio.relative_to(root).with_suffix(".wav"))
        except InputError:
            continue
    if not ours:
        return list(sources), []
    origins = {name: Origin(path, first_channel) for path, name in ours.items()}
    faults = convert(audio, origins, jobs, "convert files")
    made = {path: audio / name for path, name in ours.items() if name not in faults}
    notes = (
        [f"first channels of {len(made)} recordings of several, such as {min(made)}, written to {audio}"]
        if made
        else []
    )
    return [replace(source, audio=made.get(source.audio, source.audio)) for source in sources], notes


def write(out: Path, conversations: Sequence[Annotated], account: Account) -> None:
    """Write out/SPLIT/NAME.rttm, a link NAME.wav to each recording, and the report.

    InputError: a folder has files of something else, a folder of an earlier preparation would stay beside these, or a file cannot
    be written.
    """
    earlier = read_report(out)
    splits = {one.source.split for one in conversations}
    refuse_stale(out, earlier, splits)
    files: dict[Path, Sequence[str]] = {out / REPORT: report_lines(account.kind, account.root, account.text, splits)}
    links = {}
    for one in conversations:
        stem = out / one.source.split / one.source.name
        link = stem.with_name(f"{stem.name}{one.source.audio.suffix}")
        links[link] = one.source.audio.resolve()
        rttm = stem.with_name(f"{stem.name}.rttm")
        # Links come first: RTTM without one was there before.
        if rttm.exists() and not link.is_symlink():
            raise _not_ours(rttm)
        files[rttm] = rttm_lines(rttm, one.source.name, one.turns)
    for folder in {path.parent for path in links}:
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if not path.name.startswith(".") and (
                path not in files and path not in links or path in links and not path.is_symlink()
            ):
                raise _not_ours(path)
    for path, target in links.items():
        with replacing(path) as temporary:
            os.symlink(target, temporary)
    write_lines_together(files)


def _not_ours(path: Path) -> InputError:
    return InputError(f"{path}: is not of this preparation; move it away, or choose another folder")
