"""`csc mix` renders what MixtureDataset yields, sample for sample."""

import json

import numpy as np
import pytest
import soundfile

from csc_fairseq.cli.main import main
from csc_fairseq.data.manifest import read_labels, read_manifest
from csc_fairseq.data.mixing_plans import MixingOptions
from csc_fairseq.data.mixture_dataset import MixtureDataset
from csc_fairseq.data.pool import RecordingPool
from tests.making import write_recordings

OVERRIDES = [
    "task.view_seconds=0.4", "task.single_talker_share=0.4", "task.sir_low=-3", "task.sir_high=3", "task.seed=7",
    "task.curriculum_epochs=0", "task.single_talker_share_start=null", "task.noise_probability=0.5", "task.snr_low=0",
    "optimization.max_update=3",
]  # fmt: skip


@pytest.fixture
def dataset(corpus):
    """The training's dataset over the corpus, with the options above."""

    def make(**keywords):
        manifest = read_manifest(corpus / "train.tsv")
        labels = read_labels(manifest, "spk")
        table = {label: row for row, label in enumerate(sorted(set(labels)))}
        options = MixingOptions(view_frames=6400, single_talker_share=0.4, sir_db=(-3.0, 3.0), rir_probability=0.0)
        pool = RecordingPool(manifest, labels, table, 16000)
        return MixtureDataset(pool, options, **{"seed": 7, "split_key": "train", **keywords})

    return make


@pytest.fixture
def mix(corpus, tmp_path):
    """Runs `csc mix --config-name csc_debug` on the corpus: its exit status. The mixes go to tmp_path/mixes."""

    def run(*arguments):
        out = ["--out", str(tmp_path / "mixes")]
        return main(["mix", "--config-name", "csc_debug", f"task.data={corpus}", *OVERRIDES, *arguments, *out])

    return run


def test_mixes_are_those_of_training(mix, dataset, tmp_path, capsys):
    out = tmp_path / "mixes"
    assert mix("--index", "5", "0", "--epoch", "3") == 0
    assert "4 mixtures of 2 target recordings" in capsys.readouterr().out
    training = dataset()
    training.set_epoch(3)
    report = json.loads((out / "mixes.json").read_text())
    assert (report["split"], report["seed"], report["when"]) == ("train", 7, "epoch3")
    assert [mix["file"] for mix in report["mixes"]] == [
        f"train_epoch3_{target}_view{view}.wav" for target in (5, 0) for view in (1, 2)
    ]
    names, files = training.pool.manifest.names, {"mixes.json"}
    for mixed, expected in zip(report["mixes"], training[5][1] + training[0][1], strict=True):
        samples, rate = soundfile.read(out / mixed["file"], dtype="float32")
        assert rate == 16000
        np.testing.assert_array_equal(samples, expected.samples)
        files.add(mixed["file"])
        for slot in range(2):
            if not expected.present[slot]:
                assert mixed["talkers"][slot] is None
                continue
            name = f"{mixed['file'][:-4]}_source{slot + 1}.wav"
            files.add(name)
            np.testing.assert_array_equal(soundfile.read(out / name, dtype="float32")[0], expected.sources[slot])
            recording = names[expected.recordings[slot]]
            assert mixed["talkers"][slot] == {"identity": f"speaker{recording[1]}", "recording": recording}
    assert {path.name for path in out.iterdir()} == files
    assert report["mixes"][0]["plan"]["sources"][0]["recording"] == 5


def test_other_epochs_seeds_and_splits_mix_differently(corpus, mix, dataset, tmp_path):
    for suffix in ("tsv", "spk"):
        (corpus / f"valid.{suffix}").write_bytes((corpus / f"train.{suffix}").read_bytes())

    def first(*arguments):
        assert mix(*arguments) == 0
        report = json.loads((tmp_path / "mixes" / "mixes.json").read_text())
        return soundfile.read(tmp_path / "mixes" / report["mixes"][0]["file"], dtype="float32")[0]

    usual = first()
    np.testing.assert_array_equal(usual, first("--epoch", "1"))
    np.testing.assert_array_equal(first("--split", "valid"), dataset(split_key="valid", fixed=True)[0][1][0].samples)
    for other in (["--epoch", "2"], ["task.seed=8"], ["--split", "valid"], ["task.identity=utterance"]):
        assert not np.array_equal(usual, first(*other)), other


def test_noise_and_rooms(mix, tmp_path):
    rng = np.random.default_rng(0)
    for name, samples in {"noise": rng.standard_normal(20000) * 0.1, "rir": np.r_[1.0, np.zeros(400), 0.5]}.items():
        write_recordings(tmp_path / f"{name}.tsv", {f"{name}.wav": samples})
    noise = [f"task.noise={tmp_path}/noise.tsv", "task.noise_probability=1", "task.snr_low=3", "task.snr_high=3"]
    assert mix(*noise, f"task.rir={tmp_path}/rir.tsv", "task.rir_probability=1") == 0
    for mixed in json.loads((tmp_path / "mixes" / "mixes.json").read_text())["mixes"]:
        plan = mixed["plan"]
        assert plan["noise"]["recording"] == 0 and plan["noise"]["snr_db"] == 3
        assert all(source["rir"] == 0 for source in plan["sources"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--index", "12"], "has items 0 to 11, --index asked for 12"),
        (["--count", "0"], "--count is 0, expected 1 or more"),
        (["--epoch", "0"], "--epoch 0: the first epoch is 1"),
        (["--split", "valid", "--epoch", "1"], "split valid has fixed mixes"),
        (["task.view_seconds=3"], "train.tsv"),
        (["task.identity=mood"], "task.identity is 'mood'"),
        (["task.identity=cluster"], "train.cluster: no such file"),
        (["task.sir_low=5", "task.sir_high=-5"], "sir_db is (5.0, -5.0)"),
        (["task.noise=absent.tsv"], "absent.tsv: cannot be read"),
        (["task.sirlow=5"], "Could not override 'task.sirlow'"),
        (["--config-name", "csc_huge"], "Cannot find primary config 'csc_huge'"),
    ],
)
def test_bad_input(mix, tmp_path, capsys, arguments, message):
    assert mix(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "mixes").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [("csc_debug", "Missing mandatory value: task.data"), ("wav2vec2_small", "its task is audio_pretraining")],
)
def test_configuration_and_data_must_fit(tmp_path, capsys, name, message):
    assert main(["mix", "--config-name", name, "--out", str(tmp_path / "mixes")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
