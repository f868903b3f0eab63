"""`csc trials`: the same arguments give the same bytes, groups and sessions are kept, and one line for what is wrong."""

from pathlib import Path

import numpy as np
import pytest

from csc_fairseq.cli.main import main
from csc_fairseq.data.manifest import read_labels, read_manifest, write_labels, write_manifest
from csc_fairseq.verification.trials.drawing import TrialOptions, build_trials
from csc_fairseq.verification.trials.trial_file import read_trials

TABLE = "speaker\tgender\tage_group\ns0\tf\tadult\ns1\tf\tchild\ns2\tm\tadult\ns3\tm\tchild\ns4\tunknown\tadult\ns5\tm\tadult\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """test.tsv of six speakers with four recordings each, and a table of speakers; no audio."""
    names = [f"s{i // 4}/u{i % 4}.wav" for i in range(24)]
    write_manifest(tmp_path / "test.tsv", tmp_path, [(name, 16000) for name in names])
    write_labels(tmp_path / "test.spk", [name.split("/")[0] for name in names])
    (tmp_path / "table.tsv").write_text(TABLE)
    return tmp_path


def trials(folder: Path, *options: str, out: str = "trials.txt") -> int:
    return main(["trials", "--manifest", str(folder / "test.tsv"), "--out", str(folder / out), *options])


def read(folder: Path, name: str = "trials.txt"):
    return read_trials(folder / name, read_manifest(folder / "test.tsv"))


def complaint(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """The one line that a failing `csc trials` prints."""
    capsys.readouterr()
    assert trials(folder, *options) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("csc trials: ")
    assert not (folder / "trials.txt").exists()
    return error.removeprefix("csc trials: ").strip()


def test_all_pairs(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert trials(folder) == 0
    manifest = read_manifest(folder / "test.tsv")
    found, expected = read(folder), build_trials(read_labels(manifest, "spk"))
    for column in ("enrol", "test", "targets", "interferers"):
        np.testing.assert_array_equal(getattr(found, column), getattr(expected, column))
    # 24 · 3 targets; every test has 6 − 1 − 2 speakers left who may be enrolled, with four recordings each.
    assert capsys.readouterr().out.splitlines() == [
        f"{folder}/trials.txt: 360 trials, 72 target and 288 non-target; 24 models, 24 test recordings, 6 enrolled speakers",
        "no .session file: target trials may stay within one session",
        "interferers: 2 for every recording, of other speakers",
    ]
    assert sorted(path.name for path in folder.iterdir()) == ["table.tsv", "test.spk", "test.tsv", "trials.txt"]


@pytest.mark.parametrize("options", [[], ["--sample", "50"], ["--enrol-utterances", "2", "--sample", "50"]])
def test_the_same_arguments_give_the_same_bytes(folder: Path, options: list[str]):
    for out, seed in (("a/1.txt", "3"), ("b/1.txt", "3"), ("c/1.txt", "4")):
        assert trials(folder, *options, "--seed", seed, out=out) == 0
    files = [{path.name: path.read_bytes() for path in (folder / name).iterdir()} for name in "abc"]
    assert files[0] == files[1] and len(files[0]) == (2 if "--enrol-utterances" in options else 1)
    assert all(files[0][name] != files[2][name] for name in files[0])
    if "--sample" in options:
        found = read(folder, "a/1.txt")
        assert len(found.targets) == 50 and found.targets.sum() == (24 if "--enrol-utterances" in options else 25)


def test_several_utterances_a_model(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert trials(folder, "--enrol-utterances", "3") == 0
    found = read(folder)
    assert [len(model) for model in found.models] == [3] * 6
    assert found.names == tuple(f"s{i}-1" for i in range(6))
    assert found.targets.sum() == 6
    assert f"{folder}/trials.enrolments: the models' recordings, 3 each" in capsys.readouterr().out
    assert trials(folder) == 2
    assert "trials.enrolments: belongs to an earlier list" in capsys.readouterr().err


def test_sessions(folder: Path, capsys: pytest.CaptureFixture[str]):
    sessions = [f"s{i // 4}/{'ab'[i % 4 // 2]}" for i in range(24)]
    write_labels(folder / "test.session", sessions)
    assert trials(folder) == 0
    found = read(folder)
    assert found.targets.sum() == 24 * 2 and (~found.targets).sum() == 288
    enrolled = np.array([sessions[model[0]] for model in found.models])[found.enrol]
    assert not (enrolled == np.array(sessions)[found.test]).any()
    assert "every target trial is across sessions" in capsys.readouterr().out
    assert trials(folder, "--allow-same-session", out="all.txt") == 0
    assert read(folder, "all.txt").targets.sum() == 24 * 3
    (folder / "trials.txt").unlink()
    write_labels(folder / "test.session", [f"s{i // 4}" for i in range(24)])
    message = complaint(folder, capsys)
    assert (
        message.startswith(f"{folder}/test.tsv: has no target trial across sessions")
        and "--allow-same-session" in message
    )


def speaker_pairs(folder: Path, name: str) -> tuple[set[str], set[tuple[str, str]]]:
    """Speakers of target trials, and pairs of speakers of the others."""
    found = read(folder, name)
    labels = np.array(read_labels(read_manifest(folder / "test.tsv"), "spk"))
    enrolled = labels[[model[0] for model in found.models]][found.enrol]
    pairs = set(zip(enrolled[~found.targets].tolist(), labels[found.test][~found.targets].tolist(), strict=True))
    return set(enrolled[found.targets].tolist()), pairs


def test_groups(folder: Path, capsys: pytest.CaptureFixture[str]):
    table = ["--speaker-table", str(folder / "table.tsv")]
    known = {"s0", "s1", "s2", "s3", "s5"}
    women = {"s0", "s1"}
    assert trials(folder, out="every.txt") == 0
    assert trials(folder, *table, "--gender", "same", out="same.txt") == 0
    assert f"left out, of other groups or unknown in {folder}/table.tsv: 4 recordings" in capsys.readouterr().out
    assert trials(folder, *table, "--gender", "cross", out="cross.txt") == 0
    assert trials(folder, *table, "--same", "gender", "--cross", "age_group", out="both.txt") == 0
    assert trials(folder, *table, "--only", "age_group=adult", out="adults.txt") == 0

    same, cross = speaker_pairs(folder, "same.txt"), speaker_pairs(folder, "cross.txt")
    assert same[0] == cross[0] == known
    every = {(one, other) for one, other in speaker_pairs(folder, "every.txt")[1] if {one, other} <= known}
    assert same[1] == {(one, other) for one, other in every if (one in women) == (other in women)}
    assert cross[1] == every - same[1] and min(len(same[1]), len(cross[1])) > 3
    children = {"s1", "s3"}
    assert speaker_pairs(folder, "both.txt")[1] == {
        (one, other) for one, other in same[1] if (one in children) != (other in children)
    }
    adults = speaker_pairs(folder, "adults.txt")
    assert adults[0] == {"s0", "s2", "s4", "s5"} == {speaker for pair in adults[1] for speaker in pair}
    interferers = [read(folder, f"{name}.txt").interferers[:16] for name in ("same", "cross")]
    np.testing.assert_array_equal(*interferers)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--gender", "same"], "gender is a column of a table of speakers; give the table with --speaker-table"),
        (["--speaker-table", "TABLE"], "is for --gender, --same, --cross and --only"),
        (["--speaker-table", "TABLE", "--same", "accent"], "has no column 'accent'; expected one of gender, age_group"),
        (["--speaker-table", "TABLE", "--only", "age_group"], "--only age_group: expected COLUMN=VALUE"),
        (
            ["--speaker-table", "TABLE", "--only", "age_group=old"],
            "no speaker has age_group=old; expected one of adult",
        ),
        (["--speaker-table", "TABLE", "--gender", "same", "--cross", "gender"], "gender was asked to be the same and"),
        (["--speaker-table", "/no/table", "--gender", "same"], "/no/table: cannot be read"),
        (["--sample", "1"], "--sample 1: expected 2 to 10000000 trials"),
        (["--enrol-utterances", "0"], "--enrol-utterances 0: expected at least 1"),
        (["--enrol-utterances", "4"], "test.tsv: has no target trial, expected a speaker with 5 recordings"),
    ],
)
def test_bad_options(folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str):
    options = [str(folder / "table.tsv") if option == "TABLE" else option for option in options]
    assert message in complaint(folder, capsys, *options)


def test_bad_manifests(folder: Path, capsys: pytest.CaptureFixture[str]):
    (folder / "test.spk").write_text("s0\n" * 24)
    assert "test.tsv: has no non-target trial among 1 speakers" in complaint(folder, capsys)
    (folder / "test.spk").unlink()
    assert "test.spk: no such file" in complaint(folder, capsys)


def test_a_real_corpus(shared_data: Path, tmp_path: Path):
    """The test speakers of a corpus of adults and children, and a table that names their corpus in a column of its own."""
    folder, table = tmp_path / "manifests", shared_data / "speakers.tsv"
    splits = ["--speaker-level", "2", "--splits", str(table)]
    assert main(["prepare", "folders", str(shared_data / "speech"), "--out", str(folder), *splits]) == 0
    manifest = read_manifest(folder / "test.tsv")
    speakers = read_labels(manifest, "spk")
    rows = [line.split("\t") for line in table.read_text().splitlines()[1:]]
    attributes = {f"{row[0]}/{row[1]}": (row[3], row[4]) for row in rows if row[2] == "test"}
    counts = {}
    for name, options in {
        "all": [],
        "same": ["--gender", "same"],
        "cross": ["--gender", "cross"],
        "children": ["--only", "age_group=child", "--gender", "same"],
    }.items():
        group = ["--speaker-table", str(table), *options] if options else []
        assert main(["trials", "--manifest", str(folder / "test.tsv"), "--out", str(folder / name), *group]) == 0
        found = read_trials(folder / name, manifest)
        counts[name] = int(found.targets.sum()), int((~found.targets).sum())
        sides = zip(found.enrol.tolist(), found.test.tolist(), found.targets.tolist(), strict=True)
        pairs = {(speakers[found.models[model][0]], speakers[test]) for model, test, target in sides if not target}
        genders = {attributes[one][0] == attributes[other][0] for one, other in pairs}
        assert genders == {"all": {True, False}, "same": {True}, "cross": {False}, "children": {True}}[name]
        if name == "children":
            assert {attributes[speaker][1] for pair in pairs for speaker in pair} == {"child"}
    # 30 speakers with eight recordings each, ten of them children; two of the 29 others interfere with each recording.
    assert counts["all"] == counts["same"][:1] + (240 * 27 * 8,) == (30 * 8 * 7, 51840)
    assert counts["same"][0] == counts["cross"][0]
    assert counts["same"][1] + counts["cross"][1] == counts["all"][1]
    assert counts["children"][0] == 10 * 8 * 7
    expected = build_trials(speakers, options=TrialOptions(sample=1000), seed=9)
    sampled = ["--sample", "1000", "--seed", "9"]
    assert main(["trials", "--manifest", str(folder / "test.tsv"), "--out", str(folder / "few"), *sampled]) == 0
    np.testing.assert_array_equal(read_trials(folder / "few", manifest, seed=9).test, expected.test)
