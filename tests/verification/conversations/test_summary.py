from dataclasses import replace

import pytest

from csc_fairseq.diarization.scoring import ErrorSeconds
from csc_fairseq.verification.conversations.measures import Measured, SeparationMeasure, VoiceMeasure
from csc_fairseq.verification.conversations.summary import summarise, tables
from tests.making import fails


def conversation(wrong: float, total: float, found: int, scores: dict[str, float], separation=None) -> Measured:
    """scores: of voices by name; those that begin with "in" are present, and their streams 10 dB better."""
    voices = tuple(
        VoiceMeasure(name, name.startswith("in"), score, score, 10.0 if name.startswith("in") else None)
        for name, score in scores.items()
    )
    errors = (ErrorSeconds(0.0, True, total, wrong, 0.0, 0.0), ErrorSeconds(0.25, True, total, 0.0, 0.0, 0.0))
    return Measured("c", errors, (0.5, 2), 2, found, voices, separation)


MANY = [
    conversation(10, 100, 2, {"in1": 0.9, "in2": 0.8, "out1": 0.5}, SeparationMeasure((4.0, 6.0), 90, 100)),
    conversation(50, 300, 4, {"in1": 0.7, "in2": 0.4, "out1": 0.6}, SeparationMeasure((8.0,), 10, 100)),
]


def test_figures_worked_out_by_hand():
    summary = summarise("csc", "two", "found", MANY, replicates=20)
    assert summary.conversations == 2
    assert summary.der["collar 0 s, with overlap"].value == pytest.approx(60 / 400)  # not the mean of 10 and 16.7 %
    assert summary.der["collar 0.25 s, with overlap"].value == 0
    assert summary.jer.value == pytest.approx(1.0 / 4)
    assert summary.count_right.value == 0.5 and summary.count_error.value == 1.0
    assert summary.presence.value == pytest.approx(0.25)  # one of four present below 0.5, one of two absent above
    assert summary.false_extractions.value == 1.0  # the only threshold that keeps 90 % of four keeps all
    assert summary.overlapped_si_snri.value == pytest.approx(6.0)
    assert summary.kept.value == pytest.approx(0.5)


def test_intervals_are_those_of_resampled_conversations():
    summary = summarise("csc", "two", "found", MANY, replicates=60)
    der = summary.der["collar 0 s, with overlap"]
    assert (der.low, der.high) == pytest.approx((0.1, 50 / 300))  # one of both twice
    same = summarise("other", "two", "found", MANY, replicates=60)
    assert same.der == summary.der and same.presence == summary.presence
    alone = summarise("csc", "two", "found", MANY[:1], replicates=20)
    assert alone.count_error.low == alone.count_error.high == 0


def test_voices_called_absent_count_as_nothing():
    scores = {f"in{i}": 0.5 + i / 100 for i in range(20)} | {"out1": 0.4, "out2": 0.515, "out3": 0.9}
    summary = summarise("csc", "two", "given", [conversation(0, 1, 2, scores)], replicates=20)
    assert summary.false_extractions.value == pytest.approx(1 / 3)  # the threshold is 0.52: two of twenty are below
    assert summary.si_snri.value == pytest.approx(0.9 * 10)
    assert summary.count_right is None and summary.count_error is None


def test_what_was_not_measured_is_nothing():
    plain = [replace(one, voices=(), separation=None) for one in MANY]
    summary = summarise("csc", "real", "found", plain, replicates=20)
    assert summary.presence is summary.si_snri is summary.false_extractions is summary.kept is None
    assert summary.overlapped_si_snri is None
    text = tables([summary])[1].text()
    assert text.count("–") == 6
    assert "no conversation" in fails(summarise, "csc", "x", "found", [])


def test_tables():
    summaries = [summarise("csc", "two", kind, MANY, replicates=20) for kind in ("found", "given")]
    diarization, voices = tables(summaries)
    assert diarization.columns[2] == "DER, collar 0 s, with overlap"
    assert diarization.rows[0][:2] == ["csc, two (2)", "found"] and diarization.rows[0][2].startswith("15.0 (")
    assert diarization.rows[1][-2:] == ["–", "–"]
    assert voices.rows[0][2].startswith("25.0 (")
    assert voices.columns[4:6] == ["false extractions, %", "extraction, dB"] and voices.rows[0][4].startswith("100.0 (")
    assert "absent voices do not enter" in voices.note and "from these conversations themselves" in voices.note
