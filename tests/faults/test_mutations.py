"""Text, tables, embeddings and recordings, damaged at random: each is read, or refused in one line, and never takes much memory.

MANY of each kind are a slow test. What a file without checksums says after damage nobody knows; a FLAC file says what it said.
"""

import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from csc_fairseq.corpora.published_trials import read_pairs
from csc_fairseq.corpora.split_table import read_recording_list, read_split_table
from csc_fairseq.corpora.tables import read_table
from csc_fairseq.corpora.transcripts import find_texts, read_letters
from csc_fairseq.data.audio import load_crop, probe
from csc_fairseq.data.manifest import Manifest, read_labels, read_manifest, write_labels, write_manifest
from csc_fairseq.errors import LONGEST, InputError
from csc_fairseq.verification.encoders.embedding_file import FileEncoder
from csc_fairseq.verification.trials.conditions import STANDARD, read_conditions
from csc_fairseq.verification.trials.drawing import build_trials
from csc_fairseq.verification.trials.speaker_attributes import read_speaker_attributes
from csc_fairseq.verification.trials.trial_file import read_trials, write_trials
from tests.checkpoints.making import limited_memory
from tests.damage import damaged_bytes, damaged_text
from tests.making import voice

MEMORY = 2**28  # bytes that reading a file of a few kB may take
MANY = 200
RATE = 16000
NAMES = [f"s{speaker}/{take}.wav" for speaker in range(4) for take in range(3)]
SPEAKERS = [name.partition("/")[0] for name in NAMES]


@pytest.fixture
def manifest(tmp_path) -> Manifest:
    """A list of twelve recordings of four speakers; the recordings are not there."""
    write_manifest(tmp_path / "m.tsv", tmp_path, [(name, RATE) for name in NAMES])
    write_labels(tmp_path / "m.spk", SPEAKERS)
    return read_manifest(tmp_path / "m.tsv")


def text_kinds(manifest: Manifest, folder: Path) -> dict[str, tuple[str, str, Callable[[Path], object]]]:
    """By kind: the name of a file, what it holds, and what reads it."""

    def trials(path: Path) -> object:
        return read_trials(path, manifest)

    write_trials(folder / "own", build_trials(SPEAKERS, seed=0), manifest)
    pairs = [(int(a[:2] == b[:2]), a, b) for a in NAMES for b in NAMES if a < b]
    spoken = [one for one in STANDARD if one.noise is None]
    conditions = "".join(
        f"- {{name: {one.name}, talkers: {one.talkers}, sir_db: {one.sir_db or 'null'}, rir: {str(one.rir).lower()}}}\n"
        for one in spoken
        if one.sir_db != 0
    )
    enrolments = "".join(f"model{speaker} {' '.join(NAMES[3 * speaker : 3 * speaker + 2])}\n" for speaker in range(4))
    listed = "".join(
        f"{int(speaker == i // 3)} model{speaker} {NAMES[i]}\n" for speaker in range(4) for i in (2, 5, 8, 11)
    )
    (folder / "listed").write_text(listed)
    return {
        "manifest": ("x.tsv", (folder / "m.tsv").read_text(), read_manifest),
        "labels": ("m.spk", (folder / "m.spk").read_text(), lambda path: read_labels(manifest, "spk")),
        "split table": ("x", "corpus\tspeaker\tsplit\na\ts0\ttrain\na\ts1\ttest\nb\ts2\tdev\n", read_split_table),
        "plain split table": ("x", "s0 train\ns1 test\ns2 dev\n", read_split_table),
        "list": ("x", "name\tsplit\na\ttrain\nb\ttest\nc\ttrain\n", lambda path: read_recording_list(path, "train")),
        "attributes": (
            "x", "speaker\tgender\tage\n" + "".join(f"s{i}\t{'mf'[i % 2]}\tadult\n" for i in range(4)),
            lambda path: read_speaker_attributes(path, manifest, SPEAKERS),
        ),
        "own trials": ("x", (folder / "own").read_text(), trials),
        "VoxCeleb's trials": ("x", "".join(f"{t} {a} {b}\n" for t, a, b in pairs), trials),
        "Kaldi's trials": (
            "x", "".join(f"{a} {b} {'target' if t else 'nontarget'}\n" for t, a, b in pairs), trials,
        ),
        "enrolments": ("x", enrolments, lambda path: read_trials(folder / "listed", manifest, path)),
        "conditions": ("x", conditions, read_conditions),
        "table of recordings": (
            "x", "file,who\n" + "".join(f"{name},{name[:2]}\n" for name in NAMES), lambda path: read_table(path, ("file", "who")),
        ),
        "published trials": (
            "x", "".join(f"{t} {a} {b}\n" for t, a, b in pairs), lambda path: read_pairs(path, "`1 A B`", label=0),
        ),
        "letters": ("x", "| 9\nA 5\nB 3\n' 1\n", read_letters),
        "transcripts": ("m.txt", "ONE WORD\nTWO\n" * 6, lambda path: find_texts(manifest, "parallel")),
    }  # fmt: skip


