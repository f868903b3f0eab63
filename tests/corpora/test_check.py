"""Every fault of a manifest is found with its line, a good manifest passes, and shared speakers are noted."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from csc_fairseq.cli.main import main
from csc_fairseq.corpora.check import check_manifest
from csc_fairseq.corpora.overlaps import compare_manifests
from csc_fairseq.data.manifest import read_labels, read_manifest, write_labels, write_manifest
from csc_fairseq.errors import InputError

RATE = 16000


def sound(path: Path, frames: int = 1600, rate: int = RATE, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (frames, channels) if channels > 1 else frames
    soundfile.write(path, 0.1 * np.random.default_rng(list(str(path).encode())).standard_normal(shape), rate)


def tone(frames: int) -> np.ndarray:
    """A tone of half the rate: no sample is like the one before."""
    return np.tile(np.float32([0.1, -0.1]), frames // 2)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """train.tsv with four recordings of two speakers."""
    names = ["anna/1.wav", "anna/2.flac", "ben/1.wav", "ben/2.wav"]
    for name in names:
        sound(tmp_path / "audio" / name)
    write_manifest(tmp_path / "train.tsv", tmp_path / "audio", [(name, 1600) for name in names])
    write_labels(tmp_path / "train.spk", ["anna", "anna", "ben", "ben"])
    return tmp_path / "train.tsv"


def found(path: Path, **options) -> list[tuple[str, int, str]]:
    return [(problem.file.name, problem.line, problem.message) for problem in check_manifest(path, **options)]


def test_a_good_manifest_has_no_problems(good: Path):
    assert found(good) == []
    assert found(good, deep=True, jobs=1) == []


def test_every_problem_is_found_on_its_line(tmp_path: Path):
    root = tmp_path / "audio"
    for name in ("ok", "short", "again"):
        sound(root / f"{name}.wav")
    sound(root / "slow.wav", rate=8000)
    sound(root / "stereo.wav", channels=2)
    (root / "noise.flac").write_bytes(b"fLaC, but nothing after")
    lines = [
        str(root),
        "ok.wav\t1600",
        "gone.wav\t1600",
        "short.wav\t1700",
        "slow.wav\t1600",
        "no tab",
        "stereo.wav\t1600",
        "noise.flac\t1600",
        "again.wav\t1600",
        "./again.wav\t1600",
        "zero.wav\t0",
    ]
    path = tmp_path / "x.tsv"
    path.write_text("\n".join(lines) + "\n")
    expected = [
        (3, "gone.wav: no such file"),
        (4, "short.wav: has 1600 samples, the manifest says 1700"),
        (5, "slow.wav: has 8000 Hz, expected 16000 Hz"),
        (6, "found 'no tab'"),
        (7, "stereo.wav: has 2 channels"),
        (8, "noise.flac: is not intact"),
        (10, "./again.wav is already on line 9"),
        (11, "found length '0'"),
    ]
    problems = check_manifest(path, jobs=3)
    assert [problem.line for problem in problems] == [line for line, _ in expected]
    for problem, (line, text) in zip(problems, expected, strict=True):
        assert text in problem.message
        assert str(problem).startswith(f"{path}:{line}: ")
        assert "\n" not in str(problem)


def test_label_files(good: Path):
    good.with_suffix(".spk").write_text("anna\nanna\nben\n")
    good.with_suffix(".session").write_text("s1\n\ns2\ns2\ns2\n")
    good.with_suffix(".cluster").write_text("7\n7\n7\n7\n")
    problems = found(good)
    assert [(file, line) for file, line, _ in problems] == [
        ("train.spk", 4),
        ("train.session", 5),
        ("train.session", 2),
        ("train.cluster", 1),
    ]
    assert "has 3 lines" in problems[0][2]
    assert "has 5 lines" in problems[1][2]
    assert "is empty" in problems[2][2]
    assert "single identity '7'" in problems[3][2]


def test_labels_are_counted_against_all_lines_of_the_manifest(good: Path):
    """A broken line must not make the label file look too long."""
    good.write_text(good.read_text().replace("anna/2.flac\t1600", "anna/2.flac"))
    assert [(file, line) for file, line, _ in found(good)] == [("train.tsv", 3)]


def test_unusable_manifests(tmp_path: Path):
    assert found(tmp_path / "gone.tsv")[0][:2] == ("gone.tsv", 0)
    (tmp_path / "x.tsv").write_text(f"{tmp_path}\n")
    assert found(tmp_path / "x.tsv")[0][2].startswith("holds no recordings")
    (tmp_path / "x.tsv").write_text("/no/such/folder\n" + "".join(f"{i}.wav\t5\n" for i in range(9)))
    problems = found(tmp_path / "x.tsv")
    assert len(problems) == 1  # not nine missing files
    assert problems[0][1] == 1


def test_deep_finds_what_headers_hide(good: Path):
    root = good.parent / "audio"
    soundfile.write(root / "anna/1.wav", np.zeros(1600), RATE)
    sound(root / "anna/2.flac", 32000)
    good.write_text(good.read_text().replace("2.flac\t1600", "2.flac\t32000"))
    content = bytearray((root / "anna/2.flac").read_bytes())
    content[len(content) // 2] ^= 0x10
    (root / "anna/2.flac").write_bytes(content)
    samples = tone(1600)
    samples[-1] = np.nan
    soundfile.write(root / "ben/1.wav", samples, RATE, subtype="FLOAT")
    assert found(good) == []
    problems = found(good, deep=True)
    assert [line for _, line, _ in problems] == [2, 3, 4]
    assert "digitally silent" in problems[0][2]
    assert "corrupt" in problems[1][2]
    assert "NaN" in problems[2][2]


def test_deep_decodes_beyond_the_first_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("csc_fairseq.corpora.check.DEEP_BLOCK_SECONDS", 1)
    samples = tone(30000)
    samples[29999] = np.inf
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    write_manifest(tmp_path / "x.tsv", tmp_path, [("a.wav", 30000)])
    assert "NaN or infinite" in found(tmp_path / "x.tsv", deep=True)[0][2]
    samples[:] = 0
    samples[29999] = 0.5  # a sound at the end counts
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    assert found(tmp_path / "x.tsv", deep=True) == []


def test_deep_finds_long_silence_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Silent from sample 30 000 up to 70 000, decoded in blocks of 16 000; a pause of one second is speech."""
    monkeypatch.setattr("csc_fairseq.corpora.check.DEEP_BLOCK_SECONDS", 1)
    samples = tone(120000)
    samples[30000:70000] = 0
    samples[90000:106000] = 0
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    write_manifest(tmp_path / "x.tsv", tmp_path, [("a.wav", 120000)])
    (problem,) = found(tmp_path / "x.tsv", deep=True)
    assert "silent for 2.5 s from 1.9 s on" in problem[2]
    samples[50000] = 0.1
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    assert found(tmp_path / "x.tsv", deep=True) == []


