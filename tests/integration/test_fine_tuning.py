"""`fairseq-hydra-train --config-name sv_…`: a pre-trained encoder becomes a verifier that `csc evaluate` takes."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from csc_fairseq.cli.main import main
from tests.integration.running import BIN, environment, logged, run_ranks, train, train_once
from tests.making import saved

RESTING = ("model.freeze_updates=3",)


@pytest.fixture(scope="module")
def pretrained(trained, tmp_path_factory) -> Path:
    """A csc checkpoint in a folder of its own."""
    best = trained[0] / "checkpoints" / "checkpoint_best.pt"
    return shutil.copy(best, tmp_path_factory.mktemp("pretrained") / "csc.pt")


@pytest.fixture(scope="module")
def tuned(voices, pretrained, once) -> tuple[Path, subprocess.CompletedProcess]:
    """Run folder and output of a fine-tuning of 8 updates, with two data workers and checkpoints after 2, 4, 6 and 8.

    The encoder rests for three updates.
    """
    options = (
        f"model.pretrained={pretrained}", *RESTING, "dataset.num_workers=2", "checkpoint.save_interval_updates=2",
        "checkpoint.keep_interval_updates=-1",
    )  # fmt: skip
    return train_once(once, "tuned", voices, *options, config="sv_aam", fresh=True)


def test_logs_what_was_promised(tuned):
    run, process = tuned
    steps = logged(process)
    assert [int(step["num_updates"]) for step in steps] == list(range(1, 9))
    assert {"loss", "speaker_loss", "separation_loss", "accuracy", "margin", "data_wait", "gnorm"} <= steps[-1].keys()
    assert [float(step["margin"]) for step in steps] == [0, 0.05, 0.1, 0.15, 0.2, 0.2, 0.2, 0.2]
    for validation in logged(process, "test"):
        rates = [float(validation[f"test_eer_{condition}"]) for condition in ("clean", "talker")]
        assert all(0 <= rate <= 100 for rate in rates)
        assert float(validation["test_eer"]) == pytest.approx(sum(rates) / 2, abs=2e-3)
    best = torch.load(run / "checkpoints" / "checkpoint_best.pt", weights_only=True)
    lowest = min(float(validation["test_eer"]) for validation in logged(process, "test"))
    assert best["extra_state"]["best"] == pytest.approx(lowest)


def test_the_encoder_rests_first_and_then_learns_more_slowly(tuned, pretrained):
    """Three updates with the encoder frozen; it moves afterwards, the head from the start."""
    run, _ = tuned
    before = torch.load(pretrained, weights_only=True)["model"]
    after = torch.load(run / "checkpoints" / "checkpoint_last.pt", weights_only=True)["model"]
    trunk = [name for name in before if name.startswith("encoder.trunk")]
    moved = [(before[name] - after[name.replace("encoder.", "encoder.network.", 1)]).abs().max() for name in trunk]
    assert trunk and 0 < max(moved) < 5 * 0.3 * 0.001 * 1.5  # five updates, at the encoder's share of the learning rate


def test_evaluation_needs_the_fine_tuned_checkpoint_alone(tuned, voices, tmp_path, monkeypatch, capsys):
    """Moved, with its run folder and the pre-trained checkpoint out of reach, and refused where it was trained."""
    run, _ = tuned
    checkpoint = torch.load(run / "checkpoints" / "checkpoint_last.pt", weights_only=True)
    checkpoint["cfg"]["model"]["pretrained"] = "/nowhere/csc.pt"
    saved(checkpoint, tmp_path / "verifier.pt")
    conditions = tmp_path / "conditions.yaml"
    conditions.write_text("- {name: clean}\n- {name: talker 0 dB, talkers: 1, sir_db: 0}\n")
    words = ["csc", "evaluate", "--encoder", "mine=verifier.pt", "--encoder", "mfcc", "--conditions", str(conditions)]
    words += ["--replicates", "20", "--seconds", "1", "--jobs", "1", "--out", "out", "--manifest"]
    answer = subprocess.run(
        [str(BIN / words[0]), *words[1:], str(voices / "test.tsv")],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    # Importing fairseq would let messages of the level DEBUG through.
    assert answer.returncode == 0 and "DEBUG" not in answer.stderr, answer.stderr
    results = {
        (result["encoder"], result["condition"]): result
        for result in json.loads((tmp_path / "out" / "results.json").read_text())["results"]
    }
    mine = results["mine", "talker 0 dB"]
    assert mine["si_snri"] is not None and mine["oracle"] is not None
    assert results["mfcc", "talker 0 dB"]["si_snri"] is None
    monkeypatch.chdir(tmp_path)
    assert main([*words[1:], str(voices / "valid.tsv")]) == 2
    assert "speakers are those of verifier.pt too" in capsys.readouterr().err


@pytest.mark.parametrize("stopped", [2, 4])
def test_stop_and_resume_equals_no_stop_bit_for_bit(stopped, tuned, voices, pretrained, tmp_path):
    """While the encoder rests, and afterwards."""
    run, process = tuned
    resumed = tmp_path / "run" / "checkpoints"
    resumed.mkdir(parents=True)
    shutil.copy(run / "checkpoints" / f"checkpoint_1_{stopped}.pt", resumed / "checkpoint_last.pt")
    rest = logged(train(voices, tmp_path / "run", f"model.pretrained={pretrained}", *RESTING, config="sv_aam"))
    for ours, theirs in zip(rest, logged(process)[stopped:], strict=True):
        for name in ("loss", "accuracy", "margin", "gnorm", "lr", "num_updates"):
            assert ours[name] == theirs[name], (name, ours["num_updates"])
    whole, parts = (
        torch.load(folder / "checkpoint_last.pt", weights_only=True) for folder in (run / "checkpoints", resumed)
    )
    for part in ("model", "criterion"):
        for name, value in whole[part].items():
            assert torch.equal(value, parts[part][name]), name


@pytest.mark.parametrize("config", ["sv_ge2e", "sv_proto"])
def test_metric_losses(config, voices, pretrained, tmp_path):
    options = (f"model.pretrained={pretrained}", "optimization.max_update=3")
    process = train(voices, tmp_path / "run", *options, config=config)
    steps = logged(process)
    assert len(steps) == 3 and float(steps[-1]["scale"]) > 0 and logged(process, "test")


def test_x_vector_from_scratch(voices, tmp_path):
    options = ("model.xvector_widths=[8,8,8,8,12]", "optimization.max_update=3")
    process = train(voices, tmp_path / "run", *options, config="sv_fbank")
    assert len(logged(process)) == 3 and logged(process, "test")


def test_two_ranks_equal_one_rank_at_the_same_global_batch(voices, pretrained, tmp_path):
    """Losses, error rates and weights of two ranks with 4 items each, and of one rank that gathers two batches of 4.

    The encoder rests for two of five updates, and a validation falls between them.
    """
    options = (
        f"model.pretrained={pretrained}", "optimization.max_update=5", "dataset.batch_size_valid=6", "optimizer.weight_decay=0.1",
    )  # fmt: skip
    (one,), alone = run_ranks(voices, tmp_path / "one", 1, *options, "optimization.update_freq=[2]", config="sv_aam")
    two, together = run_ranks(voices, tmp_path / "two", 2, *options, config="sv_aam")
    for name, value in two[0]["model"].items():
        assert torch.equal(value, two[1]["model"][name]), f"{name} differs between the ranks"
    assert [rank["opened"].count(str(pretrained)) for rank in (one, *two)] == [1, 1, 1]  # by each rank once
    assert len(one["losses"]) == len(two[0]["losses"]) == 5
    for ours, theirs in zip(one["losses"], two[0]["losses"], strict=True):
        assert theirs["loss"] == pytest.approx(ours["loss"], rel=1e-4)
    before = torch.load(pretrained, weights_only=True)["model"]
    for name, value in one["model"].items():
        if name == "pooling.attention.score.2.bias":
            continue  # softmax does not hear it: its gradient is rounding, which Adam makes a step of
        found = two[0]["model"][name]
        torch.testing.assert_close(found, value, atol=1e-4, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}")
    weight = "trunk.0.local.lstm.weight_hh_l0"
    moved = before[f"encoder.{weight}"] - one["model"][f"encoder.network.{weight}"]
    assert moved.abs().max() > 5e-4  # five times what may differ

    def rates(output: str) -> list[str]:
        lines = [line for line in output.splitlines() if "[test][INFO]" in line]
        return [json.loads(line[line.index("{") :])["test_eer"] for line in lines]

    assert rates(alone) == rates(together) != []


def one_speaker(data: Path) -> None:
    (data / "train.spk").write_text("s00\n" * 32)


def one_recording_of_somebody(data: Path) -> None:
    labels = (data / "train.spk").read_text().splitlines()
    (data / "train.spk").write_text("\n".join(["lonely", *labels[1:]]) + "\n")


def trained_on_the_test(data: Path) -> None:
    (data / "test.spk").write_text((data / "test.spk").read_text().replace("s08", "s01"))


def nothing(data: Path) -> None:
    """The input is good; the option is not."""


@pytest.mark.parametrize(
    ("config", "breakage", "options", "expected"),
    [
        ("sv_aam", nothing, ("model.pretrained=gone.pt",), ("gone.pt", "no such file")),
        ("sv_aam", nothing, ("model.pretrained={other}",), ("architecture 'transformer'", "csc or wav2vec2 or hubert")),
        ("sv_aam", nothing, ("model.pretrained={csc}", "model.frozen=true"),
         ("add model.freeze_updates=0 model.encoder_rate=1.0", "frozen")),
        ("sv_aam", nothing, ("model.pretrained={csc}", "criterion.loss=softmax"), ("criterion.loss", "'softmax'", "aam")),
        ("sv_aam", nothing, ("model.pretrained={csc}", "criterion.loss=ge2e"), ("two utterances per speaker", "task.views=2")),
        ("sv_fbank", one_speaker, (), ("train.tsv", "two speakers", "'s00'")),
        ("sv_ge2e", one_recording_of_somebody, ("model.pretrained={csc}", "task.least_recordings=1"),
         ("train.tsv:2", "lonely", "task.least_recordings=2")),
        ("sv_fbank", trained_on_the_test, (), ("test.tsv", "s01", "dataset.valid_subset")),
        ("sv_fbank", nothing, ("dataset.valid_subset=dev",), ("dev.tsv", "not found", "dataset.valid_subset")),
    ],
)  # fmt: skip
def test_one_clear_line(voices, pretrained, tmp_path, config, breakage, options, expected):
    data = tmp_path / "data"
    data.mkdir()
    for path in voices.glob("*.*"):
        shutil.copy(path, data)
    breakage(data)
    other = saved({"cfg": {"model": {"_name": "transformer"}}, "model": {}}, tmp_path / "other.pt")
    places = {"csc": pretrained, "other": other}
    process = train(data, tmp_path / "run", *(option.format(**places) for option in options), config=config)
    assert process.returncode == 1
    lines = [line for line in process.stderr.splitlines() if all(word in line for word in expected)]
    assert lines, process.stderr[-3000:]
    assert "Traceback" not in process.stderr, process.stderr[-3000:]
