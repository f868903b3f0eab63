from pathlib import Path

import numpy as np
import pytest

from csc_fairseq.cli.main import main
from csc_fairseq.data.fixed_mixtures import are_fixed_mixtures, read_fixed_mixtures
from tests.making import fails, voice, write_recording, write_recordings


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Two mixtures of two sources each."""
    sources = {f"s{c}/{name}.wav": voice(c, number, 0.3) for number, name in enumerate("ab") for c in (1, 2)}
    for name, samples in sources.items():
        write_recording(tmp_path / "audio" / name, samples)
    mixed = {f"mix/{name}.wav": sources[f"s1/{name}.wav"] + sources[f"s2/{name}.wav"] for name in "ab"}
    for name in mixed:
        (tmp_path / "audio" / name).parent.mkdir(exist_ok=True)
    path = write_recordings(tmp_path / "test.tsv", mixed, root=tmp_path / "audio").path
    write(path, "sources", "s1/a.wav\ts2/a.wav", "s1/b.wav\ts2/b.wav")
    write(path, "speakers", "ann\tben", "ben\tcy")
    return path


def write(manifest: Path, suffix: str, *lines: str) -> None:
    manifest.with_suffix(f".{suffix}").write_text("".join(f"{line}\n" for line in lines))


def test_mixtures_sources_and_speakers(manifest: Path):
    found = read_fixed_mixtures(manifest)
    assert are_fixed_mixtures(manifest) and len(found) == found.count == 2
    assert found.files(1) == [manifest.parent / f"audio/s{c}/b.wav" for c in (1, 2)]
    assert list(found.speakers) == ["ann", "ben", "ben", "cy"]
    mixture, sources = found.load(1, 16000)
    np.testing.assert_array_equal(sources, [voice(1, 1, 0.3), voice(2, 1, 0.3)])
    np.testing.assert_array_equal(mixture, sources.sum(0))
    part, sources_part = found.load(1, 16000, start=100, frames=50)
    np.testing.assert_array_equal(part, mixture[100:150])
    np.testing.assert_array_equal(sources_part, sources[:, 100:150])
    assert found.load(0, 8000, resample=True)[1].shape == (2, 2400)
    manifest.with_suffix(".speakers").unlink()
    assert read_fixed_mixtures(manifest).speakers is None


def test_files_that_do_not_fit(manifest: Path):
    sources, speakers = (manifest.with_suffix(f".{suffix}") for suffix in ("sources", "speakers"))
    for suffix, lines, said in (
        ("speakers", ["ann\tben", "ann\t"], f"{speakers}:2: has an empty column; expected one of speakers in each"),
        ("speakers", ["ann", "ben"], f"{speakers}:1: names 1 speakers, expected 2"),
        ("speakers", ["ann\tben"], f"{speakers}: has 1 lines, but {manifest} has 2 mixtures"),
        ("sources", ["s1/a.wav\ts2/a.wav", "s1/b.wav"], f"{sources}:2: has 1 columns, expected 2 as in line 1"),
        ("sources", ["s1/a.wav\ts1/a.wav", "s1/b.wav\ts2/b.wav"], f"{sources}:1: names one source twice"),
    ):
        write(manifest, suffix, *lines)
        assert fails(read_fixed_mixtures, manifest).startswith(said)
    sources.unlink()
    assert not are_fixed_mixtures(manifest)
    assert fails(read_fixed_mixtures, manifest).startswith(
        f"{sources}: no such file; expected the paths of the sources"
    )


def test_sources_that_do_not_fit(manifest: Path, capsys: pytest.CaptureFixture[str]):
    audio, sources = manifest.parent / "audio", manifest.with_suffix(".sources")
    write_recording(audio / "s2/b.wav", voice(2, 1, 0.2))
    write_recording(audio / "s1/a.wav", voice(1, 0, 0.6), 32000)
    mixtures = read_fixed_mixtures(manifest)
    assert fails(mixtures.load, 1, 16000).startswith(f"{sources}:2: {audio}/s2/b.wav has 3200 samples, but its mixture")
    mixtures.require_fitting(0, 16000, resample=True)
    assert main(["check", str(manifest)]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith(f"{sources}:1: {audio}/s1/a.wav: has 32000 Hz, expected 16000 Hz")
    assert printed[1].startswith(
        f"{sources}:2: {audio}/s2/b.wav has 3200 samples, but its mixture {audio}/mix/b.wav has 4800;"
    )
    assert len(printed) == 2


def test_check_without_audio(manifest: Path, capsys: pytest.CaptureFixture[str]):
    """Columns are looked at, and the other manifests, too."""
    other = write_recordings(manifest.with_name("other.tsv"), {"a.wav": voice(3, 0, 0.3)}).path
    for files in ("speakers", "ann\tben"), ("sources", "s1/a.wav\ts2/a.wav", "s1/b.wav"):
        write(manifest, *files)
        assert main(["check", str(manifest), str(other), "--no-audio"]) == 1
        fault, good = capsys.readouterr().out.splitlines()
        assert good.startswith(f"OK {other}: 1 recordings")
        told = {"speakers": ": has 1 lines, but", "sources": ":2: has 1 columns, expected 2 as in line 1"}[files[0]]
        assert fault.startswith(f"{manifest.with_suffix(f'.{files[0]}')}{told}")


def test_deep_hears_silent_and_damaged_sources(manifest: Path, capsys: pytest.CaptureFixture[str]):
    audio, sources = manifest.parent / "audio", manifest.with_suffix(".sources")
    padded = voice(1, 0, 0.3)
    padded[1600:] = 0  # shorter than the other one, as in LibriMix's longest mixtures
    write_recording(audio / "s1/a.wav", padded)
    write_recording(audio / "s2/b.wav", np.zeros(4800))
    assert main(["check", str(manifest)]) == 0
    capsys.readouterr()
    assert main(["check", str(manifest), "--deep"]) == 1
    assert capsys.readouterr().out == (
        f"{sources}:2: {audio}/s2/b.wav: is digitally silent, expected a talker; leave this mixture out\n"
    )
    write_recording(audio / "s2/b.wav", np.full(4800, np.nan))
    assert main(["check", str(manifest), "--deep"]) == 1
    assert capsys.readouterr().out.startswith(f"{sources}:2: {audio}/s2/b.wav: has NaN or infinite samples")


def test_check_tells_of_shared_speakers(manifest: Path, capsys: pytest.CaptureFixture[str]):
    """Those of sources and those of recordings."""
    signals = {f"{name}.wav": voice(number, 9, 0.3) for number, name in enumerate(("ben", "dora"))}
    train = write_recordings(manifest.with_name("train.tsv"), signals, ["ben", "dora"]).path
    assert main(["check", str(train), str(manifest), "--no-audio"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"note: {train} and {manifest} share 1 speaker (ben)"
