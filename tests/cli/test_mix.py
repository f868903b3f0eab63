"""`csc mix` renders what MixtureDataset yields, sample for sample."""

import json

import numpy as np
import pytest
import soundfile

from csc_fairseq.cli.main import main
from csc_fairseq.data.manifest import read_labels, read_manifest, write_manifest
from csc_fairseq.data.mixing import MixingOptions
from csc_fairseq.data.mixture_dataset import MixtureDataset
from csc_fairseq.data.pool import RecordingPool


@pytest.fixture
def dataset(corpus):
    """The training's dataset over the corpus, with the options below."""

    def make(**keywords):
        manifest = read_manifest(corpus / "train.tsv")
        labels = read_labels(manifest, "spk")
        table = {label: row for row, label in enumerate(sorted(set(labels)))}
        options = MixingOptions(view_frames=6400, single_talker_share=0.4, sir_db=(-3.0, 3.0), rir_probability=0.0)
        pool = RecordingPool(manifest, labels, table, 16000)
        return MixtureDataset(pool, options, **{"seed": 7, "split_key": "train", **keywords})

    return make


OPTIONS = ["--view-seconds", "0.4", "--single-talker-share", "0.4", "--sir", "-3", "3", "--seed", "7"]


def test_mixes_are_those_of_training(corpus, dataset, tmp_path, capsys):
    out = tmp_path / "mixes"
    arguments = ["mix", str(corpus / "train.tsv"), "--index", "5", "0", "--epoch", "3", *OPTIONS, "--out", str(out)]
    assert main(arguments) == 0
    assert "4 mixtures of 2 target recordings" in capsys.readouterr().out
    training = dataset()
    training.set_epoch(3)
    report = json.loads((out / "mixes.json").read_text())
    assert (report["split"], report["seed"], report["when"]) == ("train", 7, "epoch3")
    assert [mix["file"] for mix in report["mixes"]] == [
        f"train_epoch3_{target}_view{view}.wav" for target in (5, 0) for view in (1, 2)
    ]
    names, files = training.pool.manifest.names, {"mixes.json"}
    for mix, expected in zip(report["mixes"], training[5][1] + training[0][1], strict=True):
        samples, rate = soundfile.read(out / mix["file"], dtype="float32")
        assert rate == 16000
        np.testing.assert_array_equal(samples, expected.samples)
        files.add(mix["file"])
        for slot in range(2):
            if not expected.present[slot]:
                assert mix["talkers"][slot] is None
                continue
            name = f"{mix['file'][:-4]}_source{slot + 1}.wav"
            files.add(name)
            np.testing.assert_array_equal(soundfile.read(out / name, dtype="float32")[0], expected.sources[slot])
            recording = names[expected.recordings[slot]]
            assert mix["talkers"][slot] == {"identity": f"speaker{recording[1]}", "recording": recording}
    assert {path.name for path in out.iterdir()} == files
    assert report["mixes"][0]["plan"]["sources"][0]["recording"] == 5


def test_other_epochs_seeds_and_splits_mix_differently(corpus, dataset, tmp_path):
    manifest = str(corpus / "train.tsv")

    def first(*arguments):
        assert main(["mix", manifest, *OPTIONS, "--out", str(tmp_path / "mixes"), *arguments]) == 0
        report = json.loads((tmp_path / "mixes" / "mixes.json").read_text())
        return soundfile.read(tmp_path / "mixes" / report["mixes"][0]["file"], dtype="float32")[0]

    usual = first()
    np.testing.assert_array_equal(usual, first("--epoch", "1"))
    np.testing.assert_array_equal(first("--split", "valid"), dataset(split_key="valid", fixed=True)[0][1][0].samples)
    for other in (["--epoch", "2"], ["--seed", "8"], ["--split", "valid"], ["--identity", "utterance"]):
        assert not np.array_equal(usual, first(*other)), other


def test_noise_and_rooms(corpus, tmp_path):
    rng = np.random.default_rng(0)
    for name, samples in {"noise": rng.standard_normal(20000) * 0.1, "rir": np.r_[1.0, np.zeros(400), 0.5]}.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, 16000, subtype="FLOAT")
        write_manifest(tmp_path / f"{name}.tsv", tmp_path, [(f"{name}.wav", len(samples))])
    arguments = ["--noise", str(tmp_path / "noise.tsv"), "--noise-probability", "1", "--snr", "3", "3"]
    arguments += ["--rir", str(tmp_path / "rir.tsv"), "--rir-probability", "1"]
    assert main(["mix", str(corpus / "train.tsv"), *OPTIONS, *arguments, "--out", str(tmp_path / "mixes")]) == 0
    for mix in json.loads((tmp_path / "mixes" / "mixes.json").read_text())["mixes"]:
        plan = mix["plan"]
        assert plan["noise"]["recording"] == 0 and plan["noise"]["snr_db"] == 3
        assert all(source["rir"] == 0 for source in plan["sources"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--index", "12"], "has recordings 0 to 11, --index asked for 12"),
        (["--count", "0"], "--count is 0, expected 1 or more"),
        (["--split", "valid", "--epoch", "1"], "split 'valid' has fixed mixes"),
        (["--view-seconds", "3"], "train.tsv"),
        (["--identity", "mood"], "identity level 'mood' is unknown"),
        (["--identity", "cluster"], "train.cluster: no such file"),
        (["--sir", "5", "-5"], "sir_db is (5.0, -5.0)"),
        (["--noise", "absent.tsv"], "absent.tsv: cannot be read"),
    ],
)
def test_bad_input(corpus, tmp_path, capsys, arguments, message):
    assert (
        main(["mix", str(corpus / "train.tsv"), "--view-seconds", "0.4", *arguments, "--out", str(tmp_path / "m")]) == 2
    )
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "m").exists()
