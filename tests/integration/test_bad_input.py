"""What users get wrong, through the real command: one clear line that names the file and the remedy, and no traceback."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.integration.running import BIN, command, logged, run_script, train
from tests.making import write_recording

BROKEN = "s03/t01.flac"


@pytest.fixture
def copy(voices: Path, tmp_path: Path) -> Path:
    """A private copy of the synthetic voices, to break."""
    folder = tmp_path / "data"
    shutil.copytree(voices, folder)
    for manifest in folder.glob("*.tsv"):
        lines = manifest.read_text().splitlines()
        manifest.write_text("\n".join([str(folder / "audio"), *lines[1:]]) + "\n")
    return folder


def missing_manifest(data: Path) -> None:
    (data / "train.tsv").unlink()


def short_labels(data: Path) -> None:
    labels = (data / "train.spk").read_text().splitlines()
    (data / "train.spk").write_text("\n".join(labels[:-1]) + "\n")


def corrupt_file(data: Path) -> None:
    path = data / "audio" / BROKEN
    content = bytearray(path.read_bytes())
    content[len(content) // 4 : len(content) // 4 + 4000] = b"\xa5" * 4000
    path.write_bytes(content)


def eight_kilohertz(data: Path) -> None:
    write_recording(data / "audio" / BROKEN, np.random.default_rng(0).normal(0, 0.1, 20000), 8000)


def stereo(data: Path) -> None:
    write_recording(data / "audio" / BROKEN, np.random.default_rng(0).normal(0, 0.1, (40000, 2)))


def not_a_number(data: Path) -> None:
    write_recording(data / "audio" / "s03" / "t01.wav", np.full(40000, np.nan, dtype=np.float32))
    manifest = data / "train.tsv"
    manifest.write_text(manifest.read_text().replace(BROKEN, "s03/t01.wav"))


def empty_split(data: Path) -> None:
    (data / "valid.tsv").write_text(f"{data / 'audio'}\n")
    (data / "valid.spk").write_text("")


def one_speaker(data: Path) -> None:
    labels = (data / "train.spk").read_text().splitlines()
    (data / "train.spk").write_text("s00\n" * len(labels))


def nothing(data: Path) -> None:
    """The input is good; the option is not."""


@pytest.mark.parametrize(
    ("breakage", "overrides", "expected"),
    [
        (missing_manifest, (), ("train.tsv",)),
        (short_labels, (), ("train.spk", "31", "32")),
        (corrupt_file, ("dataset.num_workers=1",), (BROKEN,)),
        (eight_kilohertz, (), (BROKEN, "8000", "resample")),
        (stereo, (), (BROKEN, "2 channels")),
        (not_a_number, (), ("s03/t01.wav", "NaN")),
        (empty_split, (), ("valid.tsv",)),
        (one_speaker, (), ("two identities", "s00")),
        (nothing, ("task.view_seconds=60",), (".tsv", "60.00 s", "task.view_seconds")),
        (nothing, ("task.identity=voice",), ("task.identity", "voice", "speaker, session, utterance, cluster")),
        (nothing, ("model.memory=all",), ("model.memory", "bank, conditions, none")),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)  # fmt: skip
def test_one_clear_line(copy, tmp_path, breakage, overrides, expected):
    breakage(copy)
    process = train(copy, tmp_path / "run", "optimization.max_update=24", *overrides)
    assert process.returncode == 1
    lines = [line for line in process.stderr.splitlines() if all(word in line for word in expected)]
    assert lines, process.stderr[-3000:]
    assert "Traceback" not in process.stderr, process.stderr[-3000:]


def test_unknown_option_is_named(voices, tmp_path):
    process = train(voices, tmp_path / "run", "task.viewseconds=2")
    assert process.returncode == 1
    assert "viewseconds" in process.stderr and "Traceback" not in process.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--config-name", "csc_debg", "task.data=x"], "--config-name csc_debg: no such configuration; csc_fairseq has csc_base, "),
        (["-cn=csc_debg"], "--config-name csc_debg: no such configuration; csc_fairseq has csc_base, "),
        (["task.data=x"], "--config-name is missing; csc_fairseq has csc_base, "),
        (["--config-name", "csc_debug"], "task.data is missing: the folder with train.tsv and valid.tsv, such as task.data="),
    ],
)  # fmt: skip
def test_words_that_are_missing_or_mistyped(tmp_path, words, said):
    process = run_script(str(BIN / "fairseq-hydra-train"), *words, cwd=tmp_path)
    assert process.returncode == 1
    assert process.stderr.splitlines()[-1].startswith(said) and "Traceback" not in process.stderr
    assert not list(tmp_path.rglob("*.pt"))


def test_configurations_of_the_user_are_found(voices, tmp_path):
    """In a folder of their own, which the command names."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "mine.yaml").write_text("defaults: [_self_, csc_debug]\n")
    words = command(voices, tmp_path / "run", "optimization.max_update=1", config="csc_debug")[2:]
    folder = ("--config-dir", str(tmp_path / "conf"), "--config-name", "mine")
    process = run_script(str(BIN / "fairseq-hydra-train"), *folder, *words, cwd=tmp_path)
    assert len(logged(process)) == 1


def test_unreadable_recording_is_skipped_if_asked(copy, tmp_path):
    """With a worker process; the training goes on, into a second epoch, and says what it left out."""
    corrupt_file(copy)
    process = train(copy, tmp_path / "run", "optimization.max_update=9", "task.skip_bad=true", "dataset.num_workers=1")
    assert len(logged(process)) == 9
    warnings = [line for line in (process.stdout + process.stderr).splitlines() if "skipped" in line and BROKEN in line]
    assert 1 <= len(warnings) <= 2  # once in each worker, and fairseq starts a new one for the second epoch


def test_another_corpus_is_refused_on_resume(copy, trained, tmp_path):
    run = tmp_path / "run"
    logged(trained[1])
    shutil.copytree(trained[0] / "checkpoints", run / "checkpoints")
    labels = (copy / "train.spk").read_text().replace("s07", "s17")
    (copy / "train.spk").write_text(labels)
    process = train(copy, run, "optimization.max_update=14", "dataset.batch_size=5")
    assert process.returncode == 1
    assert "identities differ from the checkpoint's 8" in process.stderr and "Traceback" not in process.stderr