def require_line(error: InputError, what: str) -> None:
    message = str(error)
    assert "\n" not in message and len(message) < LONGEST + 20, f"{what}: {message[:3000]}"


@pytest.mark.parametrize("count", [8, pytest.param(MANY, marks=pytest.mark.slow)])
def test_text(manifest, tmp_path, count):
    for kind, (name, content, read) in text_kinds(manifest, tmp_path).items():
        draw, path = random.Random(kind), tmp_path / name
        path.write_text(content)
        read(path)
        lines = 0
        with limited_memory(MEMORY):
            for number in range(count):
                path.write_bytes(damaged_text(content, draw))
                try:
                    read(path)
                except InputError as error:
                    require_line(error, f"{kind} {number}")
                    lines += 1
                except BaseException as error:
                    raise AssertionError(f"{kind} {number}: {path.read_bytes()[:2000]!r}") from error
        assert count < MANY or lines > count // 10, kind
        path.write_text(content)


@pytest.mark.parametrize("count", [8, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_embeddings(tmp_path, save, count):
    path, draw = tmp_path / "e.npz", random.Random(0)
    save(path, names=np.array(NAMES), embeddings=np.random.default_rng(0).standard_normal((12, 16)).astype(np.float32))
    content = path.read_bytes()
    FileEncoder("e", path)
    with limited_memory(MEMORY):
        for number in range(2 * count):
            path.write_bytes(damaged_bytes(content, draw))
            try:
                FileEncoder("e", path)
            except InputError as error:
                require_line(error, str(number))
            except BaseException as error:
                raise AssertionError(f"{save.__name__} {number}") from error


@pytest.mark.parametrize(
    ("ending", "form"),
    [
        ("wav", {"subtype": "PCM_16"}),
        ("wav", {"subtype": "FLOAT"}),
        ("flac", {}),
        ("ogg", {"subtype": "VORBIS"}),
        ("opus", {"format": "OGG", "subtype": "OPUS"}),
    ],
)
@pytest.mark.parametrize("count", [8, pytest.param(MANY, marks=pytest.mark.slow)])
def test_recordings(tmp_path, ending, form, count):
    path, draw = tmp_path / f"x.{ending}", random.Random(0)
    soundfile.write(path, voice(1, 0, 0.5), RATE, **form)
    content, right = path.read_bytes(), load_crop(path, 0, -1, RATE)
    with limited_memory(MEMORY):
        for number in range(count):
            path.write_bytes(damaged_bytes(content, draw))
            try:
                frames = probe(path).frames
                found = load_crop(path, 0, -1, RATE)
                load_crop(path, frames // 2, 1, RATE)
            except InputError as error:
                require_line(error, f"{ending} {number}")
            except BaseException as error:
                raise AssertionError(f"{ending} {number}") from error
            else:
                assert found.ndim == 1 and len(found) == frames and np.isfinite(found).all()
                if ending == "flac":
                    np.testing.assert_array_equal(found, right)


def laughs(depth: int) -> str:
    """A condition whose name would be 10 to the power of `depth` words, by aliases."""
    names = ["&a0 [x, x, x, x, x, x, x, x, x, x]"]
    names += [f"&a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, depth)]
    return f"- {{name: [{', '.join(names)}]}}\n"


@pytest.mark.parametrize("content", [laughs(9), "[" * 5000, "- " * 3000 + "x\n", "- &a [*a]\n"])
def test_conditions_that_would_fill_the_memory(tmp_path, content):
    (tmp_path / "x.yaml").write_text(content)
    with limited_memory(MEMORY), pytest.raises(InputError) as caught:
        read_conditions(tmp_path / "x.yaml")
    require_line(caught.value, content[:40])


def test_embeddings_that_would_fill_the_memory(tmp_path):
    path, many = tmp_path / "e.npz", np.zeros((2**18, 2**7), np.float32)
    np.savez_compressed(path, names=np.array(NAMES), embeddings=many)
    with limited_memory(2**25), pytest.raises(InputError, match="e.npz: 'embeddings.npy' would unpack from"):
        FileEncoder("e", path)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2**40, 2**10)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("names.npy", header.getvalue())
        archive.writestr("embeddings.npy", header.getvalue())
    with limited_memory(MEMORY), pytest.raises(InputError, match="e.npz: cannot be read"):
        FileEncoder("e", path)
