"""Folders, levels, hold-out and split tables: hand-made corpora and hand-computed answers."""

import os
from pathlib import Path

import pytest

from csc_fairseq.corpora.hold_out import choose_held_out
from csc_fairseq.corpora.preparation import Recording, find_recordings, folder_label
from csc_fairseq.corpora.split_table import assign_splits, read_recording_list, read_split_table, select_recordings
from csc_fairseq.data.parallel import CHUNK, parallel_map
from tests.making import fails


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_find_recordings_sorts_and_selects(tmp_path: Path):
    touch(tmp_path, "b/2.WAV", "b/1.flac", "a/c/x.opus", "a/notes.txt", "a/._x.wav", ".cache/y.wav", "a.wav")
    assert find_recordings(tmp_path) == ["a.wav", "a/c/x.opus", "b/1.flac", "b/2.WAV"]
    assert find_recordings(tmp_path, [".FLAC", "wav"]) == ["a.wav", "b/1.flac", "b/2.WAV"]
    assert "ending in .mp3" in fails(find_recordings, tmp_path, ["mp3"])
    assert "no such folder" in fails(find_recordings, tmp_path / "gone")


def test_find_recordings_follows_links_without_going_round(tmp_path: Path):
    touch(tmp_path, "disk2/ben/1.wav", "corpus/anna/1.wav")
    os.symlink(tmp_path / "disk2/ben", tmp_path / "corpus/ben")
    os.symlink(tmp_path / "corpus", tmp_path / "corpus/anna/up")
    assert find_recordings(tmp_path / "corpus") == ["anna/1.wav", "ben/1.wav"]


@pytest.mark.parametrize(
    ("level", "label"),
    [(1, "libri"), (2, "libri/103"), (3, "libri/103/1240"), (-1, "libri/103/1240"), (-2, "libri/103"), (-3, "libri")],
)
def test_folder_label(level: int, label: str):
    assert folder_label("libri/103/1240/a.flac", level) == label


@pytest.mark.parametrize("level", [4, -4, 0])
def test_folder_label_beyond_the_path(level: int):
    assert fails(folder_label, "libri/103/1240/a.flac", level).startswith("libri/103/1240/a.flac: lies 3 folders deep")


def corpus(**counts: int) -> list[Recording]:
    return [Recording(f"{speaker}/{i}.wav", 16000, speaker) for speaker, count in counts.items() for i in range(count)]


def held_names(recordings: list[Recording], *options) -> set[str]:
    held = choose_held_out(recordings, *options)
    return {recording.name for recording, out in zip(recordings, held, strict=True) if out}


def test_hold_out_a_number_of_each_speaker_that_can_spare_it():
    names = held_names(corpus(anna=10, ben=5, cleo=4, dora=1), 3, None, 1)
    assert {who: sum(name.startswith(who) for name in names) for who in ("anna", "ben", "cleo", "dora")} == {
        "anna": 3,
        "ben": 3,  # 3 + 2
        "cleo": 0,
        "dora": 0,
    }


def test_hold_out_a_share_but_leave_two():
    names = held_names(corpus(anna=20, ben=4, cleo=3, dora=2, eve=1), None, 0.6, 1)
    counts = {who: sum(name.startswith(who) for name in names) for who in ("anna", "ben", "cleo", "dora", "eve")}
    assert counts == {"anna": 12, "ben": 2, "cleo": 1, "dora": 0, "eve": 0}


def test_hold_out_depends_on_seed_and_speaker_alone():
    alone = held_names(corpus(anna=40), 5, None, 1)
    assert held_names(corpus(anna=40), 5, None, 1) == alone
    assert {name for name in held_names(corpus(ben=9, anna=40), 5, None, 1) if name.startswith("anna")} == alone
    assert held_names(corpus(anna=40), 5, None, 2) != alone
    in_order = {name.replace("ben", "anna") for name in held_names(corpus(ben=40), 5, None, 1)}
    assert in_order != alone


