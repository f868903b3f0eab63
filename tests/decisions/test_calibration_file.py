"""Calibrations in files: the way there and back, and every fault in one line."""

import json

import numpy as np
import pytest

from csc_fairseq.decisions.calibration_file import ModelCalibration, read_calibration, write_calibration
from csc_fairseq.decisions.model_identity import ModelIdentity
from tests.making import fails, without

OTHER = ModelIdentity("tuned.pt", "b" * 32)


def test_round_trip(calibration, tmp_path):
    path = tmp_path / "new" / "csc.calibration.json"
    write_calibration(path, calibration)
    renamed = ModelIdentity("elsewhere.pt", calibration.model.digest)  # the content counts, not the name
    assert read_calibration(path, renamed) == calibration
    assert list(path.parent.iterdir()) == [path]
    np.testing.assert_allclose(calibration.llr([[0.32, 1.0], [0.0, -1]]), [[0, 8.5], [-4, -16.5]])
    assert str(calibration.domain) == (
        "8 speakers of dev.tsv, clean, talker 0 dB; 10 s of each recording, 1 recording of each voice"
    )


def test_a_failed_write_leaves_the_old_file(calibration, tmp_path, monkeypatch):
    path = tmp_path / "c.json"
    path.write_text("before")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    assert "c.json: cannot be written (No space left on device)" in fails(write_calibration, path, calibration)
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_a_calibration_of_another_model_is_refused(calibration, tmp_path):
    path = tmp_path / "c.json"
    write_calibration(path, calibration)
    assert fails(read_calibration, path, OTHER) == (
        f"{path}: was fitted with the model csc.pt (aaaaaaaa…), not with tuned.pt (bbbbbbbb…); fit one for it: csc calibrate "
        "--model tuned.pt --manifest DEV.tsv --out NEW.json"
    )


def changed(calibration: ModelCalibration, path, change) -> None:
    write_calibration(path, calibration)
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: [found], "is no calibration; expected a calibration, as `csc calibrate` writes it"),
        (lambda found: without(found, "format"), "is no calibration"),
        (lambda found: {**found, "version": 2}, "is a calibration of version 2, expected 1; update csc-fairseq"),
        (lambda found: without(found, "scale"), "lacks the entry 'scale'"),
        (lambda found: {**found, "scale": float("nan")}, "its entry scale is nan, expected a number from 0"),
        (lambda found: {**found, "scale": -1.0}, "its entry scale is -1.0"),
        (lambda found: {**found, "offset": "0"}, "its entry offset is '0', expected a number"),
        (lambda found: without(found, "model", "digest"), "lacks the entry 'digest'"),
        (lambda found: {**found, "model": []}, "its model is a list, expected a dictionary"),
        (
            lambda found: {**found, "quality": {"eer": 2, "cllr": 0}},
            "its entry eer is 2, expected a number from 0 to 1",
        ),
        (
            lambda found: {**found, "domain": {**found["domain"], "conditions": [{}]}},
            "its entry conditions is [{}], expected a list of conditions with names",
        ),
    ],
)
def test_faulty_content(calibration, tmp_path, change, message):
    path = tmp_path / "c.json"
    changed(calibration, path, change)
    found = fails(read_calibration, path, calibration.model)
    assert found.startswith(f"{path}: ") and message in found


def test_not_such_a_file(calibration, tmp_path):
    path = tmp_path / "c.json"
    assert "c.json: cannot be read (No such file" in fails(read_calibration, path, calibration.model)
    for content in (b"{", b"\xff\xfe", b"[" * 100_000, b""):
        path.write_bytes(content)
        assert "c.json: is not JSON (" in fails(read_calibration, path, calibration.model)
    path.write_bytes(b" " * 2**21)
    assert "is no calibration" in fails(read_calibration, path, calibration.model)


def test_what_is_heard_otherwise_than_it_was_fitted_on(calibration):
    domain = calibration.domain  # 10 s, one recording of a voice
    assert domain.unlike([5.0, 20.0], [1]) is None
    assert domain.unlike([3.0], [1]) == (
        "the calibration is of something else: 3 s are heard at once, it was fitted on 10 s; ratios may mislead, another one can "
        "be fitted with csc calibrate --seconds"
    )
    both = domain.unlike([4.96, 1200.0], [2, 1, 3])
    assert (
        ": 5 to 1200 s are heard at once, it was fitted on 10 s; voices have 1 to 3 recordings, there 1 recording;"
        in both
    )
    assert both.endswith("csc calibrate --seconds and --enrol-utterances")
    assert ": voices have 2 recordings, there 1 recording; " in domain.unlike([10.0], [2])