def test_other_rates_count_samples_at_the_target_rate(tmp_path: Path):
    sound(tmp_path / "a.wav", frames=8000, rate=8000)
    write_manifest(tmp_path / "x.tsv", tmp_path, [("a.wav", 16000)])
    assert len(found(tmp_path / "x.tsv")) == 1
    assert found(tmp_path / "x.tsv", resample=True, deep=True) == []
    assert len(found(tmp_path / "x.tsv", sample_rate=8000)) == 1  # 8000 samples there, not 16000


def copy(good: Path, name: str, speakers: list[str], rows: slice) -> Path:
    manifest = read_manifest(good)
    path = good.with_name(f"{name}.tsv")
    write_manifest(path, manifest.root, [(recording, 1600) for recording in manifest.names[rows]])
    write_labels(path.with_suffix(".spk"), speakers)
    return path


def test_notes_on_shared_speakers_and_recordings(good: Path):
    valid = copy(good, "valid", ["anna", "ben"], slice(2, 4))
    test = copy(good, "test", ["ben", "cleo"], slice(1, 3))
    # The last one, because it replaces the file that the others are made from.
    train = copy(good, "train", ["anna", "ben"], slice(0, 2))

    def notes(*paths: Path) -> list[str]:
        return compare_manifests([read_manifest(path) for path in paths])

    assert notes(train, valid) == []  # by design
    assert notes(train, test) == [
        f"{train} and {test} share 1 recording ({good.parent}/audio/anna/2.flac)",
        f"{train} and {test} share 1 speaker (ben)",
    ]
    write_labels(valid.with_suffix(".spk"), ["anna", "dora"])
    assert notes(valid, train) == [f"{valid} has 1 speaker (dora) unknown to {train}"]


