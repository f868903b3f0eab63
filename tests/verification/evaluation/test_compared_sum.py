"""Sums of two encoders' scores: who embeds, what is fitted, and that nothing is embedded twice."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from csc_fairseq.errors import InputError
from csc_fairseq.inference.loading import save_bundle
from csc_fairseq.verification.evaluation import benchmark
from csc_fairseq.verification.evaluation.benchmark import run_benchmark
from csc_fairseq.verification.evaluation.benchmark_options import BenchmarkOptions
from csc_fairseq.verification.evaluation.compared_sum import ComparedSum, FittedSum, encoders_of, read_compared
from csc_fairseq.verification.evaluation.scoring import Scores
from csc_fairseq.verification.metrics.calibration import cllr
from csc_fairseq.verification.metrics.error_rates import eer
from csc_fairseq.verification.metrics.fusion import Fusion
from tests.making import speaker_encoder
from tests.verification.evaluation.reads import count_reads

CONDITIONS = "- {name: clean}\n- {name: talker 0 dB, talkers: 1, sir_db: 0}\n"
# A user's encoder that notes how many recordings it was given.
MODULE = """
from pathlib import Path

import numpy as np

def bands(waveforms):
    with open(Path(__file__).with_name("calls.txt"), "a") as notes:
        notes.write(f"{len(waveforms)}\\n")
    spectra = [np.array_split(np.abs(np.fft.rfft(waveform)) ** 2, 6) for waveform in waveforms]
    energies = np.log([[band.mean() for band in spectrum] for spectrum in spectra])
    return energies - energies.mean(axis=1, keepdims=True)
"""
BANDS = "csc_test_sum:bands"


@pytest.fixture
def options(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BenchmarkOptions:
    """Two conditions with a development set; the working directory has the module."""
    (tmp_path / "two.yaml").write_text(CONDITIONS)
    (tmp_path / "csc_test_sum.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "csc_test_sum", raising=False)
    return BenchmarkOptions(
        ("mfcc",),
        data / "test.tsv",
        tmp_path / "out",
        conditions=tmp_path / "two.yaml",
        dev=data / "dev.tsv",
        seconds=0.3,
        replicates=20,
    )


def embedded() -> int:
    """How many recordings the module was given."""
    return sum(map(int, Path("calls.txt").read_text().split()))


def best(scores) -> Scores:
    return Scores(np.array(scores, dtype=np.float32), None, None, None, None, None)


def test_parts_are_the_encoders_that_are_listed(tmp_path, monkeypatch):
    """Whatever they are called, and each checkpoint is read once."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("a.pt", "b.pt")):
        save_bundle(speaker_encoder(seed), tmp_path / name)
    reads = count_reads(monkeypatch)
    texts = ("both=b.pt+a.pt,variant=q", "ours=a.pt,variant=q", "x=a.pt,variant=q", "a.pt,variant=q+mfcc", "b.pt+mfcc")
    both, ours, again, first, second = read_compared(texts, "cpu")
    assert [one.name for one in (both, ours, again)] == ["both", "ours", "x"]
    assert both.parts[1] is ours is first.parts[0] and again is not ours
    assert both.parts[0] is second.parts[0] and first.parts[1] is second.parts[1]
    assert both.part_names == ("b.pt", "ours") and first.name == "a.pt,variant=q+mfcc"
    assert reads == ["csc_fairseq"] * 3
    assert [one.name for one in encoders_of([both, ours, again, first, second])] == ["b.pt", "ours", "x", "mfcc"]
    assert set(both.checkpoints) == {Path("a.pt"), Path("b.pt")} and both.hides_speakers
    with pytest.raises(InputError, match="encoder x: is the sum of mfcc and itself; name two encoders"):
        read_compared(["x=mfcc+mfcc"], "cpu")


def test_the_weights_are_those_of_the_development_trials():
    """Of the conditions that both have, without trials that a mixed enrolment spoils."""
    rng = np.random.default_rng(0)
    targets = np.arange(600) < 200
    one, other = ({name: rng.normal(targets, 1.0) for name in ("clean", "talker")} for _ in range(2))
    expected = Fusion.fit([(np.stack([one[name], other[name]], axis=1).astype(np.float32), targets) for name in one])
    other["talker"] = np.append(other["talker"], [9.0, np.nan])
    one["talker"] = np.append(one["talker"], [np.nan, 9.0])
    for part in (one, other):
        part["clean"] = np.append(part["clean"], [np.nan, np.nan])
    parts = [{name: best(scores) for name, scores in part.items()} for part in (one, other)]
    parts[0]["noise"] = best(np.zeros(602))  # the other part has no such condition
    fitted = FittedSum.fit(ComparedSum("both", ()), parts, np.append(targets, [True, False]))
    np.testing.assert_allclose([*fitted.fusion.weights, fitted.fusion.offset], [*expected.weights, expected.offset])
    found = fitted.scores(parts)
    assert list(found) == ["clean", "talker"]
    sums = expected.weights[0] * one["talker"] + expected.weights[1] * other["talker"] + expected.offset
    np.testing.assert_allclose(found["talker"].best, sums, rtol=1e-4, atol=1e-5)  # NaN where one is
    assert found["talker"].best.dtype == np.float32 and found["talker"].normalised is None


