"""Packs the recordings of a manifest into stored zips, with a manifest of their slices that stock wav2vec 2.0 reads, too.

Recordings stay as they are, byte by byte. Archives are filled in the order of the manifest, so where everything will be is known
before anything is written, and the same recordings always give the same bytes. An archive that is whole and newer than its
recordings is not written again: a run that was killed goes on where it was.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np
from filelock import FileLock, Timeout
from tqdm import tqdm

from csc_fairseq.corpora.preparation import LINE_BY_LINE
from csc_fairseq.data.manifest import LABEL_SUFFIXES, NAMES, Manifest, manifest_lines
from csc_fairseq.data.packed import file_of, open_bytes
from csc_fairseq.data.parallel import parallel_map
from csc_fairseq.errors import InputError
from csc_fairseq.files import replacing, replacing_together
from csc_fairseq.text import read_lines

COMMENT = b"written by csc pack"  # of an archive: others' archives are not replaced
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time that a zip can hold
LOCAL_HEADER = 30  # bytes before the name of a member
LONGEST_MEMBER = 2**30  # bytes; from twice that on, a zip needs other headers
STOCK_SIGNS = (b"RIF", b"fLa", b"Ogg")  # how a slice must begin for fairseq (`is_sf_audio_data`)
KNOWN_LABELS = (*LABEL_SUFFIXES.values(), *LINE_BY_LINE)


@dataclass(frozen=True)
class Packing:
    """Which recording of a manifest will be where.

    folder: of the archives and of the new manifest. sizes: int64 [N], bytes of each recording. changed: int64 [N], when its file
    last changed, in ns. bounds: int64 [K + 1], archive k holds recordings [bounds[k], bounds[k + 1]). offsets: int64 [N], first
    byte of each recording in its archive.
    """

    manifest: Manifest
    folder: Path
    sizes: np.ndarray
    changed: np.ndarray
    bounds: np.ndarray
    offsets: np.ndarray

    @property
    def target(self) -> Path:
        """The new manifest."""
        return self.folder / self.manifest.path.name

    @property
    def archives(self) -> int:
        """How many archives there will be, K."""
        return len(self.bounds) - 1

    def archive(self, number: int) -> Path:
        """Path of an archive."""
        return self.folder / f"{self.manifest.path.stem}-{number:05d}.zip"

    def members(self, number: int) -> range:
        """The recordings of an archive."""
        return range(int(self.bounds[number]), int(self.bounds[number + 1]))

    def lines(self) -> list[str]:
        """The new manifest."""
        entries = (
            (f"{self.archive(number).name}:{self.offsets[i]}:{self.sizes[i]}", int(self.manifest.frames[i]))
            for number in range(self.archives)
            for i in self.members(number)
        )
        return manifest_lines(self.target, self.folder, entries)


def plan(manifest: Manifest, folder: Path, shard_size: int, jobs: int = 4) -> Packing:
    """Where recordings will be, in archives of at most `shard_size` bytes of audio, or of one recording.

    InputError, with the line of the manifest: a recording that is missing, too long, of a form that stock fairseq does not read
    from an archive, outside the audio folder or there twice; a folder whose name stock fairseq cannot take apart.
    """
    if ":" in str(folder.resolve()) + manifest.path.name:
        raise InputError(f"{folder}: has a colon in its path, where fairseq would cut it; choose another --out")
    if folder.resolve() == manifest.path.parent.resolve():
        raise InputError(f"{folder}: is the folder of {manifest.path}, which would be replaced; choose another --out")
    files = [manifest.file(i) for i in range(len(manifest))]
    found = list(parallel_map(_examined, files, jobs, progress="headers"))
    sizes, changed = (np.array([one[column] for one in found], dtype=np.int64) for column in (0, 1))
    faults = [(i, one[2]) for i, one in enumerate(found) if one[2]] + list(_faulty_names(manifest.names))
    if faults:
        first, fault = min(faults)
        more = f" ({len(faults)} such lines)" if len(faults) > 1 else ""
        raise InputError(f"{manifest.path}:{first + 2}: {fault}{more}")
    bounds = _bounds(sizes, shard_size)
    headers = np.array([LOCAL_HEADER + len(name.encode()) for name in manifest.names], dtype=np.int64)
    ends = np.cumsum(headers + sizes)
    before = np.repeat((ends - headers - sizes)[bounds[:-1]], np.diff(bounds))
    return Packing(manifest, folder, sizes, changed, bounds, ends - sizes - before)


def _examined(path: Path) -> tuple[int, int, str]:
    """Bytes, time of change in ns, and what is wrong, "" for nothing."""
    try:
        with open_bytes(path) as content:
            sign, size = content.read(3), content.seek(0, os.SEEK_END)
        changed = file_of(path).stat().st_mtime_ns
    except OSError as error:
        return (
            0,
            0,
            f"{path}: cannot be read ({error.strerror}); restore it, or take it out (`csc check` names all such)",
        )
    except InputError as error:  # of a slice
        return 0, 0, str(error)
    if sign not in STOCK_SIGNS:
        fault = "is nothing that fairseq reads from an archive, expected WAV, FLAC or Ogg"
        return size, changed, f"{path}: {fault} (not RF64, no tags in front); convert it, or take it out"
    if size > LONGEST_MEMBER:
        return (
            size,
            changed,
            f"{path}: has {size} bytes, expected at most {LONGEST_MEMBER}; cut it, or convert it to FLAC",
        )
    return size, changed, ""


def _faulty_names(names: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Recordings whose names an archive cannot hold, and why."""
    first: dict[str, int] = {}
    for i, name in enumerate(names):
        path = os.path.normpath(name)
        if os.path.isabs(path) or path.split(os.sep)[0] == os.pardir:
            yield (
                i,
                f"{name} lies outside the audio folder, and would be unpacked there; write a folder above both into line 1",
            )
        elif first.setdefault(name, i) != i:
            yield i, f"{name} is already on line {first[name] + 2}; remove one of the two"