def table(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "table.tsv"
    path.write_text("\n".join(lines) + "\n")
    return path


def splits(path: Path) -> dict[str, str]:
    return {speaker: row.split for speaker, row in read_split_table(path).items()}


def test_split_tables_of_all_forms(tmp_path: Path):
    assert splits(table(tmp_path, "split\tage\tspeaker", "train\t\t1", "dev\t7\t2")) == {"1": "train", "2": "dev"}
    with_corpus = table(tmp_path, "corpus\tspeaker\tsplit", "a\t1\ttrain", "b\t1\ttest", "a\t1\ttrain")
    assert splits(with_corpus) == {"a/1": "train", "b/1": "test"}
    marked = table(tmp_path, "\ufeffspeaker\tsplit\r", "1\ttrain\r", "2\tdev\r")
    assert splits(marked) == {"1": "train", "2": "dev"}
    assert splits(table(tmp_path, "\ufeff1 train", "2 dev")) == {"1": "train", "2": "dev"}
    assert splits(table(tmp_path, "1 train", "", "2\tdev", "x/3   test")) == {"1": "train", "2": "dev", "x/3": "test"}


@pytest.mark.parametrize(
    ("lines", "place", "found"),
    [
        (["speaker,split", "1,train"], ":1: ", "has the columns ['speaker,split'], expected speaker and split"),
        (["speaker\tgender\tset", "1\tf\ttrain"], ":1: ", "expected speaker and split"),
        (["speaker\tsplit", "1\ttrain", "2"], ":3: ", "has 1 columns, expected 2"),
        (["1 train", "2 dev extra"], ":2: ", "has 3 columns"),
        (["1 train", "2 ../evil"], ":2: ", "'../evil'"),
        (["speaker\tsplit", "1\t"], ":2: ", "split ''"),
        (["1 train", "2 dev", "1 test"], ":3: ", "1 is in split test, but in train on line 1"),
        ([""], ": ", "is empty"),
    ],
)
def test_bad_split_tables_are_named(tmp_path: Path, lines: list[str], place: str, found: str):
    path = table(tmp_path, *lines)
    message = fails(read_split_table, path)
    assert message.startswith(f"{path}{place}")
    assert found in message


def assign(path: Path, root: str, speakers: list[str], ignore_missing: bool = False) -> dict[str, str]:
    return assign_splits(Path(root), speakers, read_split_table(path), path, ignore_missing)


def test_rows_name_the_end_of_the_speakers_path(tmp_path: Path):
    path = table(tmp_path, "corpus\tspeaker\tsplit", "libri\t103\ttrain", "libri\t104\tdev", "vox\t103\ttest")
    expected = {"libri/103": "train", "libri/104": "dev", "vox/103": "test"}
    assert assign(path, "/data", ["libri/103", "vox/103", "libri/104"]) == expected
    assert assign(path, "/data/libri", ["103", "104"]) == {"103": "train", "104": "dev"}
    assert assign(path, "/data", ["new/libri/103"]) == {"new/libri/103": "train"}


def test_the_longest_row_counts(tmp_path: Path):
    path = table(tmp_path, "103 train", "vox/103 test")
    assert assign(path, "/data", ["libri/103", "vox/103"]) == {"libri/103": "train", "vox/103": "test"}


def test_a_row_that_names_two_speakers_is_refused(tmp_path: Path):
    path = table(tmp_path, "102 train", "103 train")
    message = fails(assign, path, "/data", ["libri/103", "vox/103"])
    assert message.startswith(f"{path}:2: 103 names both libri/103 and vox/103")


def test_speakers_without_a_row(tmp_path: Path):
    path = table(tmp_path, "1 train")
    message = fails(assign, path, "/data", ["5", "1", "4", "3", "2"])
    assert message.startswith(f"{path}: lacks 4 of 5 speakers below /data (2, 3, 4, …)")
    assert assign(path, "/data", ["5", "1", "4"], True) == {"1": "train"}
    assert "lacks 1 of 1" in fails(assign, path, "/data", ["5"], True)  # no speaker is left


def test_lists_of_recordings(tmp_path: Path):
    path = table(tmp_path, "corpus\tname\tsplit", "a\train\ttrain", "a\twind.wav\ttest", "b\train\ttrain")
    names = ["a/rain.wav", "a/snow.wav", "a/wind.wav", "b/rain.flac"]
    root = Path("/noise")

    def select(split: str | None, found: list[str] = names) -> list[str]:
        return select_recordings(root, found, read_recording_list(path, split), path)

    assert select("train") == ["a/rain.wav", "b/rain.flac"]
    assert select("test") == ["a/wind.wav"]
    assert select(None) == ["a/rain.wav", "a/wind.wav", "b/rain.flac"]
    composed = table(tmp_path, "name", "Jos\u00e9")
    assert select_recordings(root, ["Jose\u0301.wav"], read_recording_list(composed, None), composed) == [
        "Jose\u0301.wav"
    ]
    table(tmp_path, "corpus\tname\tsplit", "a\train\ttrain", "a\twind.wav\ttest", "b\train\ttrain")
    assert "expected one of test, train" in fails(select, "dev")
    assert fails(select, "train", names[:3]).startswith(f"{path}:4: no file for 1 of its rows below /noise (b/rain)")
    assert "a/rain names both a/rain.flac and a/rain.wav" in fails(select, "train", ["a/rain.flac", *names])
    path.write_text("name\tkind\nrain\twet\n")
    assert "expected name and split" in fails(select, "train")


def test_parallel_map_keeps_order_over_chunks():
    items = list(range(CHUNK + 10))
    assert list(parallel_map(lambda item: item * 2, items, jobs=3)) == [item * 2 for item in items]
    assert "0 jobs" in fails(lambda: list(parallel_map(str, [1], jobs=0)))
