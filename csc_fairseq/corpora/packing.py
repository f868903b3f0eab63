"""Packs the recordings of a manifest into stored zips, with a manifest of their slices that stock wav2vec 2.0 reads, too.

Recordings stay as they are, byte by byte, and the same recordings always give the same bytes. An archive that is whole and newer
than its recordings is not written again: a run that was killed goes on where it was.
"""

import re
import shutil
from collections.abc import Callable, Sequence
from glob import escape
from pathlib import Path
from zipfile import BadZipFile, ZipFile, ZipInfo

from tqdm import tqdm

from csc_fairseq.corpora.packing_plans import Packing
from csc_fairseq.corpora.preparation import LINE_BY_LINE
from csc_fairseq.data.fixed_mixtures import SOURCE_NAMES, SOURCES
from csc_fairseq.data.manifest import LABEL_SUFFIXES, NAMES, Manifest
from csc_fairseq.data.packed import open_bytes
from csc_fairseq.errors import InputError
from csc_fairseq.files import replacing, replacing_together
from csc_fairseq.locking import alone_in
from csc_fairseq.text import read_lines

COMMENT = b"written by csc pack"  # of an archive: others' archives are not replaced
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time that a zip can hold
WRITTEN = ("tsv", NAMES, SOURCES, SOURCE_NAMES)  # endings of files that are made for the packed recordings, not copied
KNOWN_LABELS = (*LABEL_SUFFIXES.values(), *LINE_BY_LINE)


def pack(packing: Packing) -> list[Path]:
    """Writes archives, label files and, last, the new manifest. Returns the label files that were copied.

    The manifest is away while archives change: its lines never mean other bytes than those that are there.

    InputError, before anything is written: files of others in the folder, another run at work there, label files that do not fit.
    """
    manifest, target = packing.manifest, packing.target
    labels = {path: packing.folder / path.name for path in _label_files(manifest)}
    dictionaries = {path: packing.folder / path.name for path in sorted(manifest.path.parent.glob("dict.*.txt"))}
    texts = {path: "".join(f"{line}\n" for line in lines).encode() for path, lines in packing.texts().items()}
    beside = {path: text for path, text in texts.items() if path != target}
    _refuse_files_of_others(packing, labels, dictionaries, beside)
    copies = labels | dictionaries
    with alone_in(packing.folder, "another `csc pack`", "choose another --out"):
        _remove_remains(packing, (*copies.values(), *texts))
        pending = [number for number in range(packing.archives) if not _is_whole(packing, number)]
        if target.exists() and (pending or target.read_bytes() != texts[target]):
            _refuse_other_labels(packing, [path.name for path in (*labels, *beside)])
            target.unlink()
        _write_archives(packing, pending)
        with replacing_together((*copies.values(), *beside), (target,)) as temporaries:
            for source, copy in copies.items():
                shutil.copyfile(source, temporaries[copy])
            for path, text in texts.items():
                temporaries[path].write_bytes(text)
        for surplus in sorted(_own_archives(packing) - set(map(packing.archive, range(packing.archives)))):
            surplus.unlink()
    return list(labels)


def _label_files(manifest: Manifest) -> list[Path]:
    """Files beside a manifest with as many lines as it has recordings. InputError: one that we know has another number."""
    found = []
    for path in sorted(manifest.path.parent.glob("*.*")):
        suffix = path.suffix.removeprefix(".")
        if path.stem != manifest.path.stem or suffix in WRITTEN or not path.is_file():
            continue
        if suffix in KNOWN_LABELS:
            count = len(read_lines(path))
        else:
            with open(path, "rb") as file:  # of any kind
                count = sum(1 for _ in file)
        if count == len(manifest):
            found.append(path)
        elif suffix in KNOWN_LABELS:
            raise InputError(
                f"{path}: has {count} lines, but {manifest.path} has {len(manifest)} recordings; expected one label for each"
            )
    return found


