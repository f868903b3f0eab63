"""Commands say of packed recordings what they say of loose ones."""

import json
from pathlib import Path

import numpy as np
import pytest

from csc_fairseq.cli.main import main
from tests.making import bundled, speaker_encoder, write_voices


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One manifest of loose and one of packed voices, and beside the first a model."""
    folder = tmp_path_factory.mktemp("voices")
    loose = write_voices(folder, "test", {speaker: range(3) for speaker in range(3)}).path
    bundled(speaker_encoder(0), folder / "model.pt")
    assert main(["pack", str(loose), "--out", str(folder / "packed"), "--shard-size", "200K"]) == 0
    return [loose, folder / "packed" / "test.tsv"]


def test_what_it_says(manifests: list[Path], tmp_path: Path, capsys):
    assert main(["pack", str(manifests[0]), "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path}/test.tsv: 9 recordings in 1 archive, ")


def test_check(manifests: list[Path], capsys):
    assert main(["check", *map(str, manifests), "--deep"]) == 0
    loose, packed, *notes = capsys.readouterr().out.splitlines()
    assert loose.partition(": ")[2] == packed.partition(": ")[2]
    assert "share 9 recordings" in notes[0] and "under other names" in notes[0]
    assert "share 3 speakers" in notes[1] and len(notes) == 2


def test_embed(manifests: list[Path], tmp_path: Path):
    found = []
    for number, path in enumerate(manifests):
        out = tmp_path / f"{number}.npz"
        assert main(["embed", str(path), "--model", str(manifests[0].with_name("model.pt")), "--out", str(out)]) == 0
        found.append(dict(np.load(out)))
    loose, packed = found
    assert loose.keys() == packed.keys()
    for name, values in loose.items():
        np.testing.assert_array_equal(values, packed[name])


def test_evaluate(manifests: list[Path], tmp_path: Path):
    """Trials and interferers are of the same recordings: they are named, and drawn by names."""
    conditions = tmp_path / "two.yaml"
    conditions.write_text("- {name: clean}\n- {name: talker, talkers: 1, sir_db: 0}\n")
    options = f"--encoder mfcc --conditions {conditions} --replicates 10 --jobs 1".split()
    found = []
    for number, path in enumerate(manifests):
        out = tmp_path / str(number)
        assert main(["evaluate", "--manifest", str(path), *options, "--out", str(out)]) == 0
        found.append([(out / "trials.txt").read_text(), json.loads((out / "results.json").read_text())["results"]])
    assert found[0] == found[1]