def test_command(good: Path, capsys: pytest.CaptureFixture[str]):
    other = copy(good, "test", ["ben", "cleo"], slice(2, 4))
    assert main(["check", str(good), str(other)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"OK {good}: 4 recordings, 0.00 h, 2 speakers"
    assert lines[1].startswith(f"OK {other}: 2 recordings")
    assert [line[:6] for line in lines[2:]] == ["note: ", "note: "]

    (good.parent / "audio/ben/2.wav").unlink()
    assert main(["check", str(good), str(good.parent / "gone.tsv")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{good}:5: {good.parent}/audio/ben/2.wav: no such file")
    assert lines[1].startswith(f"{good.parent}/gone.tsv: cannot be read")
    assert len(lines) == 2
    assert main(["check", str(good), "--jobs", "0"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_recordings_that_are_there_twice(good: Path):
    """Under another ending, in another Unicode form, and the same audio under another name: each on its line."""
    root = good.parent / "audio"
    sound(root / "anna/1.flac")
    names = ["anna/1.flac", "José.wav", "Jose\u0301.wav", "ben/copy.wav"]
    for name in names[1:3]:
        sound(root / name)
    (root / "ben/copy.wav").write_bytes((root / "ben/2.wav").read_bytes())
    write_manifest(
        good, root, [*((name, 1600) for name in read_manifest(good).names), *((name, 1600) for name in names)]
    )
    good.with_suffix(".spk").write_text("anna\n" * 2 + "ben\n" * 2 + "anna\nJosé\nJose\u0301\nben\n")
    problems = found(good)
    assert [(file, line) for file, line, _ in problems] == [("train.tsv", line) for line in (6, 8, 9)] + [
        ("train.spk", 7)
    ]
    assert problems[0][2] == (
        "anna/1.flac differs from the recording on line 2 in its ending alone; remove one of the two"
    )
    assert (
        "differs from the recording on line 7 ('Jose\\u0301.wav', 'Jos\\xe9.wav') in its Unicode form alone"
        in problems[1][2]
    )
    assert problems[2][2] == "ben/copy.wav is the same audio as ben/2.wav on line 5; remove one of the two"
    assert problems[3][2].startswith("'Jose\\u0301' and 'Jos\\xe9' differ in their Unicode form alone and count as one")


def test_recordings_that_two_manifests_have(good: Path):
    root = good.parent / "audio"
    sound(root / "anna/2.wav")
    (root / "ben/copy.wav").write_bytes((root / "ben/2.wav").read_bytes())
    write_manifest(good.with_name("test.tsv"), root, [("anna/2.wav", 1600), ("ben/copy.wav", 1600)])
    assert compare_manifests([read_manifest(good), read_manifest(good.with_name("test.tsv"))]) == [
        f"{good} and {good.parent}/test.tsv share 1 recording ({root}/anna/2.flac)",
        f"{good} and {good.parent}/test.tsv share 1 recording ({root}/ben/2.wav = {root}/ben/copy.wav) under other names",
    ]


def test_names_that_leave_the_root(good: Path):
    root = good.parent / "audio"
    sound(good.parent / "other.wav")
    good.write_text(f"{root}\nanna/1.wav\t1600\n../other.wav\t1600\n{root}/ben/1.wav\t1600\nben/../ben/2.wav\t1600\n")
    good.with_suffix(".spk").unlink()
    problems = found(good)
    assert [line for _, line, _ in problems] == [3, 4]
    assert problems[0][2] == ("../other.wav lies outside the audio folder of line 1; write a folder above both there")


def test_a_mark_and_names_of_bytes(good: Path):
    assert found(good) == []
    for path in (good, good.with_suffix(".spk")):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert found(good) == []
    assert sorted(set(read_labels(read_manifest(good), "spk"))) == ["anna", "ben"]
    good.write_bytes(good.read_bytes() + b"caf\xe9.wav\t1600\r\n")
    ((file, line, message),) = found(good)
    assert (file, line) == ("train.tsv", 6)
    assert message.startswith("found caf\\xe9.wav\t1600, which is not UTF-8; ") and "rename recordings" in message


@pytest.mark.parametrize("length", [str(2**48), str(2**63 - 1), str(2**64), "9" * 5000])
def test_lengths_that_no_counter_holds(good: Path, length: str):
    good.write_text(good.read_text().replace("1600", length, 1))
    ((_, line, message),) = found(good)
    assert line == 2 and message.startswith(f"found length '{length[:40]}") and len(message) < 200
    with pytest.raises(InputError, match=r"train.tsv:2: found length '"):
        read_manifest(good)


@pytest.mark.parametrize("coding", ["PCM_U8", "FLOAT"])
def test_deep_hears_no_constant(good: Path, coding: str):
    samples = np.full(1600, -1 / 128, np.float32)
    soundfile.write(good.parent / "audio/anna/1.wav", samples, RATE, subtype=coding)
    assert found(good) == []
    ((_, line, message),) = found(good, deep=True)
    assert line == 2 and "is digitally silent" in message


def test_half_a_recording(good: Path):
    path = good.parent / "audio/anna/1.wav"
    path.write_bytes(path.read_bytes()[: 44 + 1600])
    good.write_text(good.read_text().replace("1.wav\t1600", "1.wav\t800", 1))  # what its size allows
    ((_, line, message),) = found(good)
    assert line == 2 and "its header promises 3200 bytes of samples, and 1600 are there" in message


def test_without_audio(good: Path, capsys: pytest.CaptureFixture[str]):
    """Lines, names and labels are looked at; recordings need not be there."""
    other = copy(good, "test", ["ben", "cleo"], slice(2, 4))
    for path in (good.parent / "audio").rglob("*.*"):
        path.unlink()
    assert main(["check", str(good), str(other), "--no-audio"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"OK {good}: 4 recordings, 0.00 h, 2 speakers"
    assert told[2].startswith(f"note: {good} and {other} share 2 recordings")
    good.write_text(good.read_text() + "ben/1.flac\t1600\n")
    assert [line for _, line, _ in found(good, audio=False)] == [6, 5]  # there twice; no label
    assert main(["check", str(good), "--no-audio", "--deep"]) == 2
    assert "--deep and --no-audio were given" in capsys.readouterr().err
