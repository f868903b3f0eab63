"""Recordings of tones with their trials, and manifests of coloured noises for whole evaluations."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from csc_fairseq.data.augment import NoiseBank, RirBank
from csc_fairseq.data.manifest import write_manifest
from csc_fairseq.data.pool import RecordingPool
from csc_fairseq.verification.trials.drawing import build_trials
from csc_fairseq.verification.trials.material import Material
from csc_fairseq.verification.trials.trial_list import TrialList
from tests.verification.evaluation import coloured, tones


@pytest.fixture(scope="session")
def trials() -> TrialList:
    """All pairs of the tones."""
    return build_trials(tones.SPEAKER_LABELS, seed=3)


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory, trials: TrialList) -> Material:
    """The tones, noise and rooms."""
    folder, rng = tmp_path_factory.mktemp("tones"), np.random.default_rng(5)
    pool = RecordingPool(tones.write(folder, "test", tones.recordings()), tones.SPEAKER_LABELS, {}, tones.RATE)
    noise = tones.write(folder, "noise", {f"{i}.wav": 0.1 * rng.standard_normal(20000) for i in range(2)})
    rooms = {f"{i}.wav": np.exp(-np.arange(800) / 50.0) * rng.standard_normal(800) for i in range(3)}
    rirs = RirBank(tones.write(folder, "rir", rooms), tones.RATE)
    return Material(pool, trials.interferers, {"other": NoiseBank(noise, tones.RATE)}, rirs, 8000, 3)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """test.tsv, dev.tsv and cohort.tsv of 6, 5 and 8 speakers, noise.tsv, rir.tsv and table.tsv."""
    folder, rng = tmp_path_factory.mktemp("coloured"), np.random.default_rng(0)
    for name, speakers, first in (("test", 6, 0), ("dev", 5, 10), ("cohort", 8, 20)):
        coloured.write_speech(folder, name, speakers, first)
    for name, length in (("noise", 12000), ("rir", 500)):
        (folder / name).mkdir()
        decay = np.exp(-np.arange(length) / 40) if name == "rir" else 0.1
        for i in range(3):
            wave = decay * rng.standard_normal(length)
            soundfile.write(folder / name / f"{i}.wav", wave, coloured.RATE, subtype="FLOAT")
        write_manifest(folder / f"{name}.tsv", folder / name, [(f"{i}.wav", length) for i in range(3)])
    rows = [f"s{i}\t{'fm'[i % 2]}" for i in range(6)]
    (folder / "table.tsv").write_text("\n".join(["speaker\tgender", *rows]) + "\n")
    return folder
