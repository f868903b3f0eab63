"""A calibration by hand."""

from dataclasses import asdict

import pytest

from csc_fairseq.decisions.calibration_file import Domain, ModelCalibration, Quality
from csc_fairseq.decisions.model_identity import ModelIdentity
from csc_fairseq.verification.metrics.calibration import Calibration
from csc_fairseq.verification.trials.conditions import CLEAN, Condition

CONDITIONS = (CLEAN, Condition("talker 0 dB", talkers=1, sir_db=0.0))


@pytest.fixture
def calibration() -> ModelCalibration:
    domain = Domain(
        manifest="dev.tsv",
        digest="d" * 32,
        recordings=40,
        speakers=8,
        seconds=10.0,
        enrol_utterances=1,
        identity="speaker, across sessions",
        conditions=tuple(asdict(condition) for condition in CONDITIONS),
        noises={"streets.tsv": "e" * 32},
        rir={},
        targets=320,
        nontargets=2800,
        seed=3,
    )
    return ModelCalibration(
        Calibration(12.5, -4.0),
        ModelIdentity("csc.pt", "a" * 32),
        "speaker",
        domain,
        "2024-05-06",
        Quality(0.11, 0.4),
        {"clean": Quality(0.08, 0.3), "talker 0 dB": Quality(0.15, 0.5)},
    )
