"""`csc prepare table`: labels of a table or of names, and patterns."""

from pathlib import Path

import pytest

from csc_fairseq.cli.main import main
from csc_fairseq.data.manifest import read_labels, read_manifest
from tests.corpora.preparing import check, complaint, contents, prepare
from tests.corpora.trees import speak, write_text


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four speakers, three recordings each, in one folder of names such as p1_2.wav; a fifth who is alone."""
    root = tmp_path_factory.mktemp("clips")
    for speaker in range(4):
        for take in range(3):
            speak(root / "a b" / f"p{speaker}_{take}.wav", speaker, take)
    speak(root / "other.flac", 9, 9)
    return root


def rows(separator: str, quote: str = "") -> list[str]:
    lines = [separator.join(("id", "file", "who", "part", "day"))]
    for speaker in range(4):
        for take in range(3):
            who, part = f"{quote}Speaker {speaker}{quote}", "test" if speaker == 3 else "train"
            lines.append(separator.join((str(take), f"a b/p{speaker}_{take}.wav", who, part, f"d{take % 2}")))
    return lines


COLUMNS = ("--path-column", "file", "--speaker-column", "who")


def words(root: Path, *others: str) -> list[str]:
    return ["--root", str(root), *COLUMNS, *others]


def test_all_columns(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    table, out = write_text(tmp_path / "t.csv", rows(",", '"')), tmp_path / "out"
    printed = prepare(capsys, "table", table, out, *words(root, "--split-column", "part", "--session-column", "day"))
    train, test = read_manifest(out / "train.tsv"), read_manifest(out / "test.tsv")
    assert train.root == root and tuple(train.names[:2]) == ("a b/p0_0.wav", "a b/p0_1.wav") and len(train) == 9
    assert read_labels(train, "spk")[2:4] == ["Speaker 0", "Speaker 1"]
    assert read_labels(test, "session") == ["d0", "d1", "d0"]
    assert printed[3:] == [f"left out, not in {table}: 1 recordings"]
    check(out, "train")


def test_separators_and_endings(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Tabs, semicolons and bars say the same; so do absolute paths, and paths without an ending."""
    expected = None
    for separator in ("\t", ";", "|"):
        lines = rows(separator)
        if separator == ";":
            lines = [line.replace("a b/", f"{root}/a b/") for line in lines]
        if separator == "|":
            lines = [line.replace(".wav", "") for line in lines]
        prepare(capsys, "table", write_text(tmp_path / "t", lines), tmp_path / "out", *words(root))
        found = {name: bytes for name, bytes in contents(tmp_path / "out").items() if name != "report.txt"}
        assert expected in (None, found)
        expected = found
    assert set(expected) == {"train.tsv", "train.spk"}


def test_rows_without_a_recording_are_left_out_if_told_to(root: Path, tmp_path: Path):
    table, out = (
        write_text(tmp_path / "t.csv", [*rows(","), "1,gone.wav,x,train,d", "2,lost.wav,x,train,d"]),
        tmp_path / "out",
    )
    assert main(["prepare", "table", str(table), "--out", str(out), *words(root, "--skip-bad")]) == 0
    skipped = (out / "skipped.txt").read_text().splitlines()
    assert [line.partition(":")[2][:25] for line in skipped] == [
        "14: no recording gone.wav",
        "15: no recording lost.wav",
    ]
    assert len(read_manifest(out / "train.tsv")) == 12


