"""Transcripts: what is said in the recordings of a manifest, in the letters that fairseq's CTC training reads.

``train.ltr`` lies beside ``train.tsv``, with one line for each recording: "H E L L O | W O R L D |". ``dict.ltr.txt`` is the
dictionary: all letters of the training transcripts with their counts. Form and names are fairseq's own (wav2vec 2.0's
libri_labels.py), so fairseq's recognisers train on the same files. The text comes from LibriSpeech's ``*.trans.txt``, or from
a text file beside the manifest with one line for each recording.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from csc_fairseq.data.manifest import Manifest, label_path, read_labels, read_manifest
from csc_fairseq.errors import InputError
from csc_fairseq.text import normal, read_lines

SUFFIX = "ltr"
DICTIONARY = f"dict.{SUFFIX}.txt"
BOUNDARY = "|"  # ends every word
APOSTROPHES = str.maketrans("’‘ʼ`´", "'''''")
SOURCES = ("parallel", "librispeech")
FILES = "[!.]*.trans.txt"  # of LibriSpeech; macOS adds hidden ones


def normalise(text: str) -> str:
    """Words of a text in upper case, separated by single spaces. Only letters and apostrophes are kept (our choice).

    Every other character ends a word: "It's a half-past." gives "IT'S A HALF PAST". Letters of any script are kept, with
    their combining marks. InputError (without the file's name) for digits, because it is unknown how they were spoken.
    """
    # Upper case first: the capital of one letter may be two characters.
    characters = unicodedata.normalize("NFC", text.upper()).translate(APOSTROPHES)
    digits = [character for character in characters if unicodedata.category(character).startswith("N")]
    if digits:
        raise InputError(
            f"found {digits[0]!r} in {text.strip()[:60]!r}, expected words; write numbers as they are spoken"
        )
    kept = "".join(character if _is_spoken(character) else " " for character in characters)
    return " ".join(word for word in kept.split() if word.strip("'"))


def _is_spoken(character: str) -> bool:
    return character == "'" or unicodedata.category(character)[0] in "LM"


def to_letters(text: str) -> str:
    """From normalised text to a line of labels: "IT'S ME" to "I T ' S | M E |"."""
    return " ".join(symbol for word in text.split() for symbol in (*word, BOUNDARY))


def from_letters(symbols: Iterable[str]) -> str:
    """From symbols to text, the inverse of `to_letters`: ["M", "E", "|"] to "ME"."""
    return "".join(symbols).replace(BOUNDARY, " ").strip()


def dictionary_lines(labels: Iterable[str]) -> list[str]:
    """Lines `symbol count` of fairseq's dictionary, from lines of labels. The most frequent symbol is first."""
    counts = Counter(symbol for line in labels for symbol in line.split())
    return [f"{symbol} {count}" for symbol, count in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))]


def read_letters(path: Path) -> list[str]:
    """Symbols of a dictionary file, in its order. InputError, naming file and line: missing, or another form."""
    symbols = []
    for number, line in enumerate(read_lines(path), start=1):
        symbol, _, count = line.rpartition(" ")
        if not symbol or not count.isdecimal():
            raise InputError(
                f"{path}:{number}: found {line!r}, expected a symbol and its count; write it again with `csc prepare transcripts`"
            )
        symbols.append(symbol)
    return symbols


def find_texts(manifest: Manifest, source: str | None = None) -> tuple[list[str], str]:
    """Normalised transcripts of a manifest's recordings, in its order, and their source, one of SOURCES.

    Args:
        manifest: X.tsv.
        source: "parallel" reads the text file X.txt. "librispeech" reads the files `*.trans.txt` in the folders of the
            recordings. None reads X.txt if it exists, otherwise LibriSpeech's files.

    Raises:
        InputError, naming file and line: a recording without a transcript, a parallel file of another length, a transcript
            without letters or with digits.
    """
    if source is None:
        source = "parallel" if _text_path(manifest).is_file() else "librispeech"
    if source == "parallel":
        return _parallel(manifest), source
    return librispeech_texts(manifest.path, manifest.root, manifest.names), source


