from pathlib import Path

import pytest
from pyannote.database.util import load_rttm

from csc_fairseq.data.rttm import Turn, file_id_of, read_rttm, speaking_seconds, stretches, write_rttm
from tests.making import fails

LINES = """SPKR-INFO a 1 <NA> <NA> <NA> unknown anna <NA> <NA>
;; a comment
SPEAKER a 1 2.5 1.5 <NA> <NA> ben <NA> <NA>

SPEAKER b 1 0 0.25 <NA> <NA> anna
SPEAKER a 1 0.1 3 <NA> <NA> anna 0.9 <NA>
SPEAKER a 1 7.0 0.0 <NA> <NA> ben <NA> <NA>
LEXEME a 1 0.1 3 <NA> <NA> anna <NA> <NA>
"""


@pytest.fixture
def rttm(tmp_path):
    def write(content: str | bytes) -> Path:
        path = tmp_path / "x.rttm"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def test_turns_by_file(rttm):
    expected = {"a": [Turn("anna", 0.1, 3.1), Turn("ben", 2.5, 4.0)], "b": [Turn("anna", 0.0, 0.25)]}
    assert read_rttm(rttm(LINES)) == expected
    marked = b"\xef\xbb\xbf" + LINES.replace("\n", "\r\n").encode()
    assert read_rttm(rttm(marked)) == expected


def test_names_are_compared_in_one_form(rttm):
    assert list(read_rttm(rttm("SPEAKER cafe\u0301 1 0 1 <NA> <NA> rene\u0301 <NA> <NA>"))) == ["caf\u00e9"]


@pytest.mark.parametrize("content", ["", "\n\n", "SPKR-INFO a 1 <NA> <NA> <NA> unknown anna <NA> <NA>\n"])
def test_a_file_without_turns_is_empty(rttm, content):
    assert read_rttm(rttm(content)) == {}


def test_what_is_written_reads_back_here_and_elsewhere(tmp_path):
    turns = [Turn("b", 1.0, 2.5), Turn("a", 0.25, 1.25), Turn("a", 2.0, 3.0)]
    path = tmp_path / "new" / "x.rttm"
    write_rttm(path, "meeting-1", turns)
    assert read_rttm(path) == {"meeting-1": sorted(turns, key=lambda turn: turn.start)}
    read = load_rttm(path)["meeting-1"]
    assert [(name, segment.start, segment.end) for segment, _, name in read.itertracks(yield_label=True)] == [
        (turn.talker, turn.start, turn.end) for turn in sorted(turns, key=lambda turn: turn.start)
    ]


def test_turns_that_meet_still_meet(tmp_path):
    edges = [i * 0.33347 for i in range(200)]
    turns = [Turn("a", start, end) for start, end in zip(edges[:-1], edges[1:], strict=True)]
    write_rttm(tmp_path / "x.rttm", "x", turns)
    read = read_rttm(tmp_path / "x.rttm")["x"]
    assert all(abs(one.end - other.start) < 1e-9 for one, other in zip(read[:-1], read[1:], strict=True))


def test_no_turns_are_written_as_an_empty_file(tmp_path):
    write_rttm(tmp_path / "x.rttm", "x", [])
    assert read_rttm(tmp_path / "x.rttm") == {}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("SPEAKER a 1 0.5 1.0 <NA> <NA>", "has 7 fields, expected SPEAKER FILE 1"),
        ("SPEAKER a 1 x 1.0 <NA> <NA> ben", "found the start 'x'"),
        ("SPEAKER a 1 -0.5 1.0 <NA> <NA> ben", "found the start '-0.5'"),
        ("SPEAKER a 1 0.5 -1.0 <NA> <NA> ben", "found the duration '-1.0'"),
        ("SPEAKER a 1 0.5 nan <NA> <NA> ben", "found the duration 'nan'"),
        ("SPEAKER a 1 inf 1 <NA> <NA> ben", "found the start 'inf'"),
    ],
)
def test_faults_have_a_line(rttm, line, found):
    path = rttm(f";; first\r\n{line}\r\n")
    assert fails(read_rttm, path).startswith(f"{path}:2: {found}")


def test_unreadable(tmp_path, rttm):
    assert fails(read_rttm, tmp_path / "no.rttm").startswith(f"{tmp_path / 'no.rttm'}: cannot be read")
    assert ":1: " in fails(read_rttm, rttm(b"SPEAKER a\xff 1 0 1 <NA> <NA> b"))


@pytest.mark.parametrize(
    ("file_id", "turn", "found"),
    [
        ("a b", Turn("x", 0, 1), "the file id 'a b'"),
        ("", Turn("x", 0, 1), "the file id ''"),
        ("a", Turn("x y", 0, 1), "the talker 'x y'"),
        ("a", Turn("x", 2, 1), "does not end after it starts"),
        ("a", Turn("x", -1, 1), "does not end after it starts"),
    ],
)
def test_what_the_format_cannot_hold(tmp_path, file_id, turn, found):
    assert found in fails(write_rttm, tmp_path / "x.rttm", file_id, [turn])
    assert not list(tmp_path.iterdir())


def test_seconds_of_speech_and_of_overlap():
    turns = [Turn("a", 1, 4), Turn("b", 3, 6), Turn("c", 3.5, 4.5), Turn("a", 4, 4.25), Turn("b", 8, 9)]
    anybody, several = speaking_seconds(turns)
    assert anybody == pytest.approx(5 + 1)
    assert several == pytest.approx(1.5)  # a and b from 3 to 4.25, c and b until 4.5
    assert speaking_seconds([]) == (0, 0)
    assert speaking_seconds([Turn("a", 0, 1), Turn("b", 1, 2)]) == (2, 0)


def test_stretches():
    three = [Turn("a", 0, 10), Turn("b", 2, 6), Turn("c", 4, 8), Turn("d", 10, 12)]
    assert [stretches(three, least) for least in (1, 2, 3, 4)] == [[(0, 12)], [(2, 8)], [(4, 6)], []]
    assert stretches([Turn("a", 0, 2), Turn("b", 2, 3)], 2) == [] == stretches([], 1)
    assert stretches([Turn("a", 0, 1), Turn("b", 2, 3)], 1) == [(0, 1), (2, 3)]


def test_file_ids_have_no_blanks():
    assert file_id_of(Path("there/my  long\tmeeting.v2.flac")) == "my_long_meeting.v2"
    assert file_id_of(Path("cafe\u0301.wav")) == "caf\u00e9"