def test_names_alone(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"

    def run(regex: str, *options: str) -> int:
        return main(["prepare", "table", "--root", str(root), "--speaker-regex", regex, "--out", str(out), *options])

    assert run("p[0-9]+_") == 2
    assert "finds no speaker in 1 of 13 paths, such as other.flac; correct it" in capsys.readouterr().err
    assert run("(p[0-9]+)_", "--exclude", "other*") == 0
    assert read_labels(read_manifest(out / "train.tsv"), "spk") == [f"p{i // 3}" for i in range(12)]
    assert "left out by --include and --exclude: 1 of 13 recordings" in capsys.readouterr().out
    assert (
        run(
            "(?P<speaker>p[0-9])_(?P<session>[0-9])",
            "--include",
            "*/p*",
            "--test-speakers",
            "0.25",
            "--dev-speakers",
            "1",
        )
        == 0
    )
    assert [
        len(set(read_labels(read_manifest(out / f"{split}.tsv"), "spk"))) for split in ("train", "dev", "test")
    ] == [2, 1, 1]
    assert set(read_labels(read_manifest(out / "train.tsv"), "session")) == {"0", "1", "2"}
    assert run("(", "--exclude", "other*") == 2
    assert "is no regular expression (" in capsys.readouterr().err
    assert run("p", "--include", "q*") == 2
    assert "--include 'q*': fits none of 13 recordings, such as a b/p0_0.wav" in capsys.readouterr().err
    assert run("p", "--exclude", "*") == 2
    assert "--include and --exclude leave none of 13 recordings" in capsys.readouterr().err


def test_what_is_wrong(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    table, out = tmp_path / "t.tsv", tmp_path / "out"

    def said(lines: list[str], *options: str) -> str:
        return complaint(capsys, "table", write_text(table, lines), out, *words(root, *options))

    good = rows("\t")
    header = "id\tfile\twho\tpart\tday"
    assert said(["id,who,part", "1,2,3"]).startswith(
        f"{table}:1: has the header 'id,who,part', expected the columns file, who"
    )
    assert said([header, "1\ta b/p9_9.wav\tx\ttrain\td"]).startswith(
        f"{table}:2: no recording a b/p9_9.wav below {root}, such as a b/p0_0"
    )
    assert said([header, "1\t/elsewhere/p0_0.wav\tx\ttrain\td"]).startswith(
        f"{table}:2: no recording /elsewhere/p0_0.wav"
    )
    assert said([*good, good[1]]).startswith(f"{table}:14: a b/p0_0.wav is on line 2 already; keep one row")
    assert said([header, "1\ta b/p0_0.wav\t\ttrain\td"]).startswith(f"{table}:2: has nothing in column who; fill it")
    assert said([header, "1\ta b/p0_0.wav"]).startswith(f"{table}:2: has 2 fields, expected 5 as in line 1")
    assert said([header]).startswith(f"{table}: has no rows below its header")
    assert said([f"{header}\twho"]).startswith(f"{table}:1: has two columns who; rename one")
    quoted = ["file,who,text", 'a b/p0_0.wav,x,"one', 'two"', "a b/p0_1.wav,x,three"]
    assert said(quoted).startswith(
        f"{table}:2: has a quote that does not end in this line; expected a row in each line"
    )
    slash = [line.replace("\ttest\t", "\t../x\t") for line in good]
    assert "split '../x' cannot name a file" in said(slash, "--split-column", "part")
    assert "--test-speakers: there are the splits test, train already" in said(
        good, "--split-column", "part", "--test-speakers", "1"
    )
    assert said(good, "--speaker-regex", "p").startswith("expected either a TABLE with")
    alone = complaint(capsys, "table", table, out, "--root", str(root), "--path-column", "file")
    assert alone.startswith(
        f"{table}: which columns are the path and the speaker? add --path-column and --speaker-column"
    )
    (tmp_path / "q.csv").write_text('file,who\n"a b/p0_0.wav,x\n')
    assert complaint(capsys, "table", tmp_path / "q.csv", out, *words(root)).startswith(f"{tmp_path}/q.csv:2: ")
    assert not out.exists()


def test_a_speaker_in_two_splits(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    lines = [line.replace("\ttest\t", "\ttrain\t") for line in rows("\t")]
    lines[-1] = lines[-1].replace("\ttrain\t", "\tdev\t")
    lines[-4] = lines[-4].replace("\ttrain\t", "\tvalid\t")
    printed = prepare(
        capsys, "table", write_text(tmp_path / "t", lines), tmp_path / "out", *words(root, "--split-column", "part")
    )
    notes = [line for line in printed if line.startswith("note: ")]
    assert len(notes) == 1 and notes[0].startswith("note: Speaker 3: 1 speakers are in both train and dev")


def test_drawn_speakers_of_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The draw hangs on the seed and the speaker: speakers who are added take places, and move nobody else."""
    for speaker in range(12):
        for take in range(2):
            speak(tmp_path / "s" / f"s{speaker:02}" / f"{take}.wav", speaker, take, seconds=0.1)
    options = ["--test-speakers", "3", "--include", "s0*"]

    def drawn(*others: str) -> set[str]:
        prepare(capsys, "folders", tmp_path / "s", tmp_path / "out", *options, *others)
        return set(read_labels(read_manifest(tmp_path / "out" / "test.tsv"), "spk"))

    few = drawn()
    options = options[:2]
    more = drawn()
    assert len(few) == len(more) == 3 and more <= few | {"s10", "s11"}
    assert drawn("--seed", "2") != more
    (tmp_path / "splits").write_text("s00 train\n")
    said = complaint(capsys, "folders", tmp_path / "s", tmp_path / "no", *options, "--splits", str(tmp_path / "splits"))
    assert said.startswith("--splits gives the splits, and --test-speakers and --dev-speakers draw them; give one")