def test_parts_that_need_no_sum():
    targets = np.arange(60) < 20
    perfect = {"clean": best(targets + np.linspace(0, 0.5, 60))}
    other = {"clean": best(np.random.default_rng(0).normal(size=60))}
    with pytest.raises(
        InputError, match="encoder both: a sum separates the 20 .* harder conditions, or leave the sum out$"
    ):
        FittedSum.fit(ComparedSum("both", ()), [perfect, other], targets)


def test_a_sum_in_an_evaluation(options):
    """Its scores are the sum of the parts' with the reported weights; listed or not, parts are embedded once."""
    report = run_benchmark(replace(options, encoders=(f"both={BANDS}+mfcc", "MFCC=mfcc", f"bands={BANDS}")))
    count = embedded()
    results = json.loads((options.out / "results.json").read_text())
    weights = results["sums"]["both"]["weights"]
    assert list(weights) == ["bands", "MFCC"] and min(weights.values()) > 0
    targets = report.targets
    for condition in ("clean", "talker 0 dB"):
        both, mfcc, bands = (
            np.load(options.out / f"scores/{name}/{condition}.npy") for name in ("both", "MFCC", "bands")
        )
        expected = weights["MFCC"] * mfcc + weights["bands"] * bands + results["sums"]["both"]["offset"]
        np.testing.assert_allclose(both, expected, rtol=1e-4, atol=1e-4)
        result = next(one for one in report.results if (one.encoder, one.condition) == ("both", condition))
        assert result.eer.value == eer(both[targets], both[~targets])
        # One calibration on the same trials as the weights is all but none.
        assert result.cllr == pytest.approx(cllr(both[targets], both[~targets]), rel=0.02)
    assert [one.encoder for one in report.results[::2]] == ["both", "MFCC", "bands"]
    assert "× MFCC" in (options.out / "results.md").read_text()
    alone = replace(options, encoders=(f"bands={BANDS}",), out=options.out / "alone")
    run_benchmark(alone)
    assert embedded() == 2 * count
    unlisted = replace(options, encoders=(f"both={BANDS}+mfcc",), out=options.out / "unlisted")
    report = run_benchmark(unlisted)
    assert embedded() == 3 * count and [one.encoder for one in report.results] == ["both", "both"]
    first, second = (np.load(out / "scores/both/clean.npy") for out in (options.out, unlisted.out))
    np.testing.assert_array_equal(first, second)
    assert list(json.loads((unlisted.out / "results.json").read_text())["sums"]["both"]["weights"]) == [BANDS, "mfcc"]


def test_a_sum_has_no_normalised_scores(options, data, monkeypatch):
    monkeypatch.setattr(benchmark, "write_report", lambda folder, report: folder.path)
    cohort = replace(options, encoders=(f"both={BANDS}+mfcc", "mfcc"), cohort=data / "cohort.tsv", top_k=4)
    report = run_benchmark(cohort)
    table = next(table for table in report.tables() if "normalisation" in table.title)
    assert [row[1] for row in table.rows] == ["–", "–"] and "–" not in [row[2] for row in table.rows]


def test_streams_of_a_checkpoint_in_an_evaluation(options, tmp_path):
    """Separation is measured, and the recording itself is one candidate more."""
    save_bundle(speaker_encoder(), tmp_path / "csc.pt")
    encoders = ("mfcc", "streams=mfcc,separate=csc.pt", "all=mfcc,separate=csc.pt,mixture=yes", "csc=csc.pt")
    report = run_benchmark(replace(options, encoders=encoders, dev=None))
    of = {(one.encoder, one.condition): one for one in report.results}
    for name in ("streams", "all"):
        assert of[name, "talker 0 dB"].si_snri == pytest.approx(of["csc", "talker 0 dB"].si_snri, abs=1e-3)
        assert of[name, "clean"].si_snri is None
    for condition in ("clean", "talker 0 dB"):
        mfcc, streams, everything = (report.scores[condition][name] for name in ("mfcc", "streams", "all"))
        np.testing.assert_allclose(everything, np.maximum(mfcc, streams), atol=1e-6)
