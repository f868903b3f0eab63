"""Transcripts: normal form, letters and back, sources of the text, and one line for each error."""

import re

import numpy as np
import pytest
import soundfile

from csc_fairseq.cli.main import main
from csc_fairseq.corpora.transcripts import (
    dictionary_lines,
    find_texts,
    from_letters,
    missing_letters,
    normalise,
    read_letters,
    require_transcripts,
    to_letters,
)
from csc_fairseq.data.manifest import read_labels, read_manifest, write_manifest
from csc_fairseq.errors import InputError

LIBRISPEECH = {
    "103/1240/103-1240-0000": "CHAPTER ONE MISSUS RACHEL",
    "103/1240/103-1240-0001": "THAT'S A BOYS' BOOK",
    "84/121/84-121-0000": "GO",
}


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The old captain hid the basket.", "THE OLD CAPTAIN HID THE BASKET"),
        ("  It’s a half-past\tone —  isn't it?", "IT'S A HALF PAST ONE ISN'T IT"),
        ("'tis the boys' book, ' no", "'TIS THE BOYS' BOOK NO"),
        ("Straße, cafe\u0301!", "STRASSE CAFÉ"),
        ("हिन्दी", "हिन्दी"),  # combining marks are parts of letters
        ("… - !", ""),
    ],
)
def test_normal_form(text, normal):
    assert normalise(text) == normal
    assert normalise(normal) == normal


@pytest.mark.parametrize("text", ["at 9 o'clock", "½ a loaf"])
def test_digits_are_refused(text):
    with pytest.raises(InputError, match="write numbers as they are spoken"):
        normalise(text)


def test_letters_and_back():
    assert to_letters("IT'S ME") == "I T ' S | M E |"
    for text in ("IT'S ME", "GO", ""):
        assert from_letters(to_letters(text).split()) == text


def test_fairseq_reads_the_same_letters(tmp_path):
    """The dictionary and the labels through fairseq's own classes and post-processing."""
    from fairseq.data import Dictionary
    from fairseq.data.data_utils import post_process

    lines = [to_letters("IT'S ME"), to_letters("MEET ME")]
    assert dictionary_lines(lines) == ["E 4", "| 4", "M 3", "T 2", "' 1", "I 1", "S 1"]
    path = tmp_path / "dict.ltr.txt"
    path.write_text("\n".join(dictionary_lines(lines)) + "\n")
    dictionary = Dictionary.load(str(path))
    assert dictionary.symbols[4:] == read_letters(path) == ["E", "|", "M", "T", "'", "I", "S"]
    encoded = dictionary.encode_line(lines[0], append_eos=False, add_if_not_exist=False)
    assert dictionary.unk() not in encoded.tolist()
    assert post_process(dictionary.string(encoded), "letter") == "IT'S ME"


def test_missing_letters_are_counted():
    assert missing_letters(["A B |", "B C |"], ["A", "|"]) == {"B": 2, "C": 1}


@pytest.fixture
def librispeech(tmp_path):
    """train.tsv in LibriSpeech's order of folders, with *.trans.txt beside the recordings. The recordings are noise."""
    rng = np.random.default_rng(0)
    for name, text in LIBRISPEECH.items():
        path = tmp_path / "train" / f"{name}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * rng.standard_normal(800), 16000)
        with open(path.parent / f"{path.stem.rpartition('-')[0]}.trans.txt", "a") as file:
            file.write(f"{path.stem} {text}\n")
    write_manifest(tmp_path / "train.tsv", tmp_path / "train", [(f"{name}.flac", 800) for name in LIBRISPEECH])
    return read_manifest(tmp_path / "train.tsv")


def test_librispeech(librispeech):
    assert find_texts(librispeech) == (list(LIBRISPEECH.values()), "librispeech")


def test_a_parallel_file_comes_first_unless_told_otherwise(librispeech):
    librispeech.path.with_suffix(".txt").write_text("One.\nTwo two.\nThree's\n")
    assert find_texts(librispeech) == (["ONE", "TWO TWO", "THREE'S"], "parallel")
    assert find_texts(librispeech, "librispeech")[0] == list(LIBRISPEECH.values())


