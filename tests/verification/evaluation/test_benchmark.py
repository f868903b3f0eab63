"""The whole benchmark on small recordings: interrupted, in several processes, again, and with every option."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from csc_fairseq.data.manifest import read_manifest
from csc_fairseq.errors import InputError
from csc_fairseq.inference.loading import save_bundle
from csc_fairseq.verification.encoders.mfcc import mfcc_encoder
from csc_fairseq.verification.evaluation import benchmark, embedding
from csc_fairseq.verification.evaluation.benchmark import run_benchmark
from csc_fairseq.verification.evaluation.benchmark_options import BenchmarkOptions
from csc_fairseq.verification.evaluation.embedding_runner import EmbeddingRunner
from csc_fairseq.verification.evaluation.evaluation_set import EvaluationSet, LabelledTrials
from csc_fairseq.verification.evaluation.report import Report
from csc_fairseq.verification.evaluation.scoring import Scores, embed_speakers, score_encoder
from csc_fairseq.verification.metrics.calibration import Calibration, CalibrationError, cllr
from csc_fairseq.verification.metrics.error_rates import eer
from csc_fairseq.verification.metrics.score_normalisation import Cohort
from csc_fairseq.verification.trials.conditions import CLEAN, STANDARD
from csc_fairseq.verification.trials.trial_file import read_trials
from tests.making import speaker_encoder
from tests.verification.evaluation.coloured import RATE, write_speech

CONDITIONS = """
- {name: clean}
- {name: talker 0 dB, talkers: 1, sir_db: 0}
- {name: white 5 dB, noise: stationary, snr_db: 5}
"""
# A user's encoder: energies of a few bands. It notes every call, and stops where a file tells it to.
MODULE = """
from pathlib import Path

import numpy as np

BANDS = 12
NOTES = Path(__file__).with_name("calls.txt")
STOP = Path(__file__).with_name("stop")

def bands(waveforms):
    if STOP.exists() and len(NOTES.read_text().splitlines()) == int(STOP.read_text()):
        raise KeyboardInterrupt
    with open(NOTES, "a") as notes:
        notes.write(f"{len(waveforms)}\\n")
    spectra = [np.array_split(np.abs(np.fft.rfft(waveform)) ** 2, BANDS) for waveform in waveforms]
    energies = np.log([[band.mean() for band in spectrum] for spectrum in spectra])
    return energies - energies.mean(axis=1, keepdims=True)
