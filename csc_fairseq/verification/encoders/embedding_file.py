"""Embeddings that were made elsewhere. They exist for the recordings of a manifest alone, so for clean trials alone."""

import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from csc_fairseq.checkpoints.entries import one_line
from csc_fairseq.errors import InputError
from csc_fairseq.text import normal
from csc_fairseq.verification.encoders.checks import unit_rows
from csc_fairseq.verification.encoders.encoder import StreamEmbeddings

SAMPLE_RATE = 16000
MOST_PACKED, SMALL = 100, 4096  # times that embeddings are compressed, at most; bytes, of which more may be made


class FileEncoder:
    """Looks recordings up by name in an .npz file with `names` [N] and `embeddings` [N, E], as `csc embed` writes it.

    It cannot embed waveforms: `enrol` and `test` are there to say so.

    Args:
        name: see `Encoder`.
        path: the file.

    Raises:
        InputError: no such file, not an .npz of this kind, a name that it has twice, faulty embeddings.
    """

    def __init__(self, name: str, path: str | Path) -> None:
        names, embeddings = _read(path)
        self.name = name
        self.sample_rate = SAMPLE_RATE  # recordings may have any; the evaluation asks every encoder
        self._path = path
        self._embeddings = unit_rows(name, embeddings, (len(names), None))
        self._rows = {recording: row for row, recording in enumerate(names)}
        if len(self._rows) < len(names):
            twice = next(recording for row, recording in enumerate(names) if self._rows[recording] != row)
            raise InputError(f"{path}: has {twice} twice; expected every recording once")

    def recordings(self, names: Sequence[str]) -> np.ndarray:
        """Embeddings of a manifest's recordings by their names, float32 [n, E], unit norm.

        A name may stand in the file with or without its extension. InputError, naming the first that is missing.
        """
        return self._embeddings[[self._row(name) for name in names]]

    def enrol(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """Raises InputError."""
        raise self._refusal()

    def test(self, waveforms: Sequence[np.ndarray]) -> StreamEmbeddings:
        """Raises InputError."""
        raise self._refusal()

    def _row(self, name: str) -> int:
        for candidate in (normal(name), str(PurePosixPath(normal(name)).with_suffix(""))):
            if candidate in self._rows:
                return self._rows[candidate]
        raise InputError(
            f"{self._path}: has no embedding of {name}; names are those of the manifest, paths below its root"
        )

    def _refusal(self) -> InputError:
        return InputError(
            f"encoder {self.name}: {self._path} holds embeddings of recordings and cannot embed mixtures; evaluate it on "
            "clean trials alone, or name the encoder as module:function"
        )


def _read(path: str | Path) -> tuple[list[str], np.ndarray]:
    form = "expected names (N) and embeddings (N, E), as `csc embed` writes them"
    try:
        _require_honest_sizes(path)
        with np.load(path, allow_pickle=False) as file:
            return [normal(str(name)) for name in file["names"]], file["embeddings"]
    except InputError:
        raise
    except KeyError as error:
        raise InputError(f"{path}: {one_line(error.args[0])}; {form}") from error
    except Exception as error:  # a damaged archive fails with any exception, of zlib for instance
        raise InputError(f"{path}: cannot be read ({one_line(error) or type(error).__name__}); {form}") from error


def _require_honest_sizes(path: str | Path) -> None:
    """InputError for an archive that unpacks to far more than numbers of any use do: it would fill the memory."""
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.file_size > MOST_PACKED * max(entry.compress_size, SMALL):
                raise InputError(
                    f"{path}: {ascii(entry.filename)} would unpack from {entry.compress_size} to {entry.file_size} bytes; "
                    "write it again"
                )
