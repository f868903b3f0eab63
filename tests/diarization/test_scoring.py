"""DER and JER of cases worked out by hand, and references that are of another recording."""

import sys

import pytest

from csc_fairseq.data.rttm import Turn, write_rttm
from csc_fairseq.diarization.scoring import Scorer, annotation, read_references
from tests.making import fails

# Anna 0 to 10 s, Bob 8 to 20 s: 22 s of speech, 18 s of it alone.
REFERENCE = [Turn("anna", 0, 10), Turn("bob", 8, 20)]
# Each misses a second of the overlap; somebody is heard for a second where nobody talks.
FOUND = [Turn("talker_2", 0, 9), Turn("talker_1", 9, 20), Turn("talker_3", 25, 26)]


def rates(score) -> dict[tuple[float, bool], tuple[float, ...]]:
    return {
        (one.collar, one.overlap): (
            one.der,
            *(part / one.total if one.total else 0 for part in (one.missed, one.false_alarm, one.confusion)),
        )
        for one in score.errors
    }


def test_errors_worked_out_by_hand():
    scorer = Scorer()
    score = scorer.add(REFERENCE, FOUND, 30)
    found = rates(score)
    assert found[0, True] == pytest.approx((3 / 22, 2 / 22, 1 / 22, 0))
    assert found[0, False] == pytest.approx((1 / 18, 0, 1 / 18, 0))
    # The collars take 0.25, 0.25 + 0.5, 0.5 + 0.25 and 0.25 s of speech, and a quarter of a second from each second missed.
    assert found[0.25, True] == pytest.approx((2.5 / 20, 1.5 / 20, 1 / 20, 0))
    assert found[0.25, False] == pytest.approx((1 / 17, 0, 1 / 17, 0))
    assert score.jer == pytest.approx((1 / 10 + 1 / 12) / 2)
    lines = score.text().splitlines()
    assert lines[1].split() == "collar 0 s, with overlap 13.6 % 9.1 % 4.5 % 0.0 %".split()
    assert lines[-1].split() == ["JER", "9.2", "%"]
    assert len({len(line) for line in lines[:-1]}) == 1  # aligned

    # Seconds of error over seconds of speech, not the mean of rates; and of JER, the mean over three talkers.
    scorer.add([Turn("cora", 0, 2)], [], 5)
    total = scorer.total()
    assert rates(total)[0, True] == pytest.approx((5 / 24, 4 / 24, 1 / 24, 0))
    assert total.jer == pytest.approx((1 / 10 + 1 / 12 + 1) / 3)


def test_confusion_and_perfect():
    confused = Scorer().add([Turn("a", 0, 4), Turn("b", 4, 8)], [Turn("x", 0, 8)], 8)
    assert rates(confused)[0, True] == pytest.approx((0.5, 0, 0, 0.5))
    perfect = Scorer().add(REFERENCE, [Turn(turn.talker[::-1], turn.start, turn.end) for turn in REFERENCE], 30)
    assert {one.der for one in perfect.errors} == {0} and perfect.jer == 0


def test_nothing_is_said_about_what_lies_beyond_the_recording():
    assert rates(Scorer().add([Turn("a", 0, 4.04)], [Turn("x", 0, 4)], 4))[0, True] == (0, 0, 0, 0)


def test_rates_are_those_of_pyannote():
    from pyannote.core import Segment, Timeline
    from pyannote.metrics.diarization import DiarizationErrorRate, JaccardErrorRate

    der, jer, scorer = DiarizationErrorRate(collar=0.5, skip_overlap=True), JaccardErrorRate(), Scorer()
    for reference, found, seconds in ((REFERENCE, FOUND, 30), (FOUND, REFERENCE, 30), ([], FOUND, 30), ([], [], 5)):
        score = scorer.add(reference, found, seconds)
        sides, whole = (annotation(reference), annotation(found)), Timeline([Segment(0, seconds)])
        assert rates(score)[0.25, False][0] == pytest.approx(der(*sides, uem=whole))
        if reference:
            assert score.jer == pytest.approx(jer(*sides, uem=whole))
    assert rates(scorer.total())[0.25, False][0] == pytest.approx(abs(der))
    assert scorer.total().jer == pytest.approx(abs(jer))


def test_total_of_nothing():
    with pytest.raises(ValueError, match="no recording"):
        Scorer().total()


def test_without_pyannote(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("pyannote")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyannote.metrics.diarization", None)
    assert fails(Scorer).endswith("pip install 'csc-fairseq[diarization]'")


def test_references(tmp_path):
    write_rttm(tmp_path / "a.rttm", "a", REFERENCE)
    write_rttm(tmp_path / "b.rttm", "b", REFERENCE[:1])
    both = [tmp_path / "a.rttm", tmp_path / "b.rttm"]
    assert read_references(both, {"b": 10.0}) == {"b": REFERENCE[:1]}
    assert read_references(both, {"b": 9.97, "a": 20.0}) == {"b": REFERENCE[:1], "a": REFERENCE}
    message = fails(read_references, both, {"meeting": 30.0})
    assert message.startswith(f"{both[0]}, {both[1]}: has no turns of meeting, file ids there: a, b; give the RTTM of ")
    message = fails(read_references, both, {"a": 12.0})
    assert message.startswith(f"{both[0]}: bob speaks until 20.00 s, but a ends at 12.00 s; is it the RTTM of another ")
    assert fails(read_references, [*both, both[0]], {"a": 20.0}).startswith(f"{both[0]}: has turns of a, as ")
    # Turns without duration are none.
    (tmp_path / "c.rttm").write_text("SPEAKER c 1 1.000 0.000 <NA> <NA> anna <NA> <NA>\n")
    message = fails(read_references, [tmp_path / "c.rttm"], {"c": 30.0})
    assert message.startswith(
        f"{tmp_path}/c.rttm: has no turns of c, file ids there: none; give the RTTM of this recording"
    )
