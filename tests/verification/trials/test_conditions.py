"""The standard grid, its file, and what users get to read about faulty ones."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from csc_fairseq.errors import InputError
from csc_fairseq.verification.trials.conditions import STANDARD, Condition, read_conditions

EXAMPLE = Path(__file__).parents[3] / "examples" / "csc" / "conditions.yaml"


def test_the_standard_grid_is_that_of_the_evaluation():
    """Every row written out: talkers, SIR, noise, SNR, room; whole overlap, clean enrolment."""
    noises = [(0, None, kind, snr, False) for kind in ("stationary", "other") for snr in (10, 5, 0)]
    talkers = [(1, sir, None, None, False) for sir in (10, 5, 0, -5)] + [(2, 0, None, None, False)]
    clean, room, everything = (0, None, None, None, False), (0, None, None, None, True), (1, 5, "other", 10, True)
    found = [(one.talkers, one.sir_db, one.noise, one.snr_db, one.rir) for one in STANDARD]
    assert found == [clean, *noises, room, *talkers, everything]
    assert all(one.overlap == 1 and not one.mixed_enrolment for one in STANDARD)
    assert STANDARD[0].name == "clean"
    assert len({one.name.lower() for one in STANDARD}) == len(STANDARD)


def test_the_example_file_is_the_standard_grid():
    assert read_conditions(EXAMPLE) == STANDARD
    # Also as text, which embeddings on disk are known by: 5 and 5.0 are one level.
    assert json.dumps([asdict(one) for one in read_conditions(EXAMPLE)]) == json.dumps(
        [asdict(one) for one in STANDARD]
    )


def test_the_suggestions_in_the_example_file_are_conditions(tmp_path):
    (tmp_path / "c.yaml").write_text(EXAMPLE.read_text().replace("\n# - {", "\n- {"))
    half, both = read_conditions(tmp_path / "c.yaml")[len(STANDARD) :]
    assert (half.talkers, half.overlap, half.mixed_enrolment) == (1, 0.5, False)
    assert (both.talkers, both.overlap, both.mixed_enrolment) == (1, 1.0, True)


def test_a_file_is_read_in_its_order_with_defaults(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(
        "- name: all of it\n  talkers: 2\n  sir_db: -3\n  noise: other\n  snr_db: 2.5\n  rir: true\n  overlap: 0.25\n"
        "  mixed_enrolment: true\n- {name: clean}\n"
    )
    assert read_conditions(path) == (
        Condition("all of it", 2, -3.0, "other", 2.5, True, 0.25, True),
        Condition("clean", 0, None, None, None, False, 1.0, False),
    )


def test_numbers_and_dates_are_read_as_hydra_reads_them(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("- {name: 2026-11-28, talkers: 1, sir_db: 1e1}\n- {name: b, talkers: 1, sir_db: -5E-1}\n")
    assert [(one.name, one.sir_db) for one in read_conditions(path)] == [("2026-11-28", 10.0), ("b", -0.5)]


def test_what_counts_as_degraded():
    assert not Condition("clean").degraded and not Condition("again").degraded
    for one in STANDARD[1:]:
        assert one.degraded


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("- 5", "found 5, expected a condition such as"),
        ("- {talkers: 1, sir_db: 0}", "a condition without a name"),
        ("- {name: a/b}", "name 'a/b': expected letters"),
        ("- {name: ''}", "name '': expected letters"),
        ("- {name: 'a '}", "name 'a ': expected letters"),
        ("- {name: true}", "name True: expected letters"),
        ("- {name: x, SIR: 5}", "unknown field 'SIR', expected some of name, talkers, sir_db"),
        ("- {name: x, talkers: 3, sir_db: 0}", "'x': talkers is 3, expected 0, 1 or 2"),
        ("- {name: x, talkers: true, sir_db: 0}", "'x': talkers is True, expected 0, 1 or 2"),
        ("- {name: x, talkers: 1.0, sir_db: 0}", "'x': talkers is 1.0, expected 0, 1 or 2"),
        ("- {name: x, talkers: 1}", "'x': has 1 talkers but no sir_db"),
        ("- {name: x, sir_db: 5}", "'x': has sir_db 5 but no talkers"),
        ("- {name: x, talkers: 1, sir_db: 5 dB}", "'x': sir_db is '5 dB', expected a number of dB"),
        ("- {name: x, talkers: 1, sir_db: .nan}", "'x': sir_db is nan, expected a number of dB"),
        ("- {name: x, talkers: 1, sir_db: 1e300}", "'x': sir_db is 1e\\+300, expected a number of dB between -100"),
        ("- {name: x, noise: babble, snr_db: 5}", "'x': noise is 'babble', expected stationary or other"),
        ("- {name: x, noise: other}", "'x': has other noise but no snr_db"),
        ("- {name: x, snr_db: 5}", "'x': has snr_db 5 but no noise"),
        ("- {name: x, noise: other, snr_db: true}", "'x': snr_db is True, expected a number of dB"),
        ("- {name: x, rir: 1}", "'x': rir is 1, expected true or false"),
        ("- {name: x, talkers: 1, sir_db: 0, overlap: 0}", "'x': overlap is 0, expected a share"),
        ("- {name: x, talkers: 1, sir_db: 0, overlap: 50}", "'x': overlap is 50, expected a share"),
        ("- {name: x, rir: true, overlap: 0.5}", "'x': has overlap 0.5 but no talkers"),
        ("- {name: x, mixed_enrolment: true}", "'x': has mixed_enrolment but nothing to mix"),
        ("- {name: clean, rir: true}", "'clean': is not clean; rename it"),
        ("- {name: first, rir: true}", "'first' is on line 1 already"),
        ("- {name: x, talkers: 1, sir_db: 5.0}", "'x' is that of line 1 .'first'. under another name"),
        ("- {name: x, name: y}", "is not YAML .found duplicate key name."),
        ("- {name: x, [1]: y}", "is not YAML .found unhashable key"),
        ("- {name: x, sir_db: 1e1 dB, talkers: 1}", "'x': sir_db is '1e1 dB', expected a number of dB"),
        ("- {name: x", "is not YAML .expected ',' or '}'"),
    ],
)
def test_faults_are_told_with_their_line(tmp_path, line, message):
    path = tmp_path / "c.yaml"
    # A comment and a condition of two lines before it: the fault is on line 5 of the file, or ends below it.
    path.write_text(f"- name: first\n  talkers: 1\n  sir_db: 5\n# then\n{line}\n")
    with pytest.raises(InputError, match=rf"^{path}:[56]: .*{message}") as caught:
        read_conditions(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "# nothing\n", "clean", "name: clean\n", "[]"])
def test_a_file_without_a_list(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(InputError, match="c.yaml: holds no list of conditions; expected lines such as"):
        read_conditions(tmp_path / "c.yaml")


def test_a_mark_and_line_ends_of_windows(tmp_path):
    (tmp_path / "c.yaml").write_bytes(EXAMPLE.read_text(encoding="utf-8").replace("\n", "\r\n").encode("utf-8-sig"))
    assert read_conditions(tmp_path / "c.yaml") == STANDARD


def test_unreadable_files(tmp_path):
    with pytest.raises(InputError, match="none.yaml: cannot be read .No such file"):
        read_conditions(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes("- {name: Gerät}".encode("latin-1"))
    with pytest.raises(InputError, match="latin.yaml:1: found .*Ger.xe4t.*, which is not UTF-8"):
        read_conditions(tmp_path / "latin.yaml")
    (tmp_path / "bell.yaml").write_text("- name: \a\n")
    with pytest.raises(InputError, match="bell.yaml: is not YAML that can be read .unacceptable character") as caught:
        read_conditions(tmp_path / "bell.yaml")
    assert "\n" not in str(caught.value)
