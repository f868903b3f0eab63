"""What is packed reads, mixes and trains as before; a run goes on where it was killed; files of others stay."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import soundfile
from filelock import FileLock

from csc_fairseq.cli.main import main
from csc_fairseq.corpora.check import check_manifest
from csc_fairseq.data.manifest import (
    Manifest,
    domain_labels,
    identity_labels,
    read_labels,
    read_manifest,
    write_labels,
)
from csc_fairseq.data.mixing_plans import MixingOptions
from csc_fairseq.data.mixture_dataset import MixtureDataset
from csc_fairseq.data.pool import RecordingPool
from tests.making import write_recordings

RATE = 16000
NAMES = ("b/anna/1.wav", "b/anna/ä 2.flac", "a/ben/1.wav", "a/ben/2.opus", "a/carl/1.flac")
KILLS = 24


def noise(seed: int, frames: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(frames)).astype(np.float32)


@pytest.fixture
def loose(tmp_path: Path) -> Manifest:
    """Five recordings of three speakers and all formats, with labels."""
    signals = {name: noise(i, 9000 + 100 * i) for i, name in enumerate(NAMES)}
    manifest = write_recordings(tmp_path / "loose" / "train.tsv", signals, ["anna", "anna", "ben", "ben", "carl"])
    write_labels(manifest.path.with_suffix(".txt"), list("vwxyz"))
    return manifest


def pack(manifest: Manifest, out: Path, *options: str) -> int:
    return main(["pack", str(manifest.path), "--out", str(out), *options])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


@pytest.fixture
def packed(tmp_path: Path, loose: Manifest) -> Manifest:
    """The same in archives of at most 40 kB."""
    assert pack(loose, tmp_path / "packed", "--shard-size", "40K") == 0
    return read_manifest(tmp_path / "packed" / "train.tsv")


def test_archives_hold_the_files_as_they_were(loose: Manifest, packed: Manifest):
    archives = sorted(packed.path.parent.glob("*.zip"))
    assert [path.name for path in archives] == [f"train-0000{number}.zip" for number in range(4)]
    held = []
    for path in archives:
        with ZipFile(path) as archive:
            assert archive.testzip() is None
            sizes = [member.file_size for member in archive.infolist()]
            assert sum(sizes) <= 40 * 1024
            held += [(name, archive.read(name)) for name in archive.namelist()]
    assert held == [(name, loose.file(i).read_bytes()) for i, name in enumerate(NAMES)]
    assert packed.names == NAMES
    assert packed.frames.tolist() == loose.frames.tolist()


def test_labels_are_copied(loose: Manifest, packed: Manifest):
    for suffix in ("spk", "txt"):
        assert packed.path.with_suffix(f".{suffix}").read_bytes() == loose.path.with_suffix(f".{suffix}").read_bytes()
    assert read_labels(packed, "spk") == read_labels(loose, "spk")
    for level in ("speaker", "session", "utterance"):
        assert identity_labels(packed, level) == identity_labels(loose, level)
    assert domain_labels(packed) == domain_labels(loose) == ["b", "b", "a", "a", "a"]
    assert check_manifest(packed.path, deep=True) == []


def test_mixtures_are_the_same_to_the_sample(loose: Manifest, packed: Manifest):
    options = MixingOptions(view_frames=2000, same_domain_share=0.5)
    batches = []
    for manifest in (loose, packed):
        labels = identity_labels(manifest, "session")
        table = {name: row for row, name in enumerate(sorted(set(labels)))}
        pool = RecordingPool(manifest, labels, table, RATE, cache_megabytes=0, domain_labels=domain_labels(manifest))
        dataset = MixtureDataset(pool, options, 1, "train")
        batches.append(dataset.collater([dataset[i] for i in range(5)]))
    one, other = batches
    assert one["net_input"]["source"].abs().max() > 0
    for name in ("sources", "identities", "present", "talkers"):
        assert one[name].equal(other[name])
    for name in ("source", "recordings"):
        assert one["net_input"][name].equal(other["net_input"][name])


def test_stock_fairseq_reads_the_packed_manifest(loose: Manifest, packed: Manifest):
    from fairseq.data import FileAudioDataset

    stock = [FileAudioDataset(str(manifest.path), sample_rate=RATE) for manifest in (loose, packed)]
    # Of the endings of loose files it knows no .opus.
    stock[0].fnames[3] = stock[0].text_compressor.compress("a/ben/2.ogg")
    shutil.copyfile(loose.file(3), loose.root / "a/ben/2.ogg")
    for i in range(5):
        assert stock[0][i]["source"].equal(stock[1][i]["source"])


def test_packing_again_and_packing_what_is_packed_change_nothing(tmp_path: Path, loose: Manifest, packed: Manifest):
    before = contents(packed.path.parent)
    written = {path: path.stat().st_mtime_ns for path in packed.path.parent.glob("*.zip")}
    assert pack(loose, packed.path.parent, "--shard-size", "40K") == 0
    assert contents(packed.path.parent) == before
    assert {path: path.stat().st_mtime_ns for path in packed.path.parent.glob("*.zip")} == written
    assert pack(packed, tmp_path / "again", "--shard-size", "40K") == 0
    again = contents(tmp_path / "again")
    root = lambda text: text.split(b"\n", 1)[1]  # noqa: E731
    assert again.keys() == before.keys()
    assert all(again[name] == before[name] for name in before if name != "train.tsv")
    assert root(again["train.tsv"]) == root(before["train.tsv"])


@pytest.mark.parametrize("older", [False, True])
def test_a_recording_that_changed_is_packed_again(loose: Manifest, packed: Manifest, older: bool):
    """Older: a copy of the same size that kept its time, from before the archives."""
    before = loose.file(0).stat()
    soundfile.write(loose.file(0), noise(9, 9000), RATE, subtype="FLOAT")
    if older:
        os.utime(loose.file(0), ns=(before.st_atime_ns, before.st_mtime_ns))
    assert loose.file(0).stat().st_size == before.st_size
    assert pack(loose, packed.path.parent, "--shard-size", "40K") == 0
    with ZipFile(packed.path.parent / "train-00000.zip") as archive:
        assert archive.read(NAMES[0]) == loose.file(0).read_bytes()
    assert check_manifest(packed.path, deep=True) == []


def killed_at(count: int, action: Callable[[], object]) -> bool:
    """Whether a fork of this process, which does something, got SIGKILL: it does before it changes a file for the count-th time."""
    child = os.fork()
    if child == 0:
        left = [count]

        def counted(function):
            def counting(*arguments, **options):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **options)

            return counting

        os.replace, Path.unlink = counted(os.replace), counted(Path.unlink)
        shutil.copyfile, shutil.copyfileobj = counted(shutil.copyfile), counted(shutil.copyfileobj)
        action()
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_a_run_that_is_killed_goes_on_and_ends_with_the_same_bytes(tmp_path: Path, loose: Manifest, packed: Manifest):
    """In an empty folder, and over archives of another size that are there."""
    expected, kills = contents(packed.path.parent), 0
    for number in range(1, KILLS + 1):
        out = tmp_path / f"killed{number}"
        if number % 2:
            shutil.copytree(packed.path.parent, out)
            os.remove(out / "train.tsv")
            assert pack(loose, out, "--shard-size", "1G") == 0
        kills += killed_at(number, lambda out=out: pack(loose, out, "--shard-size", "40K"))
        if (out / "train.tsv").exists():  # never beside archives that it does not mean
            assert check_manifest(out / "train.tsv", deep=True) == []
        assert pack(loose, out, "--shard-size", "40K") == 0
        assert {
            name: text.replace(bytes(out), bytes(packed.path.parent)) for name, text in contents(out).items()
        } == expected
    assert kills >= 20


def test_files_of_others_stay(tmp_path: Path, loose: Manifest, capsys):
    for name in ("train-00001.zip", "train.tsv", "train.name", "train.spk"):
        out = tmp_path / name.replace(".", "_")
        out.mkdir()
        (out / name).write_text("of somebody")
        assert pack(loose, out, "--shard-size", "40K") == 2
        assert capsys.readouterr().err.startswith(f"csc pack: {out / name}: is there")
        assert contents(out) == {name: b"of somebody"}


def test_one_at_a_time(loose: Manifest, packed: Manifest, capsys):
    with FileLock(packed.path.parent / ".lock"):
        assert pack(loose, packed.path.parent) == 2
    assert "another `csc pack` is writing there" in capsys.readouterr().err


def test_labels_that_somebody_changed_stay(loose: Manifest, packed: Manifest, capsys):
    write_labels(packed.path.with_suffix(".spk"), list("abcde"))
    before = contents(packed.path.parent)
    assert pack(loose, packed.path.parent, "--shard-size", "1G") == 2
    assert f"{packed.path.with_suffix('.spk')}: is there and differs from" in capsys.readouterr().err
    assert contents(packed.path.parent) == before


def test_labels_that_would_no_longer_fit_stay(loose: Manifest, packed: Manifest, capsys):
    write_labels(packed.path.with_suffix(".cluster"), list("11222"))
    before = contents(packed.path.parent)
    assert pack(loose, packed.path.parent, "--shard-size", "40K") == 0  # nothing changes
    assert pack(loose, packed.path.parent, "--shard-size", "1G") == 2
    assert f"{packed.path.with_suffix('.cluster')}: belongs to an earlier train.tsv" in capsys.readouterr().err
    assert contents(packed.path.parent) == before


def refused(capsys, manifest: Manifest, out: Path, *options: str) -> str:
    assert pack(manifest, out, *options) == 2
    assert not out.exists() or not list(out.glob("*.zip"))
    return capsys.readouterr().err.removeprefix("csc pack: ")


def test_what_cannot_be_packed(tmp_path: Path, loose: Manifest, capsys):
    out = tmp_path / "packed"
    assert refused(capsys, loose, out, "--shard-size", "1T").startswith("--shard-size 1T: expected a number of bytes")
    assert refused(capsys, loose, tmp_path / "a:b").startswith(f"{tmp_path}/a:b: has a colon in its path")
    assert refused(capsys, loose, loose.path.parent).startswith(f"{loose.path.parent}: is the folder of {loose.path}")
    assert main(["pack", str(loose.path), str(loose.path), "--out", str(out)]) == 2
    assert capsys.readouterr().err.startswith("csc pack: train.tsv: two manifests have this name")
    write_labels(loose.path.with_suffix(".txt"), ["too few"])
    assert refused(capsys, loose, out).startswith(
        f"{loose.path.with_suffix('.txt')}: has 1 lines, but {loose.path} has 5"
    )
    text = loose.path.read_text()
    loose.path.write_text(f"{text}../anna/1.wav\t9000\n{NAMES[0]}\t9000\n")
    assert refused(capsys, loose, out).startswith(f"{loose.path}:7: ")
    loose.path.write_text(f"{text}{NAMES[0]}\t9000\n")
    assert refused(capsys, loose, out).startswith(f"{loose.path}:7: {NAMES[0]} is already on line 2")
    loose.path.write_text(text)
    soundfile.write(loose.file(0), noise(0, 9000), RATE, format="RF64")
    message = refused(capsys, loose, out)
    assert message.startswith(f"{loose.path}:2: {loose.file(0)}: is nothing that fairseq reads from an archive")
    loose.file(0).unlink()
    assert refused(capsys, loose, out).startswith(
        f"{loose.path}:2: {loose.file(0)}: cannot be read (No such file or directory)"
    )