def complaint(manifest, *options):
    with pytest.raises(InputError) as raised:
        find_texts(manifest, *options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_what_is_wrong_with_librispeech(librispeech):
    path = librispeech.root / "103/1240/103-1240.trans.txt"
    lines = path.read_text().splitlines()
    path.write_text(lines[0] + "\n")
    message = complaint(librispeech)
    assert message.startswith(f"{librispeech.path}:3: no transcript of 103/1240/103-1240-0001.flac in {path.parent}/")
    path.write_text("\n".join([*lines, lines[0]]) + "\n")
    assert complaint(librispeech).startswith(f"{path}:3: 103-1240-0000 already has a transcript at {path}:1")
    path.write_text(f"{lines[0]}\n103-1240-0001 ...\n")
    assert complaint(librispeech).startswith(
        f"{path}:2: found '...', expected the words of 103/1240/103-1240-0001.flac"
    )
    path.write_text(f"{lines[0]}\n103-1240-0001\n")
    assert complaint(librispeech).startswith(f"{path}:2: found '', expected the words of")
    path.unlink()
    assert complaint(librispeech).startswith(f"{librispeech.path}:2: no transcript of 103/1240/103-1240-0000.flac")


def test_texts_with_marks_and_line_ends_of_windows(librispeech):
    expected = find_texts(librispeech)
    path = librispeech.root / "103/1240/103-1240.trans.txt"
    path.write_bytes(path.read_text().replace("\n", "\r\n").encode("utf-8-sig"))
    assert find_texts(librispeech) == expected
    librispeech.path.with_suffix(".txt").write_bytes("one\r\ntwo\r\nthree\r\n".encode("utf-8-sig"))
    assert find_texts(librispeech) == (["ONE", "TWO", "THREE"], "parallel")


def test_what_is_wrong_with_a_parallel_file(librispeech):
    path = librispeech.path.with_suffix(".txt")
    path.write_text("one\ntwo\n")
    assert complaint(librispeech).startswith(f"{path}: has 2 lines, but {librispeech.path} has 3 recordings")
    path.write_text("one\n\nthree\n")
    assert complaint(librispeech).startswith(f"{path}:2: found '', expected the words of 103/1240/103-1240-0001.flac")
    path.write_text("one\ntwo\n3 of them\n")
    assert complaint(librispeech).startswith(f"{path}:3: found '3' in '3 of them', expected words")
    path.unlink()
    assert complaint(librispeech, "parallel").startswith(f"{path}: cannot be read")


def test_the_command(librispeech, tmp_path, capsys):
    valid = tmp_path / "valid.tsv"
    write_manifest(valid, librispeech.root, [("84/121/84-121-0000.flac", 800)])
    valid.with_suffix(".txt").write_text("Oh, QQ!\n")
    assert main(["prepare", "transcripts", str(valid), str(librispeech.path)]) == 0
    assert read_labels(librispeech, "ltr") == [to_letters(text) for text in LIBRISPEECH.values()]
    assert valid.with_suffix(".ltr").read_text() == "O H | Q Q |\n"
    letters = read_letters(tmp_path / "dict.ltr.txt")
    assert set(letters) == set("".join(LIBRISPEECH.values()).replace(" ", "|")) and len(letters) == len(set(letters))
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"{tmp_path}/valid.ltr: 1 transcripts, 6 letters and ends of words (parallel)"
    assert printed[1].endswith("lacks, which will count as errors: Q (2)")
    assert printed[2].endswith("(librispeech)")
    require_transcripts(tmp_path)


def test_the_command_writes_nothing_if_a_manifest_is_wrong(librispeech, tmp_path, capsys):
    valid = tmp_path / "valid.tsv"
    write_manifest(valid, librispeech.root, [("84/121/unknown.flac", 800)])
    assert main(["prepare", "transcripts", str(librispeech.path), str(valid)]) == 2
    assert f"{valid}:2: no transcript of 84/121/unknown.flac" in capsys.readouterr().err
    assert not list(tmp_path.glob("*ltr*"))


def test_training_is_refused_without_transcripts(librispeech, tmp_path):
    def refused(*found):
        with pytest.raises(InputError, match=".*".join(map(re.escape, found))):
            require_transcripts(tmp_path)

    labels = [to_letters(text) for text in LIBRISPEECH.values()]
    refused(f"{tmp_path}/dict.ltr.txt: no such file", "csc prepare transcripts")
    dictionary = tmp_path / "dict.ltr.txt"
    dictionary.write_text("E\n")
    refused(f"{dictionary}:1: found 'E'")
    dictionary.write_text("\n".join(dictionary_lines(labels)) + "\n")
    refused(f"{tmp_path}/train.ltr: no such file", f"csc prepare transcripts {librispeech.path}")
    path = tmp_path / "train.ltr"
    path.write_text("\n".join(labels[:2]) + "\n")
    refused(f"{path}: has 2 lines, but {librispeech.path} has 3 recordings")
    path.write_text("\n".join(labels) + "\n")
    require_transcripts(tmp_path)
    write_manifest(tmp_path / "valid.tsv", librispeech.root, [(read_manifest(librispeech.path).names[0], 800)])
    refused(f"{tmp_path}/valid.ltr: no such file")
