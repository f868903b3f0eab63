"""Fixed mixtures: mixtures that are files, beside the files of their sources, as LibriMix and WSJ0-2mix have them.

Their manifest is an ordinary one of the mixtures, so stock wav2vec 2.0 trains on it. Files beside it say the rest, a line a
mixture, with tabs between the columns (our choice): ``test.sources`` has the paths of the sources, below the folder of the
manifest's first line, and ``test.speakers``, which may be missing, who each of them is. ::

    test.tsv        /data/Libri2Mix
                    wav16k/min/test/mix_clean/61-1_84-2.wav<TAB>48000
    test.sources    wav16k/min/test/s1/61-1_84-2.wav<TAB>wav16k/min/test/s2/61-1_84-2.wav
    test.speakers   librispeech/61<TAB>librispeech/84

Where the sources are slices of archives (packed.py), ``test.source_names`` has the paths that they had before.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from csc_fairseq.data.audio import load_crop, probe, require_format
from csc_fairseq.data.manifest import Manifest, are_packed, label_path, read_manifest
from csc_fairseq.data.texts import Labels, Names
from csc_fairseq.errors import InputError
from csc_fairseq.text import normal, read_lines

SOURCES, SPEAKERS, SOURCE_NAMES = "sources", "speakers", "source_names"  # suffixes of the files beside the manifest


@dataclass(frozen=True)
class FixedMixtures:
    """N mixtures of C sources each.

    manifest: of the mixtures. count: C. sources: N·C paths below the manifest's root, mixture by mixture: source c of mixture i is
    number i·C + c; of packed sources those of before, by which they stay the same. speakers: who each is, in the same order; None:
    that is not known. slices: of packed sources the paths below root; None: sources are the paths.
    """

    manifest: Manifest
    count: int
    sources: Names
    speakers: Labels | None
    slices: Names | None = None

    def __len__(self) -> int:
        return len(self.manifest)

    def place(self, index: int) -> str:
        """``file:line`` of a mixture's sources, for messages."""
        return f"{label_path(self.manifest, SOURCES)}:{index + 1}"

    def files(self, index: int) -> list[Path]:
        """Audio of the sources of mixture `index`."""
        return [self.manifest.root / path for path in self.paths[index * self.count : (index + 1) * self.count]]

    @property
    def paths(self) -> Names:
        """Where the sources are, below the manifest's root, as files or slices."""
        return self.sources if self.slices is None else self.slices

    def load(
        self, index: int, sample_rate: int, resample: bool = False, start: int = 0, frames: int = -1
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mixture float32 [T] and its sources float32 [C, T], as in their files: samples [start, start + frames), or all.

        sample_rate (Hz), resample, start, frames: as of `load_crop`. InputError, naming the file: as of `load_crop`; where all is
        read, also a source of another length.
        """
        mixture = load_crop(self.manifest.file(index), start, frames, sample_rate, resample)
        sources = []
        for file in self.files(index):
            source = load_crop(file, start, frames, sample_rate, resample)
            if len(source) != len(mixture):
                raise InputError(self._other_length(index, file, len(source), len(mixture)))
            sources.append(source)
        return mixture, np.stack(sources)

    def require_fitting(self, index: int, sample_rate: int, resample: bool = False) -> None:
        """InputError, naming file and line, unless all sources have the mixture's length and format, by their headers."""
        lengths = []
        for file in (self.manifest.file(index), *self.files(index)):
            try:
                info = probe(file)
                require_format(file, info, sample_rate, resample)
            except InputError as error:
                raise InputError(f"{self.place(index)}: {error}") from error
            lengths.append(info.frames_at(sample_rate))
            if lengths[-1] != lengths[0]:
                raise InputError(self._other_length(index, file, lengths[-1], lengths[0]))

    def _other_length(self, index: int, file: Path, found: int, expected: int) -> str:
        return (
            f"{self.place(index)}: {file} has {found} samples, but its mixture {self.manifest.file(index)} has {expected}; "
            "generate both again, or prepare them again with --skip-bad"
        )


def are_fixed_mixtures(path: str | Path) -> bool:
    """Whether a manifest is one of fixed mixtures: a file of sources is beside it."""
    return Path(path).with_suffix(f".{SOURCES}").is_file()


def read_fixed_mixtures(path: str | Path) -> FixedMixtures:
    """Read a manifest of fixed mixtures and the files beside it. Audio is not opened; `csc check` does that.

    InputError, naming file and line: as of `read_manifest`; no sources; another number of lines than mixtures, or of columns than
    in the first line; an empty column; a source that is there twice.
    """
    manifest = read_manifest(path)
    if not are_fixed_mixtures(manifest.path):
        raise InputError(
            f"{label_path(manifest, SOURCES)}: no such file; expected the paths of the sources of each mixture of {manifest.path}, "
            "with tabs between; prepare fixed mixtures with `csc prepare librimix` or `wsj0-2mix`, or write it"
        )
    rows = _rows(manifest, SOURCES, str)
    for number, row in enumerate(rows, start=1):
        if len(set(row)) < len(row):
            raise InputError(
                f"{label_path(manifest, SOURCES)}:{number}: names one source twice; expected another one for each talker; "
                "correct it"
            )
    count, speakers = len(rows[0]), None
    sources = Names.of(source for row in rows for source in row)
    if label_path(manifest, SPEAKERS).is_file():
        speakers = Labels.of(_as_many(manifest, SPEAKERS, normal, count, "speakers"))
    # Names of another time may be beside files that are not packed, where they mean nothing.
    if are_packed(sources) and label_path(manifest, SOURCE_NAMES).is_file():
        names = Names.of(_as_many(manifest, SOURCE_NAMES, str, count, "sources"))
        return FixedMixtures(manifest, count, names, speakers, sources)
    return FixedMixtures(manifest, count, sources, speakers)


def _as_many(manifest: Manifest, suffix: str, form: Callable[[str], str], count: int, what: str) -> Iterator[str]:
    """Columns of a file beside the manifest, line by line. InputError, as of `_rows`, or unless a line has `count` of them."""
    rows = _rows(manifest, suffix, form)
    if len(rows[0]) != count:
        raise InputError(
            f"{label_path(manifest, suffix)}:1: names {len(rows[0])} {what}, expected {count}, one for each source of "
            f"{label_path(manifest, SOURCES)}; correct the file"
        )
    return (column for row in rows for column in row)


def _rows(manifest: Manifest, suffix: str, form: Callable[[str], str]) -> list[list[str]]:
    """Columns of every line of a file beside the manifest, each in the given form."""
    path = label_path(manifest, suffix)
    rows = [[form(column.strip()) for column in line.split("\t")] for line in read_lines(path)]
    if len(rows) != len(manifest):
        raise InputError(
            f"{path}: has {len(rows)} lines, but {manifest.path} has {len(manifest)} mixtures; expected one for each, in the same "
            "order; prepare them again"
        )
    for number, row in enumerate(rows, start=1):
        if not all(row):
            raise InputError(
                f"{path}:{number}: has an empty column; expected one of {suffix} in each, with tabs between"
            )
        if len(row) != len(rows[0]):
            raise InputError(
                f"{path}:{number}: has {len(row)} columns, expected {len(rows[0])} as in line 1; correct it"
            )
    return rows