def _text_path(manifest: Manifest) -> Path:
    return label_path(manifest, "txt")


def _parallel(manifest: Manifest) -> list[str]:
    path = _text_path(manifest)
    lines = read_lines(path)
    if len(lines) != len(manifest):
        raise InputError(
            f"{path}: has {len(lines)} lines, but {manifest.path} has {len(manifest)} recordings; expected one "
            "transcript for each, in the same order"
        )
    return [
        _normalised(line, f"{path}:{number}", name)
        for number, (line, name) in enumerate(zip(lines, manifest.names, strict=True), start=1)
    ]


def librispeech_texts(manifest: Path, root: Path, names: Iterable[str]) -> list[str]:
    """Normalised transcripts from the files `*.trans.txt` in the folders of recordings.

    manifest: the .tsv that has, or will have, these names below root, for messages. InputError as of `find_texts`.
    """
    folders: dict[PurePosixPath, dict[str, tuple[str, str]]] = {}
    texts = []
    for number, name in enumerate(names, start=2):
        folder, stem = PurePosixPath(name).parent, normal(PurePosixPath(name).stem)
        if folder not in folders:
            folders[folder] = _read_folder(root / folder)
        if stem not in folders[folder]:
            raise InputError(
                f"{manifest}:{number}: no transcript of {name} in {root / folder}/*.trans.txt, expected a line "
                f"`{stem} WORDS`; add it, leave the recording out, or write all transcripts to {manifest.with_suffix('.txt')}"
            )
        place, text = folders[folder][stem]
        texts.append(_normalised(text, place, name))
    return texts


def _read_folder(folder: Path) -> dict[str, tuple[str, str]]:
    """(file:line, text) of every utterance in the folder's `*.trans.txt` files."""
    utterances: dict[str, tuple[str, str]] = {}
    for path in sorted(folder.glob(FILES)):
        for number, line in enumerate(read_lines(path), start=1):
            name, _, text = normal(line).strip().partition(" ")
            place = f"{path}:{number}"
            if name in utterances:
                raise InputError(f"{place}: {name} already has a transcript at {utterances[name][0]}; keep one")
            utterances[name] = (place, text)
    return utterances


def _normalised(text: str, place: str, name: str) -> str:
    try:
        words = normalise(text)
    except InputError as error:
        raise InputError(f"{place}: {error}") from error
    if not words:
        raise InputError(
            f"{place}: found {text.strip()[:60]!r}, expected the words of {name}; write what is said, or leave the recording out"
        )
    return words


def require_transcripts(folder: str | Path, splits: Sequence[str] = ("train", "valid")) -> None:
    """InputError unless fairseq's CTC training finds its labels below `folder`.

    It needs a dictionary and, for each of the splits that has a manifest, one line of labels per recording. fairseq itself
    would stop with a traceback that suggests no solution.
    """
    folder = Path(folder)
    dictionary = folder / DICTIONARY
    if not dictionary.is_file():
        raise InputError(
            f"{dictionary}: no such file, expected the letters of the transcripts; write it with "
            f"`csc prepare transcripts {folder / 'train.tsv'} {folder / 'valid.tsv'}`"
        )
    read_letters(dictionary)
    for split in splits:
        path = folder / f"{split}.tsv"
        if path.is_file():
            manifest = read_manifest(path)
            if not label_path(manifest, SUFFIX).is_file():
                raise InputError(
                    f"{label_path(manifest, SUFFIX)}: no such file, expected the transcripts of {path}; write it with "
                    f"`csc prepare transcripts {path}`"
                )
            read_labels(manifest, SUFFIX)


def missing_letters(labels: Iterable[str], symbols: Sequence[str]) -> Counter[str]:
    """Counts of letters in the labels that `symbols` lacks. A recogniser with these symbols cannot write them."""
    known = set(symbols)
    return Counter(symbol for line in labels for symbol in line.split() if symbol not in known)
