"""`csc prepare musan` and `rirs`: manifests without labels, and one channel of several."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from csc_fairseq.cli.main import main
from csc_fairseq.data.manifest import read_manifest
from tests.corpora.preparing import check, complaint, contents, prepare
from tests.corpora.trees import musan, rirs


def test_parts_of_musan(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root, out = musan(tmp_path / "musan"), tmp_path / "out"
    printed = prepare(capsys, "musan", root, out)
    assert set(contents(out)) == {"noise.tsv", "report.txt"}
    assert read_manifest(out / "noise.tsv").names == (
        "noise/free-sound/noise-free-sound-0000.wav",
        "noise/sound-bible/noise-sound-bible-0000.wav",
    )
    assert printed == [
        "split         recordings    hours",
        "noise                  2     0.00",
        "left out, not in --part: music, speech",
    ]
    prepare(capsys, "musan", root, tmp_path / "all", "--part", "speech", "music", "noise")
    assert {path.name for path in (tmp_path / "all").glob("*.tsv")} == {"noise.tsv", "music.tsv", "speech.tsv"}
    assert read_manifest(tmp_path / "all" / "music.tsv").names == ("music/fma/music-fma-0000.wav",)
    check(tmp_path / "all", "noise", "music", "speech")
    assert complaint(capsys, "musan", tmp_path, out).startswith(
        f"{tmp_path}/noise: no such folder; expected noise/SOURCE/noise-"
    )
    with pytest.raises(SystemExit):  # nothing is held out of noise
        main(["prepare", "musan", str(root), "--out", str(out), "--valid-share", "0.1"])


def test_room_responses(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root, out = rirs(tmp_path / "RIRS_NOISES"), tmp_path / "out"
    printed = prepare(capsys, "rirs", root, out)
    assert {path.name for path in out.glob("*.tsv")} == {
        f"{name}.tsv" for name in ("simulated", "real", "isotropic", "pointsource")
    }
    simulated, real = read_manifest(out / "simulated.tsv"), read_manifest(out / "real.tsv")
    assert simulated.root == root and real.root == out / "audio"
    assert simulated.names[0] == "simulated_rirs/mediumroom/Room001/Room001-00001.wav"
    assert real.names == (
        "real_rirs_isotropic_noises/RVB2014_type1_rir_largeroom1_far_angla.wav",
        "real_rirs_isotropic_noises/air_type1_air_binaural_booth_0_1.wav",
    )
    for i in range(2):
        source, rate = soundfile.read(root / real.names[i], dtype="float32")
        written, written_rate = soundfile.read(real.file(i), dtype="float32")
        assert written.ndim == 1 and np.array_equal(written, source[:, 0]) and rate == written_rate
    assert read_manifest(out / "isotropic.tsv").names == (
        "real_rirs_isotropic_noises/RVB2014_type1_noise_largeroom1_1.wav",
    )
    assert f"real and isotropic: first channels of 3 files, written to {out}/audio" in printed
    check(out, "simulated", "real", "isotropic", "pointsource")
    first = contents(out)
    prepare(capsys, "rirs", root, out)
    assert contents(out) == first


def test_first_channels_below_the_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """They are no responses of the next run, and never take the place of their sources."""
    root = rirs(tmp_path / "RIRS_NOISES")
    words = ["--audio", str(root / "simulated_rirs" / "audio")]
    prepare(capsys, "rirs", root, tmp_path / "out", *words)
    first = contents(tmp_path / "out")
    prepare(capsys, "rirs", root, tmp_path / "out", *words)
    assert contents(tmp_path / "out") == first
    said = complaint(capsys, "rirs", root, tmp_path / "no", "--audio", str(root))
    assert (
        said.startswith(f"{root}/real_rirs_isotropic_noises/") and "would be replaced by what is made from it" in said
    )


def test_wrong_rooms(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    assert complaint(capsys, "rirs", tmp_path, out).startswith(
        f"{tmp_path}: has none of the folders simulated_rirs, real_rirs"
    )
    root = rirs(tmp_path / "RIRS_NOISES")
    real = root / "real_rirs_isotropic_noises"
    noise = real / "RVB2014_type1_noise_largeroom1_1.wav"
    noise.unlink()
    assert complaint(capsys, "rirs", root, out).startswith(
        f"{real}/noise_list:1: no file {noise}; expected what RIRS_NOISES/real"
    )
    noise.write_bytes(b"RIFF")
    assert complaint(capsys, "rirs", root, out).startswith(f"{noise}: cannot be read (")
    (real / "noise_list").unlink()
    assert complaint(capsys, "rirs", root, out).startswith(f"{real}/noise_list: cannot be read")
