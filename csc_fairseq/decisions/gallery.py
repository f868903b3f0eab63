"""A gallery: enrolled voices by name, in one file, for one model.

A voice is the mean of the embeddings of its recordings, which are of unit norm, made unit norm again (our choice). The file keeps
the embedding of every recording, so voices can be extended; it holds no audio.
"""

import io
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from csc_fairseq.checkpoints.entries import one_line
from csc_fairseq.decisions.model_identity import ModelIdentity
from csc_fairseq.errors import InputError
from csc_fairseq.files import replacing
from csc_fairseq.text import is_utf8, normal

FORMAT, VERSION = "csc-gallery", 1
UNKNOWN = "unknown"  # what is said of a talker who is nobody of the gallery
LARGEST = 2**30  # bytes of a file
ROUNDING = 1e-3  # by which the norm of an embedding may differ from 1
ENDING = ".npz"
KINDS = {"model": "U", "names": "U", "files": "U", "digests": "U", "seconds": "f", "embeddings": "f"}  # of NumPy


@dataclass(frozen=True)
class Enrolment:
    """One recording of one voice.

    file: its name, for people. digest: of its content. seconds: its length. embedding: float32 [E], unit norm.
    """

    file: str
    digest: str
    seconds: float
    embedding: np.ndarray


def each_once(enrolments: Iterable[Enrolment]) -> tuple[Enrolment, ...]:
    """Without those whose content an earlier one has."""
    each: dict[str, Enrolment] = {}
    for one in enrolments:
        each.setdefault(one.digest, one)
    return tuple(each.values())


@dataclass(frozen=True)
class Voice:
    """name: of the person. enrolments: one at least, in the order in which they were enrolled, each recording once."""

    name: str
    enrolments: tuple[Enrolment, ...]

    @property
    def centre(self) -> np.ndarray:
        """float32 [E], unit norm. InputError where the embeddings cancel out."""
        mean = np.mean([one.embedding for one in self.enrolments], axis=0, dtype=np.float64)
        norm = np.linalg.norm(mean)
        if norm < ROUNDING:
            raise InputError(f"{self.name}: the embeddings of the recordings cancel out; are all of one person?")
        return np.asarray(mean / norm, dtype=np.float32)

    @property
    def seconds(self) -> float:
        """Of all its recordings."""
        return sum(one.seconds for one in self.enrolments)


@dataclass(frozen=True)
class Gallery:
    """Voices of different names, N of them, all by one model."""

    model: ModelIdentity
    voices: tuple[Voice, ...] = ()

    @property
    def centres(self) -> np.ndarray:
        """float32 [N, E], unit norm."""
        return np.stack([voice.centre for voice in self.voices])

    def voice(self, name: str) -> Voice | None:
        """The voice of a name, None if it is not enrolled. Names are compared in their normal form."""
        return next((voice for voice in self.voices if voice.name == normal(name)), None)

    def enrolled(self, name: str, enrolments: Sequence[Enrolment], replace_voice: bool = False) -> "Gallery":
        """With these recordings for a name: beside those that it has, or in place of them. A recording counts once.

        InputError: an impossible name, or a recording that is another name's.
        """
        name = checked_name(name)
        old = self.voice(name)
        for one in enrolments:
            for other in self.voices:
                if other.name != name and one.digest in [known.digest for known in other.enrolments]:
                    raise InputError(
                        f"{one.file}: is a recording of {other.name} in this gallery; enrol it for one of the two, or "
                        f"replace the recordings of {other.name}"
                    )
        kept = () if old is None or replace_voice else old.enrolments
        voice = Voice(name, each_once((*kept, *enrolments)))
        voice.centre  # noqa: B018  # an error now, not when somebody is looked for
        if old is None:
            return replace(self, voices=(*self.voices, voice))
        return replace(self, voices=tuple(voice if one is old else one for one in self.voices))


