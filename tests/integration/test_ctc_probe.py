"""The content probe from end to end: transcripts, `fairseq-hydra-train --config-name ctc_probe`, `csc content`."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from csc_fairseq.cli.main import main
from csc_fairseq.data.manifest import write_lines
from csc_fairseq.models import ctc_probe  # noqa: F401  lets PyTorch read fairseq's dictionary
from tests.integration.running import logged, train, train_once
from tests.making import LETTERS, bundled, speaker_encoder, spoken, write_recordings

OPTIONS = (
    "optimization.max_update=60", "optimization.lr=[0.1]", "lr_scheduler.warmup_updates=3", "common.log_interval=1",
    "dataset.num_workers=0", "dataset.max_tokens=320000", "common.tensorboard_logdir=null",
    "dataset.validate_interval=100", "checkpoint.save_interval=100",  # once, at the end
)  # fmt: skip


def write_split(folder: Path, split: str, recordings: int, seed: int) -> None:
    """Recordings of words of tones, with their manifest, labels of three speakers, and transcripts in another spelling."""
    rng = np.random.default_rng(seed)
    signals, texts = {}, []
    for i in range(recordings):
        text = " ".join("".join(rng.choice(list(LETTERS), rng.integers(1, 4))) for _ in range(rng.integers(1, 4)))
        signals[f"{split}{i}.flac"] = spoken(text, rng)
        texts.append(text.lower() + ".")
    write_recordings(folder / f"{split}.tsv", signals, [f"s{i % 3}" for i in range(recordings)], folder / "audio")
    write_lines(folder / f"{split}.txt", texts)


@pytest.fixture(scope="module")
def folder(once: Callable[..., Path]) -> Path:
    """Manifests with transcripts, and a small separative encoder with random weights, encoder.pt."""

    def fill(folder: Path) -> None:
        write_split(folder, "train", 24, seed=0)
        write_split(folder, "valid", 9, seed=1)
        assert main(["prepare", "transcripts", str(folder / "train.tsv"), str(folder / "valid.tsv")]) == 0
        bundled(speaker_encoder(waveform_channels=64, window=256, stream_channels=48), folder / "encoder.pt")

    return once("tones", fill)


@pytest.fixture(scope="module")
def trained(
    folder: Path, once: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess]:
    """Run folder and output of a training whose pretrained file is gone afterwards."""
    pretrained = shutil.copy(folder / "encoder.pt", tmp_path_factory.mktemp("pretrained"))
    found = train_once(once, "probe", folder, f"model.pretrained={pretrained}", *OPTIONS, config="ctc_probe")
    Path(pretrained).unlink()
    return found


def test_the_loss_falls_and_letters_are_read(trained):
    _, process = trained
    losses = [float(step["loss"]) for step in logged(process)]
    assert len(losses) == 60
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert float(logged(process, "valid")[-1]["valid_uer"]) < 85  # 100 for a probe that reads nothing


def test_the_encoder_is_the_pretrained_one(trained, folder):
    run, process = trained
    logged(process)
    tuned = torch.load(run / "checkpoints" / "checkpoint_last.pt", weights_only=True)["model"]
    given = torch.load(folder / "encoder.pt", weights_only=True)["state_dict"]
    names = [name for name in tuned if name.startswith("encoder.") and ".memory." not in name]  # of pre-training alone
    assert len(names) > 40
    for name in names:
        assert torch.equal(tuned[name], given[name.removeprefix("encoder.network.")]), name


def test_content_agrees_with_fairseq(trained, folder, tmp_path, capsys):
    """The checkpoint alone, moved, its pretrained file gone: the rate that fairseq printed for these recordings."""
    run, process = trained
    uer = logged(process, "valid")[-1]["valid_uer"]
    checkpoint = tmp_path / "moved.pt"
    shutil.copy(run / "checkpoints" / "checkpoint_last.pt", checkpoint)
    out = tmp_path / "content.json"
    arguments = ["content", "--model", str(checkpoint), "--manifest", str(folder / "valid.tsv"), "--out", str(out)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert printed.startswith("character error rate ")
    report = json.loads(out.read_text())
    assert report["cer"] == pytest.approx(float(uer), abs=1e-3)
    assert report["resampled"] == "speakers" and report["units"] == 3
    assert report["interval"][0] <= report["cer"] <= report["interval"][1]
    assert len(report["recordings"]) == 9
    assert report["edits"] == sum(recording["edits"] for recording in report["recordings"])
    assert f"{report['cer']:.1f} %" in printed
    texts = [line.upper().strip(".") for line in (folder / "valid.txt").read_text().splitlines()]
    assert [recording["said"] for recording in report["recordings"]] == texts


def test_training_resumes(trained, folder, tmp_path):
    """fairseq's checkpoints of this task hold a dictionary, which PyTorch would not read by itself."""
    run, process = trained
    logged(process)
    shutil.copytree(run / "checkpoints", tmp_path / "checkpoints")
    pretrained = f"model.pretrained={folder / 'encoder.pt'}"
    again = train(folder, tmp_path, pretrained, *OPTIONS, "optimization.max_update=63", config="ctc_probe")
    assert [int(step["num_updates"]) for step in logged(again)] == [61, 62, 63]


def test_one_clear_line(folder, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(folder, data)
    (data / "valid.ltr").unlink()
    pretrained = f"model.pretrained={folder / 'encoder.pt'}"
    process = train(data, tmp_path / "run", pretrained, *OPTIONS, config="ctc_probe")
    assert process.returncode == 1 and "Traceback" not in process.stderr, process.stderr[-3000:]
    assert f"{data}/valid.ltr: no such file" in process.stderr and "csc prepare transcripts" in process.stderr