def _bounds(sizes: np.ndarray, shard_size: int) -> np.ndarray:
    """First recording of each archive, and the number of recordings."""
    bounds, filled = [0], 0
    for i, size in enumerate(sizes.tolist()):
        if filled and filled + size > shard_size:
            bounds.append(i)
            filled = 0
        filled += size
    return np.array([*bounds, len(sizes)], dtype=np.int64)


def pack(packing: Packing) -> list[Path]:
    """Writes archives, label files and, last, the new manifest. Returns the label files that were copied.

    The manifest is away while archives change: its lines never mean other bytes than those that are there.

    InputError, before anything is written: files of others in the folder, another run at work there, label files that do not fit.
    """
    manifest, target = packing.manifest, packing.target
    labels = {path: packing.folder / path.name for path in _label_files(manifest)}
    dictionaries = {path: packing.folder / path.name for path in sorted(manifest.path.parent.glob("dict.*.txt"))}
    _refuse_files_of_others(packing, labels, dictionaries)
    text = "".join(f"{line}\n" for line in packing.lines())
    names = target.with_suffix(f".{NAMES}")
    copies = labels | dictionaries
    with _alone(packing.folder):
        _remove_remains(packing, (*copies.values(), names, target))
        pending = [number for number in range(packing.archives) if not _is_whole(packing, number)]
        if target.exists() and (pending or target.read_text(encoding="utf-8") != text):
            _refuse_other_labels(packing, [path.name for path in labels])
            target.unlink()
        _write_archives(packing, pending)
        with replacing_together((*copies.values(), names), (target,)) as temporaries:
            for source, copy in copies.items():
                shutil.copyfile(source, temporaries[copy])
            temporaries[names].write_text("".join(f"{name}\n" for name in manifest.names), encoding="utf-8")
            temporaries[target].write_text(text, encoding="utf-8")
        for surplus in sorted(_own_archives(packing) - set(map(packing.archive, range(packing.archives)))):
            surplus.unlink()
    return list(labels)


def _label_files(manifest: Manifest) -> list[Path]:
    """Files beside a manifest with as many lines as it has recordings. InputError: one that we know has another number."""
    found = []
    for path in sorted(manifest.path.parent.glob("*.*")):
        suffix = path.suffix.removeprefix(".")
        if path.stem != manifest.path.stem or suffix in ("tsv", NAMES) or not path.is_file():
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


def _refuse_files_of_others(packing: Packing, labels: dict[Path, Path], dictionaries: dict[Path, Path]) -> None:
    for number in range(packing.archives):
        if packing.archive(number).exists() and not _is_own(packing.archive(number)):
            raise _not_ours(packing.archive(number))
    if not packing.archive(0).exists() and packing.target.exists():
        raise _not_ours(packing.target)
    for source, copy in (dictionaries if packing.archive(0).exists() else labels | dictionaries).items():
        if copy.exists() and copy.read_bytes() != source.read_bytes():
            raise _not_ours(copy)


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
    return held == [(packing.manifest.names[i], int(packing.sizes[i])) for i in members]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Makes the folder and keeps others from packing there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"{folder}: another `csc pack` is writing there; wait for its end") from None
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from error
    try:
        yield
    finally:
        lock.release()


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
    path, size = packing.manifest.file(i), int(packing.sizes[i])
    info = ZipInfo(packing.manifest.names[i], EPOCH)
    info.create_system = 3  # Unix, wherever it is written
    info.external_attr = 0o644 << 16
    info.file_size = size
    with open_bytes(path) as content, archive.open(info, "w") as member:
        begins = tell()
        shutil.copyfileobj(content, member, 2**20)
        written = tell() - begins
    if (begins, written) != (packing.offsets[i], size):
        raise InputError(f"{path}: had {size} bytes and now has {written}; pack it once nobody writes to it")
