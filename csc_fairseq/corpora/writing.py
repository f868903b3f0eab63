"""Writes manifests and what belongs to them, and replaces nothing but what a preparation wrote."""

import os
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from csc_fairseq.corpora.preparation import LABELS, LINE_BY_LINE, Recording
from csc_fairseq.corpora.report import REPORT, SPEAKERS, Report, read_report, report_lines
from csc_fairseq.data.manifest import LABEL_SUFFIXES, label_lines, manifest_lines, write_lines_together
from csc_fairseq.errors import InputError
from csc_fairseq.text import iterate_lines, read_lines


@dataclass(frozen=True)
class ManifestContent:
    """What a manifest is made from.

    root: folder of the recordings. suffixes: label files beside it, keys of LABELS.
    """

    root: Path
    recordings: Sequence[Recording]
    suffixes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Account:
    """What the report of a preparation says. kind: its sub-verb. root: of the corpus, or folders joined. text: lines."""

    kind: str
    root: Path | str
    text: Sequence[str]


def write_preparation(
    out: Path,
    manifests: Mapping[str, ManifestContent],
    others: Mapping[str, Sequence[str]],
    account: Account,
) -> None:
    """Write all files of a preparation to the folder `out`, all or none.

    Args:
        manifests: by split. others: lines by the name of a file, such as transcripts and lists of trials.

    Raises:
        InputError, before anything is written: as of `write_manifests`; a file in `out` that no preparation wrote would be
            replaced; one that an earlier preparation wrote would stay beside this one's.
    """
    earlier = read_report(out)
    leaders, followers = _lines({out / f"{split}.tsv": content for split, content in manifests.items()})
    followers |= {out / name: lines for name, lines in others.items()}
    written = {path.name for path in (*leaders, *followers)}
    _refuse_stale_labels(leaders, followers)
    _refuse_stale_hold_out(out, written)
    refuse_stale(out, earlier, written)
    _refuse_others(leaders, followers, earlier)
    # The report comes first: if the program is killed, it says whose the others are.
    report = report_lines(account.kind, account.root, account.text, written)
    write_lines_together({out / REPORT: report, **followers}, leaders)


def write_manifests(manifests: Mapping[Path, ManifestContent]) -> None:
    """Write manifests by the path of their .tsv, and label files beside them, all or none, without a report.

    No manifest is ever beside labels of another one.

    Raises:
        InputError, before anything is written: a file of this name is no manifest; a label file of an earlier manifest would remain
            beside a new one and no longer fit its lines; names or labels that a line cannot hold.
    """
    leaders, followers = _lines(manifests)
    _refuse_stale_labels(leaders, followers)
    _refuse_others(leaders, followers, None)
    write_lines_together(followers, leaders)


def refuse_stale(out: Path, earlier: Report | None, written: Container[str]) -> None:
    """InputError if a manifest or list of an earlier preparation, or a folder, would stay beside what this one writes.

    Training data may hold the speakers of an earlier test set, and lists name recordings of other manifests.
    """
    for name in sorted(earlier.files) if earlier is not None else ():
        # Labels are told with their manifests; what has no ending is a folder.
        lasting = name == SPEAKERS or Path(name).suffix in (".tsv", ".trials", "")
        if lasting and name not in written and (out / name).exists():
            raise InputError(
                f"{out / name}: was written by `{earlier.command}`, and this preparation does not write it; move it away with what "
                "belongs to it, or choose another folder with --out"
            )


def _lines(manifests: Mapping[Path, ManifestContent]) -> tuple[dict[Path, Sequence[str]], dict[Path, Sequence[str]]]:
    """Lines of the manifests, and of their label files, by path."""
    leaders: dict[Path, Sequence[str]] = {}
    followers: dict[Path, Sequence[str]] = {}
    for path, content in manifests.items():
        entries = [(recording.name, recording.frames) for recording in content.recordings]
        leaders[path] = manifest_lines(path, content.root, entries)
        for suffix in content.suffixes:
            beside = path.with_suffix(f".{suffix}")
            own = [getattr(recording, LABELS[suffix]) for recording in content.recordings]
            followers[beside] = label_lines(beside, own)
    return leaders, followers


def _refuse_stale_labels(leaders: Mapping[Path, Sequence[str]], written: Container[Path]) -> None:
    """InputError if a label file of an earlier manifest is beside one of these, which would be read with the new one.

    leaders: lines of the new manifests. written: files that are written with them.
    """
    for manifest, lines in leaders.items():
        for suffix in (*LABEL_SUFFIXES.values(), *LINE_BY_LINE):
            stale = manifest.with_suffix(f".{suffix}")
            if stale in written or not stale.exists():
                continue
            if suffix in LINE_BY_LINE and manifest.is_file() and read_lines(manifest) == lines:
                continue  # it was made for these very lines
            raise InputError(f"{stale}: belongs to an earlier {manifest.name}; move it away, or choose another folder")


def _refuse_stale_hold_out(out: Path, written: Container[str]) -> None:
    """InputError if an earlier valid.tsv would remain beside a new train.tsv, which may contain its recordings."""
    held_out = out / "valid.tsv"
    if "train.tsv" in written and held_out.name not in written and held_out.exists():
        raise InputError(
            f"{held_out}: belongs to an earlier train.tsv; move it away, hold recordings out again "
            "(--valid-per-speaker, --valid-share), or choose another folder"
        )


def _refuse_others(leaders: Iterable[Path], followers: Mapping[Path, Sequence[str]], earlier: Report | None) -> None:
    """InputError for a file that would be replaced and that no preparation wrote, such as a table of the corpus itself."""
    ours = frozenset() if earlier is None else earlier.files
    manifests = {path for path in leaders if path.exists()}
    for path in sorted(manifests):
        if not _is_manifest(path):
            raise InputError(
                f"{path}: is there and is no manifest, whose first line is the path of an audio folder; choose another folder "
                "with --out"
            )
    for path, lines in followers.items():
        known = path.name in ours or path.with_suffix(".tsv") in manifests
        if path.exists() and not known and not _holds(path, lines):
            raise InputError(
                f"{path}: is there, and no report says that `csc prepare` wrote it; choose another folder with --out"
            )


def _is_manifest(path: Path) -> bool:
    try:
        first = next(iterate_lines(path), "").strip()
    except InputError:  # a folder, or no text
        return False
    return os.path.isabs(first) and "\t" not in first


def _holds(path: Path, lines: Sequence[str]) -> bool:
    """Whether a file is what would be written."""
    return path.is_file() and path.read_bytes() == "".join(f"{line}\n" for line in lines).encode()
