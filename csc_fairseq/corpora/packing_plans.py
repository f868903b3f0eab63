"""Where the recordings of a manifest will be in archives: known before anything is written, and always the same.

Of fixed mixtures the sources are packed, too, after all mixtures; one that several have, once.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from csc_fairseq.corpora.name_faults import leaving_root, repeated, stem_hashes
from csc_fairseq.data.fixed_mixtures import (
    SOURCE_NAMES,
    SOURCES,
    FixedMixtures,
    are_fixed_mixtures,
    read_fixed_mixtures,
)
from csc_fairseq.data.manifest import NAMES, Manifest, manifest_lines
from csc_fairseq.data.packed import file_of, open_bytes
from csc_fairseq.data.parallel import parallel_map
from csc_fairseq.data.texts import Names
from csc_fairseq.errors import InputError

LOCAL_HEADER = 30  # bytes before the name of a member
LONGEST_MEMBER = 2**30  # bytes; from twice that on, a zip needs other headers
STOCK_SIGNS = (b"RIF", b"fLa", b"Ogg")  # how a slice must begin for fairseq (`is_sf_audio_data`)


@dataclass(frozen=True)
class Packing:
    """Which recording of a manifest will be where.

    folder: of the archives and of the new manifest. names: of all M recordings, those of the manifest first. paths: where they are,
    below its root. mixtures: if they are fixed ones. sources: int64 [N, C], which recordings are the sources of each mixture.
    sizes: int64 [M], bytes of each recording. changed: int64 [M], when its file last changed or came to its place, in ns.
    bounds: int64 [K + 1], archive k holds recordings [bounds[k], bounds[k + 1]). offsets: int64 [M], first byte of each recording
    in its archive.
    """

    manifest: Manifest
    folder: Path
    names: Names
    paths: Names
    mixtures: FixedMixtures | None
    sources: np.ndarray
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

    def file(self, i: int) -> Path:
        """Path of a recording, as it is now."""
        return self.manifest.root / self.paths[i]

    def texts(self) -> dict[Path, list[str]]:
        """Lines of the new manifest and of the files of names and sources beside it."""
        slices = [
            f"{self.archive(number).name}:{self.offsets[i]}:{self.sizes[i]}"
            for number in range(self.archives)
            for i in self.members(number)
        ]
        entries = zip(slices, self.manifest.frames.tolist(), strict=False)  # sources have no line
        files = {
            self.target: manifest_lines(self.target, self.folder, entries),
            self.target.with_suffix(f".{NAMES}"): self.names[: len(self.manifest)],
        }
        if self.mixtures is not None:
            count, sources = self.mixtures.count, [slices[i] for i in self.sources.ravel()]
            for suffix, texts in ((SOURCES, sources), (SOURCE_NAMES, list(self.mixtures.sources))):
                rows = ["\t".join(texts[first : first + count]) for first in range(0, len(texts), count)]
                files[self.target.with_suffix(f".{suffix}")] = rows
        return files


def plan(manifest: Manifest, folder: Path, shard_size: int, jobs: int = 4) -> Packing:
    """Where recordings will be, in archives of at most `shard_size` bytes of audio, or of one recording.

    InputError, with the line of the manifest: a recording that is missing, too long, of a form that stock fairseq does not read
    from an archive, outside the audio folder or there twice; a folder whose name stock fairseq cannot take apart.
    """
    if ":" in str(folder.resolve()) + manifest.path.name:
        raise InputError(f"{folder}: has a colon in its path, where fairseq would cut it; choose another --out")
    if folder.resolve() == manifest.path.parent.resolve():
        raise InputError(f"{folder}: is the folder of {manifest.path}, which would be replaced; choose another --out")
    mixtures = read_fixed_mixtures(manifest.path) if are_fixed_mixtures(manifest.path) else None
    names, paths, sources = _members(manifest, mixtures)
    found = list(
        parallel_map(lambda i: _examined(manifest.root / paths[i]), range(len(paths)), jobs, progress="headers")
    )
    sizes, changed = (np.array([one[column] for one in found], dtype=np.int64) for column in (0, 1))
    faults = [(i, one[2]) for i, one in enumerate(found) if one[2]] + list(_faulty_names(names))
    if faults:
        first, fault = min(faults)
        more = f" ({len(faults)} such lines)" if len(faults) > 1 else ""
        place = f"{manifest.path}:{first + 2}"
        if first >= len(manifest):
            place = mixtures.place(int(np.argwhere(sources == first)[0, 0]))
        raise InputError(f"{place}: {fault}{more}")
    bounds = _bounds(sizes, shard_size)
    headers = np.array([LOCAL_HEADER + len(name.encode()) for name in names], dtype=np.int64)
    ends = np.cumsum(headers + sizes)
    before = np.repeat((ends - headers - sizes)[bounds[:-1]], np.diff(bounds))
    return Packing(manifest, folder, names, paths, mixtures, sources, sizes, changed, bounds, ends - sizes - before)


def _members(manifest: Manifest, mixtures: FixedMixtures | None) -> tuple[Names, Names, np.ndarray]:
    """`names`, `paths` and `sources` of a Packing."""
    names = Names.of(manifest.names)
    paths = names if manifest.slices is None else Names.of(manifest.slices)
    if mixtures is None:
        return names, paths, np.empty((0, 0), dtype=np.int64)
    numbers = {os.path.normpath(name): i for i, name in enumerate(names)}
    all_names, all_paths, sources = [*names], [*paths], []
    for name, path in zip(mixtures.sources, mixtures.paths, strict=True):
        number = numbers.setdefault(os.path.normpath(name), len(all_names))
        if number == len(all_names):
            all_names.append(name)
            all_paths.append(path)
        sources.append(number)
    return Names.of(all_names), Names.of(all_paths), np.array(sources, dtype=np.int64).reshape(-1, mixtures.count)


def _examined(path: Path) -> tuple[int, int, str]:
    """Bytes, time of change in ns, and what is wrong, "" for nothing."""
    try:
        with open_bytes(path) as content:
            sign, size = content.read(3), content.seek(0, os.SEEK_END)
        status = file_of(path).stat()
        # A copy keeps the time of its contents, but not that of its file: a recording may be replaced by an older one.
        changed = max(status.st_mtime_ns, status.st_ctime_ns)
    except OSError as error:
        return 0, 0, f"{path}: cannot be read ({error.strerror}); restore it, or take it out of the manifest"
    except InputError as error:  # of a slice
        return 0, 0, str(error)
    if sign not in STOCK_SIGNS:
        fault = "is nothing that fairseq reads from an archive, expected WAV, FLAC or Ogg"
        return size, changed, f"{path}: {fault} (not RF64, no tags in front); convert it, or take it out"
    if size > LONGEST_MEMBER:
        fault = f"has {size} bytes, expected at most {LONGEST_MEMBER}"
        return size, changed, f"{path}: {fault}; cut it, or convert it to FLAC"
    return size, changed, ""


def _faulty_names(names: Names) -> Iterator[tuple[int, str]]:
    """Recordings whose names an archive cannot hold, and why."""
    for i in leaving_root(names):
        fault = f"{names[i]} lies outside the audio folder, and would be unpacked there"
        yield i, f"{fault}; write a folder above both into line 1"
    first: dict[str, int] = {}
    for i in repeated(stem_hashes(names)).tolist():
        earlier = first.setdefault(os.path.normpath(names[i]), i)
        if earlier != i:
            yield i, f"{names[i]} is already on line {earlier + 2}; remove one of the two"


def _bounds(sizes: np.ndarray, shard_size: int) -> np.ndarray:
    """First recording of each archive, and the number of recordings."""
    bounds, filled = [0], 0
    for i, size in enumerate(sizes.tolist()):
        if filled and filled + size > shard_size:
            bounds.append(i)
            filled = 0
        filled += size
    return np.array([*bounds, len(sizes)], dtype=np.int64)
