"""What a preparation replaces in its folder: what one wrote before, and nothing else. One corpus never stays beside another."""

import shutil
from pathlib import Path

import pytest

from csc_fairseq.cli.main import main
from tests.corpora.preparing import complaint, contents, prepare
from tests.corpora.trees import commonvoice, speak, voxceleb1, write_text


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four speakers of two recordings each."""
    for speaker in range(4):
        for take in range(2):
            speak(tmp_path / "speech" / f"p{speaker}" / f"{take}.wav", speaker, take, seconds=0.1)
    return tmp_path / "speech"


def test_tables_of_the_corpus_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Common Voice's own tables are called like manifests."""
    root = commonvoice(tmp_path / "en")
    for number in range(1, 12):
        speak(root / "clips" / f"common_voice_en_{number}.wav", number, number)
    before = contents(root)
    said = complaint(capsys, "commonvoice", root, root)
    assert (
        said.startswith(f"{root}/dev.tsv: is there and is no manifest") and "choose another folder with --out" in said
    )
    assert contents(root) == before


@pytest.mark.parametrize("name", ["train.tsv", "train.spk", "report.txt"])
def test_files_of_others(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str):
    out = tmp_path / "out"
    write_text(out / name, ["mine"])
    before = contents(out)
    assert complaint(capsys, "folders", root, out).startswith(f"{out / name}: is there")
    assert contents(out) == before


def test_speakers_and_lists_of_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root, out = voxceleb1(tmp_path / "vox1"), tmp_path / "out"
    for name in ("speakers.txt", "vox1_O_cleaned.trials"):
        write_text(out / name, ["speaker\tgender"])
        before = contents(out)
        assert complaint(capsys, "voxceleb1", root, out).startswith(f"{out / name}: is there, and no report says")
        assert contents(out) == before
        (out / name).unlink()
    prepare(capsys, "voxceleb1", root, out)
    (root / "vox1_meta.csv").write_text((root / "vox1_meta.csv").read_text().replace("\tm\t", "\tf\t"))
    prepare(capsys, "voxceleb1", root, out)  # its own are replaced
    assert (out / "speakers.txt").read_text().splitlines()[1] == "voxceleb1/id10001\tf"
    # Without its list, the trials of before are left over; so is what the list alone makes.
    (root / "list_test_hard.txt").unlink()
    said = complaint(capsys, "voxceleb1", root, out)
    assert said.startswith(
        f"{out}/all.tsv: was written by `csc prepare voxceleb1 {root}`, and this preparation does not"
    )


def test_an_earlier_test_set(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    prepare(capsys, "folders", root, out, "--test-speakers", "1")
    before = contents(out)
    said = complaint(capsys, "folders", root, out)
    assert said.startswith(f"{out}/test.tsv: was written by `csc prepare folders {root}`") and "move it away" in said
    assert contents(out) == before
    for suffix in ("tsv", "spk"):
        (out / f"test.{suffix}").unlink()
    prepare(capsys, "folders", root, out)
    assert (out / "report.txt").read_text().splitlines()[-1] == "files: train.spk train.tsv"


def test_manifests_of_recordings_alone(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Those of `csc prepare audio` are in no report: they stay, and the corpus is prepared again beside them."""
    out = tmp_path / "out"
    prepare(capsys, "folders", root, out)
    prepare(capsys, "audio", root, out / "noise.tsv")
    prepare(capsys, "folders", root, out)
    assert (out / "noise.tsv").is_file()
    table = write_text(tmp_path / "table.tsv", ["name", "0"])
    said = complaint(capsys, "audio", root / "p0", table, "--list", str(table))
    assert said.startswith(f"{table}: is there and is no manifest") and table.read_text() == "name\n0\n"


def test_doubts_are_in_the_report(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    shutil.move(root / "p0", root / "test-clean")
    printed = prepare(capsys, "folders", root, tmp_path / "out")
    assert any(line.startswith("note: test-clean: look like splits") for line in printed)
    assert (tmp_path / "out/report.txt").read_text().splitlines()[1:-1] == printed


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--test-speakers", "inf", "a number of speakers, or a share"),
        ("--test-speakers", "nan", "a number of speakers, or a share"),
        ("--sample-rate", "-16000", "a rate in Hz"),
        ("--sample-rate", "0", "a rate in Hz"),
        ("--min-seconds", "-1", "a number of seconds, 0 or more"),
        ("--min-seconds", "inf", "a number of seconds, 0 or more"),
    ],
)
def test_numbers_of_options(root: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, expected: str):
    with pytest.raises(SystemExit):
        prepare(capsys, "folders", root, root.parent / "no", f"{option}={value}")
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith(
            f"argument {option}: {value}: expected {expected}"
            + (" such as 16000" if "Hz" in expected else " between 0 and 1" if "share" in expected else "")
        )
    )


def test_the_rate_of_a_check(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["check", "any.tsv", "--sample-rate=0"])
    assert capsys.readouterr().err.endswith("argument --sample-rate: 0: expected a rate in Hz such as 16000\n")