def _refuse_files_of_others(
    packing: Packing, labels: dict[Path, Path], dictionaries: dict[Path, Path], beside: dict[Path, bytes]
) -> None:
    """InputError for a file in the folder that is to be written, and that no run of this has written as it is."""
    for number in range(packing.archives):
        if packing.archive(number).exists() and not _is_own(packing.archive(number)):
            raise _not_ours(packing.archive(number))
    begun, finished = packing.archive(0).exists(), packing.target.exists()
    if finished and not begun:
        raise _not_ours(packing.target)
    # Archives without a manifest are of a run that was killed, and may have labels of before beside them.
    for source, copy in (dictionaries if begun and not finished else labels | dictionaries).items():
        if copy.exists() and copy.read_bytes() != source.read_bytes():
            raise InputError(f"{copy}: is there and differs from {source}; move it away, or choose another --out")
    for path, text in beside.items():
        if not begun and path.exists() and path.read_bytes() != text:
            raise _not_ours(path)


def _not_ours(path: Path) -> InputError:
    return InputError(f"{path}: is there, and `csc pack` did not write it; move it away, or choose another --out")


def _refuse_other_labels(packing: Packing, written: Sequence[str]) -> None:
    """InputError for a label file of the manifest that is replaced which would lie beside the new one."""
    for suffix in KNOWN_LABELS:
        stale = packing.target.with_suffix(f".{suffix}")
        if stale.exists() and stale.name not in written:
            raise InputError(
                f"{stale}: belongs to an earlier {packing.target.name}; move it away, or choose another --out"
            )


def _own_archives(packing: Packing) -> set[Path]:
    pattern = re.compile(rf"{re.escape(packing.manifest.path.stem)}-\d{{5,}}\.zip")
    return {path for path in packing.folder.iterdir() if pattern.fullmatch(path.name) and _is_own(path)}


def _is_own(archive: Path) -> bool:
    try:
        with ZipFile(archive) as content:
            return content.comment == COMMENT
    except (BadZipFile, OSError):
        return False


def _is_whole(packing: Packing, number: int) -> bool:
    """Whether an archive holds what it should, by its table of contents, and is newer than all of it."""
    path, members = packing.archive(number), packing.members(number)
    if not path.exists() or path.stat().st_mtime_ns <= packing.changed[members.start : members.stop].max():
        return False
    with ZipFile(path) as archive:
        held = [(member.filename, member.file_size) for member in archive.infolist()]
    return held == [(packing.names[i], int(packing.sizes[i])) for i in members]


def _remove_remains(packing: Packing, files: Sequence[Path]) -> None:
    """Takes away what a run that was killed had written of files and archives; of an archive that may be much."""
    names = [*(escape(path.name) for path in files), f"{escape(packing.manifest.path.stem)}-*.zip"]
    for name in names:
        for remains in packing.folder.glob(f".{name}.*.tmp"):
            remains.unlink()


def _write_archives(packing: Packing, numbers: Sequence[int]) -> None:
    total = sum(int(packing.sizes[i]) for number in numbers for i in packing.members(number))
    title = f"pack {packing.manifest.path.name}"
    # disable=None hides the bar if standard error is a file or a pipe.
    with tqdm(total=total, desc=title, unit="B", unit_scale=True, leave=False, disable=None) as bar:
        for number in numbers:
            with replacing(packing.archive(number)) as temporary, open(temporary, "wb") as file:
                with ZipFile(file, "w") as archive:
                    archive.comment = COMMENT
                    for i in packing.members(number):
                        _write_member(packing, i, archive, file.tell)
                        bar.update(int(packing.sizes[i]))


def _write_member(packing: Packing, i: int, archive: ZipFile, tell: Callable[[], int]) -> None:
    path, size = packing.file(i), int(packing.sizes[i])
    info = ZipInfo(packing.names[i], EPOCH)
    info.create_system = 3  # Unix, wherever it is written
    info.external_attr = 0o644 << 16
    info.file_size = size
    with open_bytes(path) as content, archive.open(info, "w") as member:
        begins = tell()
        shutil.copyfileobj(content, member, 2**20)
        written = tell() - begins
    if (begins, written) != (packing.offsets[i], size):
        raise InputError(f"{path}: had {size} bytes and now has {written}; pack it once no program writes to it")