def checked_name(name: str) -> str:
    """A person's name in its normal form. InputError for one that a table could not hold, or that means nobody."""
    if not is_utf8(name) or not name.isprintable() or name != name.strip() or not name:
        raise InputError(f"name {name!r}: expected printable text without blanks at its ends; choose another")
    if normal(name) == UNKNOWN:
        raise InputError(f"name {name!r}: is what is said of voices that are not enrolled; choose another")
    return normal(name)


def write_gallery(path: str | Path, gallery: Gallery) -> None:
    """Writes it, whole or not at all, as .npz of one row a recording, without pickles. InputError if it cannot be written."""
    rows = [(voice.name, one) for voice in gallery.voices for one in voice.enrolments]
    content = io.BytesIO()
    np.savez(
        content,
        format=np.array([FORMAT, str(VERSION)]),
        model=np.array([gallery.model.name, gallery.model.digest]),
        names=np.array([name for name, _ in rows]),
        files=np.array([one.file for _, one in rows]),
        digests=np.array([one.digest for _, one in rows]),
        seconds=np.array([one.seconds for _, one in rows]),
        embeddings=np.stack([one.embedding for _, one in rows]).astype(np.float32),
    )
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(content.getbuffer())


def read_gallery(path: str | Path, model: ModelIdentity) -> Gallery:
    """The gallery of a model in use.

    InputError: no such file, not a gallery, a damaged one, one of another version, one of another model.
    """
    expected = "expected a gallery, as `csc enrol` writes it"
    if Path(path).is_dir():
        raise InputError(f"{path}: is a folder; {expected}")
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; {expected}")
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = sum(record.file_size for record in archive.infolist())
        if sizes > min(LARGEST, Path(path).stat().st_size):  # it is written without compression
            raise InputError(f"{path}: claims {sizes} bytes, more than it can have; {expected}")
        with np.load(path, allow_pickle=False) as file:
            entries = {name: file[name] for name in file.files}
        form, version = entries["format"].tolist()
        if form != FORMAT:
            raise InputError(f"{path}: is no gallery; {expected}")
    except InputError:
        raise
    except Exception as error:  # a damaged archive fails with any exception
        raise InputError(f"{path}: is damaged or no gallery ({one_line(error)}); {expected}") from error
    if version != str(VERSION):
        raise InputError(f"{path}: is a gallery of version {one_line(version)}, expected {VERSION}; update csc-fairseq")
    try:
        found = _gallery(entries)
    except InputError as error:  # of a name
        raise InputError(f"{path}: {error}") from error
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: is damaged ({one_line(error)}); {expected}") from error
    found.model.require(model, f"{path}: was enrolled", "use that model, or enrol the voices again in a new gallery")
    return found


def _gallery(entries: dict[str, np.ndarray]) -> Gallery:
    """InputError and ValueError for what `write_gallery` does not write."""
    for name, kind in KINDS.items():
        if name not in entries:
            raise ValueError(f"it lacks {name}")
        if entries[name].dtype.kind != kind:
            raise ValueError(f"{name} are {entries[name].dtype}")
    name, digest = (str(text) for text in entries["model"])
    embeddings, seconds = entries["embeddings"], entries["seconds"]
    if embeddings.dtype != np.float32 or embeddings.ndim != 2:
        raise ValueError(f"embeddings are {embeddings.dtype} {list(embeddings.shape)}, expected float32 [N, E]")
    if not np.all(np.abs(np.linalg.norm(embeddings.astype(np.float64), axis=1) - 1) < ROUNDING):  # NaN is not
        raise ValueError("an embedding is not of unit norm")
    if not np.all(np.isfinite(seconds) & (seconds > 0)):
        raise ValueError("a recording has no length")
    voices: dict[str, list[Enrolment]] = {}
    texts = (entries["names"].tolist(), entries["files"].tolist(), entries["digests"].tolist(), seconds.tolist())
    for voice, file, own, length, embedding in zip(*texts, embeddings, strict=True):
        voices.setdefault(checked_name(voice), []).append(Enrolment(file, own, length, embedding))
    gallery = Gallery(ModelIdentity(name, digest), tuple(Voice(one, tuple(rows)) for one, rows in voices.items()))
    if not voices:
        raise ValueError("it holds no voices")
    return gallery