"""


@pytest.fixture
def options(data: Path, tmp_path: Path) -> BenchmarkOptions:
    """MFCCs under three conditions."""
    (tmp_path / "three.yaml").write_text(CONDITIONS)
    return BenchmarkOptions(
        ("mfcc",), data / "test.tsv", tmp_path / "out", conditions=tmp_path / "three.yaml", replicates=50, seed=2
    )


@pytest.fixture
def unwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores and embeddings alone: drawing the figures takes longer than all of the rest."""
    monkeypatch.setattr(benchmark, "write_report", lambda folder, report: folder.path)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the module `csc_test_bands`, which is the working directory."""
    (tmp_path / "csc_test_bands.py").write_text(MODULE)
    (tmp_path / "calls.txt").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "csc_test_bands", raising=False)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def scores_of(out: Path) -> dict[str, np.ndarray]:
    """What was saved, by encoder and condition."""
    return {str(path.relative_to(out / "scores")): np.load(path) for path in sorted(out.rglob("scores/*/*.npy"))}


def test_an_interrupted_evaluation_goes_on(options, module, monkeypatch):
    """With the same bytes as without the interruption, and nothing is embedded twice."""
    monkeypatch.setattr(embedding, "PORTION", 6)
    options = replace(options, encoders=("csc_test_bands:bands",))
    calls, recordings = module / "calls.txt", len(read_manifest(options.manifest))
    assert recordings == 16
    run_benchmark(options)
    assert calls.read_text().split() == ["6", "6", "4"] * 4  # enrolment, and three conditions of the tests
    expected = contents(options.out)
    names = {"results.json", "results.md", "report.html", "trials.txt", "scores/csc_test_bands_bands/clean.npy"}
    assert names < set(expected)

    options.out.rename(module / "first")
    calls.write_text("")
    (module / "stop").write_text("7")  # in the middle of the second condition
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(options)
    kept = sorted(Path(name).name for name in contents(options.out))
    assert kept == [".lock", "clean.enrolment.embedded", "clean.test.embedded", "files.json", "trials.txt"]
    (module / "stop").unlink()
    calls.write_text("")
    run_benchmark(options)
    assert calls.read_text().split() == ["6", "6", "4"] * 2
    assert contents(options.out) == expected
    calls.write_text("")
    run_benchmark(options)
    assert calls.read_text() == "" and contents(options.out) == expected


def test_processes_change_nothing(options, monkeypatch):
    monkeypatch.setattr(embedding, "PORTION", 5)
    monkeypatch.setattr(Report, "figures", lambda report: {})  # drawing them takes longer than all of the rest
    options = replace(options, encoders=("untrained:csc_debug", "mfcc"), seconds=0.25)
    one, two = (replace(options, jobs=jobs, out=options.out / str(jobs)) for jobs in (1, 2))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # what this process computes with must not matter either
    try:
        reports = [run_benchmark(each) for each in (one, two)]
    finally:
        torch.set_num_threads(threads)
    assert reports[0].results == reports[1].results and reports[0].differences == reports[1].differences
    first, second = contents(one.out), contents(two.out)
    for found, folder in ((first, one.out), (second, two.out)):
        found["results.json"] = found["results.json"].replace(str(folder).encode(), b"out")
    assert first == second and "report.html" in first and sum(name.endswith(".npy") for name in first) == 2 * 3


@pytest.mark.parametrize("change", ["cut", "code", "weights", "noise", "audio"])
def test_kept_embeddings_of_other_settings_are_not_used(options, data, module, unwritten, change):
    """The second of two runs in one folder gives what it would give in a folder of its own."""

    def weights(seed):
        save_bundle(speaker_encoder(seed), module / "model.pt")

    second = options
    if change == "audio":
        second = options = replace(options, manifest=write_speech(module, "own", 6))
    if change == "cut":
        second = replace(options, seconds=0.2)
    elif change == "noise":
        second = replace(options, noises={"stationary": data / "noise.tsv"})
    elif change == "code":
        second = options = replace(options, encoders=("csc_test_bands:bands",))
    else:
        weights(0)
        second = options = replace(options, encoders=(f"{module}/model.pt",), seconds=0.2)
    run_benchmark(options)
    before = scores_of(options.out)
    if change == "code":
        (module / "csc_test_bands.py").write_text(MODULE.replace("BANDS = 12", "BANDS = 5"))
        del sys.modules["csc_test_bands"]
    elif change == "weights":
        weights(1)
    elif change == "audio":  # another recording in the place of the first, of the same length
        first = read_manifest(options.manifest).file(0)
        soundfile.write(first, soundfile.read(first)[0][::-1] ** 2, RATE, subtype="FLOAT")
    run_benchmark(second)
    run_benchmark(replace(second, out=module / "fresh"))
    found, expected = scores_of(options.out), scores_of(module / "fresh")
    assert len(found) == 3 and list(found) == list(expected) == list(before)
    for name, scores in expected.items():
        np.testing.assert_array_equal(found[name], scores)
        alike = change == "noise" and "white" not in name
        assert (np.abs(scores - before[name]).max() < 1e-6) == alike


@dataclass(frozen=True)
class ByHand:
    """MFCCs at 0.35 s and seed 2 under the standard grid, put together from the pieces that have tests of their own."""

    data: Path

    def heard(self, name: str) -> EvaluationSet:
        """A set of `data` with all pairs, those of the cohort without trials."""
        manifest = read_manifest(self.data / f"{name}.tsv")
        labelled = LabelledTrials.none(manifest) if name == "cohort" else LabelledTrials.all_pairs(manifest, 2)
        noises, rir = {"other": read_manifest(self.data / "noise.tsv")}, read_manifest(self.data / "rir.tsv")
        return EvaluationSet(manifest, labelled, 0.35, 2, noises, rir)

    def runner(self, name: str) -> EmbeddingRunner:
        return EmbeddingRunner(mfcc_encoder("mfcc"), self.heard(name).material(RATE))

    def scores(self, name: str, cohort: Cohort | None = None) -> dict[str, Scores]:
        return score_encoder(self.runner(name), self.heard(name).trials, STANDARD, cohort)

    def cohort(self, top_k: int) -> Cohort:
        return Cohort(embed_speakers(self.runner("cohort")), top_k)

    def calibration(self) -> Calibration:
        """From the development trials of all conditions."""
        targets = self.heard("dev").trials.targets
        best = np.stack([found.best for found in self.scores("dev").values()])
        return Calibration.fit(best[:, targets].ravel(), best[:, ~targets].ravel())


@pytest.fixture(scope="module")
def everything(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[BenchmarkOptions, Report]]:
    """A benchmark with every option, and its report."""
    options = BenchmarkOptions(
        ("mfcc",),
        data / "test.tsv",
        tmp_path_factory.mktemp("everything") / "out",
        noises={"other": data / "noise.tsv"},
        rir=data / "rir.tsv",
        dev=data / "dev.tsv",
        cohort=data / "cohort.tsv",
        top_k=4,
        speaker_table=data / "table.tsv",
        groups=("gender",),
        seconds=0.35,
        seed=2,
        replicates=50,
    )
    yield options, run_benchmark(options)


def test_figures_are_those_of_the_pieces(everything, data):
    """Scores, error rates, normalisation and calibration under every condition of the grid."""
    options, report = everything
    by_hand, saved = ByHand(data), scores_of(options.out)
    names = [condition.name for condition in STANDARD]
    assert report.conditions == STANDARD and [result.condition for result in report.results] == names
    assert list(saved) == sorted(f"mfcc/{name}.npy" for name in names)
    targets, calibration = by_hand.heard("test").trials.targets, by_hand.calibration()
    expected = by_hand.scores("test", by_hand.cohort(top_k=4))
    assert list(expected) == names
    for result, found in zip(report.results, expected.values(), strict=True):
        np.testing.assert_array_equal(saved[f"mfcc/{result.condition}.npy"], found.best)
        assert result.eer.value == eer(found.best[targets], found.best[~targets])
        assert result.normalised.value == eer(found.normalised[targets], found.normalised[~targets])
        llrs = calibration.llr(found.best)
        assert result.cllr == pytest.approx(cllr(llrs[targets], llrs[~targets]), rel=1e-9)
    assert report.results[0].eer.value < report.results[-1].eer.value
    # Six speakers: three of each gender are too few for an interval of their own.
    assert list(report.results[0].groups) == ["same gender", "cross gender"]


def test_results_json_tells_what_was_asked_for(everything, data):
    options, report = everything
    results = json.loads((options.out / "results.json").read_text())
    assert results["results"] == [asdict(result) for result in report.results]
    targets = ByHand(data).heard("test").trials.targets
    assert (results["targets"], results["nontargets"]) == (int(targets.sum()), int((~targets).sum()))
    settings = results["settings"]
    assert settings["noises"] == {"other": str(data / "noise.tsv")} and settings["cohort"] == str(data / "cohort.tsv")
    assert (settings["seed"], settings["seconds"], settings["replicates"], settings["top_k"]) == (2, 0.35, 50, 4)


def test_every_option_has_its_table(everything):
    titles = [table.title for table in everything[1].tables()]
    assert [title.split(",")[0].split(" (")[0] for title in titles] == [
        "Equal error rate",
        "Equal error rate after score normalisation",
        "Minimum detection cost at a target prior of 0.01",
        "Minimum detection cost at a target prior of 0.05",
        "Calibrated on the development speakers: C_llr",
        "Kinds of trials",
    ]


def test_all_pairs_are_left_as_a_list_that_gives_the_same(options, data, unwritten, tmp_path):
    run_benchmark(options)
    trials = LabelledTrials.all_pairs(read_manifest(data / "test.tsv"), options.seed).trials
    listed = replace(options, trials=options.out / "trials.txt", out=tmp_path / "listed")
    report = run_benchmark(listed)
    expected = scores_of(options.out)
    assert len(expected) == 3 and all(len(scores) == len(trials.enrol) for scores in expected.values())
    for name, scores in scores_of(listed.out).items():
        np.testing.assert_array_equal(scores, expected[name])
    np.testing.assert_array_equal(report.targets, trials.targets)
    assert str(options.out / "trials.txt") in report.facts["trials"] and "all pairs" not in report.facts["trials"]
    assert not (listed.out / "trials.txt").exists()


def test_scores_of_earlier_conditions_go(options, unwritten, tmp_path):
    """Otherwise they would be taken for those of the report."""
    run_benchmark(options)
    (tmp_path / "clean.yaml").write_text("- {name: clean}\n")
    before = scores_of(options.out)["mfcc/clean.npy"]
    run_benchmark(replace(options, conditions=tmp_path / "clean.yaml"))
    after = scores_of(options.out)
    assert list(after) == ["mfcc/clean.npy"]
    np.testing.assert_array_equal(after["mfcc/clean.npy"], before)


def test_what_an_earlier_evaluation_left_goes(options, unwritten, tmp_path):
    """Scores of an encoder that was not asked for this time, and a list that another one replaced."""
    run_benchmark(replace(options, encoders=("one=mfcc", "two=mfcc")))
    (options.out / "trials.txt").rename(tmp_path / "list.txt")
    run_benchmark(replace(options, encoders=("two=mfcc",)))
    assert {name.partition("/")[0] for name in scores_of(options.out)} == {"two"}
    assert (options.out / "trials.txt").exists()
    run_benchmark(replace(options, encoders=("two=mfcc",), trials=tmp_path / "list.txt"))
    assert not (options.out / "trials.txt").exists()


def test_files_of_others_stay(options, unwritten):
    """What an evaluation did not write is neither replaced nor removed, and is told before anything is done."""
    options.out.mkdir()
    (options.out / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"out: holds notes.txt, which no evaluation wrote; choose an empty folder"):
        run_benchmark(options)
    assert contents(options.out) == {"notes.txt": b"mine"}
    (options.out / "notes.txt").unlink()

    run_benchmark(options)
    (options.out / "scores" / "mine").mkdir()
    for name in ("scores/mine/clean.npy", "scores/mfcc/mine.npy", "scores_mine.png", "results.md"):
        (options.out / name).write_text("mine")
    run_benchmark(replace(options, encoders=("other=mfcc",)))
    found = contents(options.out)
    assert sum(content == b"mine" for content in found.values()) == 4
    assert {name for name in found if name.startswith("scores/mfcc")} == {"scores/mfcc/mine.npy"}


def test_a_list_in_the_folder_is_not_overwritten(options):
    """A list from which trials must be dropped, at the very place for what is left of it."""
    options.out.mkdir()
    lines = [f"{int(i == j)} s{i}/0.wav s{j}/1.wav" for i in range(6) for j in range(6)]
    (options.out / "trials.txt").write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"trials.txt: \d+ of its trials are left out, .*; move it elsewhere"):
        run_benchmark(replace(options, trials=options.out / "trials.txt"))
    assert (options.out / "trials.txt").read_text().split("\n")[:-1] == lines


def test_errors_of_encoders_name_the_recording(options, module, tmp_path):
    """Not the first one of those that were embedded together."""
    manifest = write_speech(tmp_path, "short", 6)
    soundfile.write(tmp_path / "short" / "s4" / "1.wav", 0.1 * np.cos(np.arange(100)), RATE, subtype="FLOAT")
    lines = manifest.read_text().splitlines()
    line = next(number for number, text in enumerate(lines, start=1) if text.startswith("s4/1.wav"))
    lines[line - 1] = "s4/1.wav\t100"
    manifest.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=rf"short.tsv:{line}, clean: encoder mfcc: recording 1 of 1 has 100 samples"):
        run_benchmark(replace(options, manifest=manifest))


def test_an_encoder_that_cannot_be_calibrated_keeps_its_other_figures(options, data, unwritten, monkeypatch):
    """No threshold errs on its development trials; the report says so."""
    seen = []

    def first_fails(scores, targets):
        seen.append(scores)
        if len(seen) == 1:
            raise CalibrationError("without an error")
        return Calibration(2.0, -1.0)

    monkeypatch.setattr(benchmark, "calibrate", first_fails)
    report = run_benchmark(replace(options, encoders=("one=mfcc", "two=mfcc"), dev=data / "dev.tsv"))
    assert [result.cllr is None for result in report.results] == [True] * 3 + [False] * 3
    assert report.results[0].eer == report.results[3].eer
    assert report.facts["calibration of one"] == "none, without an error" and "calibration of two" not in report.facts
    table = next(table for table in report.tables() if table.title.startswith("Calibrated"))
    assert [row[1] for row in table.rows] == ["–"] * 3 and "–" not in table.rows[0][2]


def test_models_of_several_recordings(options, data, unwritten, tmp_path):
    """A Kaldi list with its models; trials whose enrolled speaker interferes are dropped and counted."""
    lines = [f"m{i} s{j}/1.wav {'target' if i == j else 'nontarget'}" for i in range(1, 6) for j in range(1, 6)]
    (tmp_path / "list").write_text("\n".join(lines) + "\n")
    rows = [f"m{i} s{i}/0.wav" + (f" s{i}/2.wav" if i % 3 else "") for i in range(1, 6)]
    (tmp_path / "models").write_text("\n".join(rows) + "\n")
    report = run_benchmark(replace(options, trials=tmp_path / "list", enrolments=tmp_path / "models"))
    trials = read_trials(tmp_path / "list", read_manifest(data / "test.tsv"), tmp_path / "models", options.seed)
    assert trials.dropped > 0 and f"{trials.dropped} left out" in report.facts["trials"]
    assert report.results[0].targets + report.results[0].nontargets == 25 - trials.dropped
    runner = EmbeddingRunner(mfcc_encoder("mfcc"), _material(data, trials, options))
    expected = score_encoder(runner, trials, [CLEAN])["clean"].best
    np.testing.assert_array_equal(report.scores["clean"]["mfcc"], expected)


def _material(data, trials, options):
    manifest = read_manifest(data / "test.tsv")
    labelled = replace(LabelledTrials.none(manifest), trials=trials)
    return EvaluationSet(manifest, labelled, options.seconds, options.seed).material(RATE)


def test_the_grid_is_what_there_are_recordings_for(options, data, unwritten, tmp_path):
    def names(**changes):
        return [one.name for one in run_benchmark(replace(options, conditions=None, **changes)).conditions]

    white = [f"stationary noise {snr} dB" for snr in (10, 5, 0)]
    talkers = [f"talker {sir} dB" for sir in (10, 5, 0, -5)]
    assert names() == ["clean", *white, *talkers, "two talkers 0 dB"]
    assert "rir" in names(rir=data / "rir.tsv")
    # Of three speakers one is enrolled and one tested, so that one is left to interfere.
    assert names(manifest=write_speech(tmp_path, "three", 3)) == ["clean", *white, *talkers]


def test_embeddings_from_a_file_stand_beside_encoders(options, data, tmp_path):
    """For clean trials; alone they have no other conditions."""
    manifest = read_manifest(data / "test.tsv")
    names = np.array(manifest.names)
    waves = [soundfile.read(manifest.file(i), dtype="float32")[0] for i in range(len(names))]
    np.savez(tmp_path / "e.npz", names=names, embeddings=mfcc_encoder("mfcc").enrol(waves))
    report = run_benchmark(replace(options, encoders=("mfcc", f"file={tmp_path}/e.npz")))
    assert [(result.encoder, result.condition) for result in report.results] == [
        *(("mfcc", name) for name in ("clean", "talker 0 dB", "white 5 dB")),
        ("file", "clean"),
    ]
    np.testing.assert_allclose(report.scores["clean"]["file"], report.scores["clean"]["mfcc"], atol=1e-5)
    assert [(one.encoder, one.other) for one in report.differences] == [("mfcc", "file"), ("file", "mfcc")]
    with pytest.raises(InputError, match="e.npz: has no embedding of s1[0-4]/0.wav"):  # before anything is embedded
        run_benchmark(replace(options, encoders=(f"file={tmp_path}/e.npz",), dev=data / "dev.tsv", out=tmp_path / "no"))
    assert not (tmp_path / "no").exists()
    alone = run_benchmark(replace(options, encoders=(f"file={tmp_path}/e.npz",)))
    assert [result.condition for result in alone.results] == ["clean"] == list(alone.scores)
    (tmp_path / "mixed.yaml").write_text("- {name: talker, talkers: 1, sir_db: 0}\n")
    with pytest.raises(
        InputError, match="encoder file: holds embeddings of clean recordings, but no condition is clean"
    ):
        run_benchmark(replace(options, encoders=(f"file={tmp_path}/e.npz",), conditions=tmp_path / "mixed.yaml"))
