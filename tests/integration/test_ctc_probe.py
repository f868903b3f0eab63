"""The content probe from end to end: transcripts, `fairseq-hydra-train --config-name ctc_probe`, `csc content`."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from csc_fairseq.cli.main import main
from csc_fairseq.data.manifest import write_labels, write_lines, write_manifest
from csc_fairseq.inference.checkpoint import save_bundle
from csc_fairseq.inference.speaker_encoder import SpeakerEncoder
from csc_fairseq.models import ctc_probe  # noqa: F401  lets PyTorch read fairseq's dictionary
from csc_fairseq.modules.separative_encoder import SeparativeEncoder, SeparativeEncoderConfig
from tests.integration.running import BIN, environment, logged, train

SAMPLE_RATE = 16000
LETTERS = {"A": 300, "B": 900, "C": 2700}  # Hz: a language of tones
OPTIONS = (
    "optimization.max_update=60", "optimization.lr=[0.1]", "lr_scheduler.warmup_updates=3", "common.log_interval=1",
    "dataset.num_workers=0", "dataset.max_tokens=320000", "common.tensorboard_logdir=null",
    "dataset.validate_interval=100", "checkpoint.save_interval=100",  # once, at the end
)  # fmt: skip


def speak(text: str, rng: np.random.Generator) -> np.ndarray:
    """Each letter a tone of 0.12 s with soft ends, each blank as long a pause, all in faint noise; float32 [T]."""
    time = np.arange(round(0.12 * SAMPLE_RATE)) / SAMPLE_RATE
    soft = np.sin(np.pi * time / 0.12) ** 0.5
    tones = [
        soft * np.sin(2 * np.pi * LETTERS[letter] * time) if letter in LETTERS else 0 * time for letter in f" {text} "
    ]
    samples = np.concatenate(tones)
    return (0.1 * samples + 0.001 * rng.standard_normal(len(samples))).astype(np.float32)


def write_split(folder: Path, split: str, recordings: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    entries, texts = [], []
    for i in range(recordings):
        text = " ".join("".join(rng.choice(list(LETTERS), rng.integers(1, 4))) for _ in range(rng.integers(1, 4)))
        samples = speak(text, rng)
        (folder / "audio").mkdir(exist_ok=True)
        sf.write(folder / "audio" / f"{split}{i}.flac", samples, SAMPLE_RATE)
        entries.append((f"{split}{i}.flac", len(samples)))
        texts.append(text.lower() + ".")
    write_manifest(folder / f"{split}.tsv", folder / "audio", entries)
    write_labels(folder / f"{split}.spk", [f"s{i % 3}" for i in range(recordings)])
    write_lines(folder / f"{split}.txt", texts)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifests with transcripts, and a small separative encoder with random weights, encoder.pt."""
    folder = tmp_path_factory.mktemp("tones")
    write_split(folder, "train", 24, seed=0)
    write_split(folder, "valid", 9, seed=1)
    assert main(["prepare", "transcripts", str(folder / "train.tsv"), str(folder / "valid.tsv")]) == 0
    torch.manual_seed(0)
    config = SeparativeEncoderConfig(
        waveform_channels=64, window=256, channels=16, attention_heads=2, recurrent_channels=8, shared_blocks=1,
        stream_channels=48, embedding_channels=12, memory_size=4,
    )  # fmt: skip
    save_bundle(SpeakerEncoder(SeparativeEncoder(config), SAMPLE_RATE, "speaker"), folder / "encoder.pt")
    return folder


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess]:
    """Run folder and output of a training whose pretrained file is gone afterwards."""
    run = tmp_path_factory.mktemp("probe")
    shutil.copy(folder / "encoder.pt", run / "pretrained.pt")
    process = train(folder, run, f"model.pretrained={run / 'pretrained.pt'}", *OPTIONS, config="ctc_probe")
    (run / "pretrained.pt").unlink()
    return run, process


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


def test_the_configuration_is_found_by_name_from_anywhere(tmp_path):
    answer = subprocess.run(
        [str(BIN / "fairseq-hydra-train"), "--config-name", "ctc_probe", "task.data=/data", "--cfg", "job", "--resolve"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr[-2000:]
    assert "save_dir: runs/ctc_probe/checkpoints" in answer.stdout and "data: /data" in answer.stdout
