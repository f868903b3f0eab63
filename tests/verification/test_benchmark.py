"""The whole benchmark on small recordings: interrupted, in several processes, again, and with every option."""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from scipy.signal import lfilter

from csc_fairseq.data.manifest import read_labels, read_manifest, write_labels, write_manifest
from csc_fairseq.errors import InputError
from csc_fairseq.inference.checkpoint import save_bundle
from csc_fairseq.inference.speaker_encoder import SpeakerEncoder
from csc_fairseq.modules.separative_encoder import SeparativeEncoder, SeparativeEncoderConfig
from csc_fairseq.verification import benchmark, embedding, ground
from csc_fairseq.verification.benchmark import run_benchmark
from csc_fairseq.verification.benchmark_options import BenchmarkOptions
from csc_fairseq.verification.calibration import Calibration, CalibrationError, cllr
from csc_fairseq.verification.conditions import STANDARD
from csc_fairseq.verification.encoders.mfcc import mfcc_encoder
from csc_fairseq.verification.evaluation import CLEAN, embed_speakers, score_encoder
from csc_fairseq.verification.ground import Ground, all_pairs, development_trials, without_trials
from csc_fairseq.verification.metrics import eer
from csc_fairseq.verification.normalisation import Cohort
from csc_fairseq.verification.report import Report
from csc_fairseq.verification.runner import EmbeddingRunner, Workers
from csc_fairseq.verification.trial_file import read_trials

RATE = 16000
CONDITIONS = """
- {name: clean}
- {name: talker 0 dB, talkers: 1, sir_db: 0}
- {name: white 5 dB, noise: stationary, snr_db: 5}
"""
# Somebody's encoder: energies of a few bands. It notes every call, and stops where a file tells it to.
MODULE = """
import os
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

def dies(waveforms):
    os._exit(1)
"""


def write_speech(folder: Path, name: str, speakers: int, first: int = 0) -> Path:
    """Manifest name.tsv with .spk: noises of different colours, two or three recordings a speaker; its path."""
    entries, labels = [], []
    for speaker in range(first, first + speakers):
        for utterance in range(3 if speaker % 3 else 2):
            rng = np.random.default_rng([speaker, utterance])
            samples = 4800 + 800 * int(rng.integers(5))
            colour = [1, 0.9 * np.sin(speaker) + 0.25 * rng.standard_normal(), 0.5 * np.cos(3 * speaker)]
            file = f"s{speaker}/{utterance}.wav"
            (folder / name / file).parent.mkdir(parents=True, exist_ok=True)
            wave = lfilter(colour, 1, 0.05 * rng.standard_normal(samples))
            soundfile.write(folder / name / file, wave, RATE, subtype="FLOAT")
            entries.append((file, samples))
            labels.append(f"s{speaker}")
    write_manifest(folder / f"{name}.tsv", folder / name, entries)
    write_labels(folder / f"{name}.spk", labels)
    return folder / f"{name}.tsv"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """test.tsv, dev.tsv and cohort.tsv of 6, 5 and 8 speakers, noise.tsv, rir.tsv, table.tsv and three.yaml."""
    folder, rng = tmp_path_factory.mktemp("benchmark"), np.random.default_rng(0)
    for name, speakers, first in (("test", 6, 0), ("dev", 5, 10), ("cohort", 8, 20)):
        write_speech(folder, name, speakers, first)
    for name, length in (("noise", 12000), ("rir", 500)):
        (folder / name).mkdir()
        decay = np.exp(-np.arange(length) / 40) if name == "rir" else 0.1
        for i in range(3):
            soundfile.write(folder / name / f"{i}.wav", decay * rng.standard_normal(length), RATE, subtype="FLOAT")
        write_manifest(folder / f"{name}.tsv", folder / name, [(f"{i}.wav", length) for i in range(3)])
    rows = [f"s{i}\t{'fm'[i % 2]}" for i in range(6)]
    (folder / "table.tsv").write_text("\n".join(["speaker\tgender", *rows]) + "\n")
    (folder / "three.yaml").write_text(CONDITIONS)
    return folder


@pytest.fixture
def options(data, tmp_path) -> BenchmarkOptions:
    """MFCCs under three conditions."""
    return BenchmarkOptions(
        ("mfcc",), data / "test.tsv", tmp_path / "out", conditions=data / "three.yaml", replicates=50, seed=2
    )


@pytest.fixture
def unwritten(monkeypatch) -> None:
    """Scores and embeddings alone: drawing the figures takes longer than all of the rest."""
    monkeypatch.setattr(benchmark, "write_report", lambda folder, report: folder)


@pytest.fixture
def module(tmp_path, monkeypatch) -> Path:
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
    assert kept == ["clean.enrolment.npz", "clean.test.npz", "trials.txt"]
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
    assert reports[0].cells == reports[1].cells and reports[0].differences == reports[1].differences
    first, second = contents(one.out), contents(two.out)
    for found, folder in ((first, one.out), (second, two.out)):
        found["results.json"] = found["results.json"].replace(str(folder).encode(), b"out")
    assert first == second and "report.html" in first and sum(name.endswith(".npy") for name in first) == 2 * 3


def test_a_process_that_dies_is_told(data, module):
    trialled = without_trials(read_manifest(data / "test.tsv"))
    material = Ground(read_manifest(data / "test.tsv"), trialled, {}, None, 10.0, 0).material(RATE)
    workers = Workers("csc_test_bands:dies", 1)
    with EmbeddingRunner(mfcc_encoder("mine"), material, workers) as runner:
        with pytest.raises(InputError, match="encoder mine: one of 1 processes was ended; .* fewer --jobs"):
            runner.embedded(CLEAN, "test", range(3))


@pytest.mark.parametrize("change", ["cut", "code", "weights", "noise", "audio"])
def test_kept_embeddings_of_other_settings_are_not_used(options, data, module, unwritten, change):
    """The second of two runs in one folder gives what it gives in a folder of its own."""

    def weights(seed):
        torch.manual_seed(seed)
        sizes = SeparativeEncoderConfig(
            waveform_channels=16, window=64, channels=8, attention_heads=2, recurrent_channels=8, memory_size=4
        )
        save_bundle(SpeakerEncoder(SeparativeEncoder(sizes), RATE, "speaker"), module / "model.pt")

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


def test_every_option_goes_where_it_belongs(options, data):
    """Scores, cells and what surrounds them, against the pieces put together by hand."""
    options = replace(
        options,
        conditions=None,
        noises={"other": data / "noise.tsv"},
        rir=data / "rir.tsv",
        dev=data / "dev.tsv",
        cohort=data / "cohort.tsv",
        top_k=4,
        speaker_table=data / "table.tsv",
        groups=("gender",),
        seconds=0.35,
    )
    report = run_benchmark(options)
    assert report.conditions == STANDARD and [cell.condition for cell in report.cells] == [one.name for one in STANDARD]
    saved = scores_of(options.out)
    assert list(saved) == sorted(f"mfcc/{one.name}.npy" for one in STANDARD)

    def heard(name):
        manifest = read_manifest(data / f"{name}.tsv")
        trials = all_pairs(manifest, 2) if name != "cohort" else None
        own = without_trials(manifest)
        own = replace(own, trials=trials) if trials else own
        return Ground(
            manifest, own, {"other": read_manifest(data / "noise.tsv")}, read_manifest(data / "rir.tsv"), 0.35, 2
        )

    def scored(name, cohort=None):
        here = heard(name)
        runner = EmbeddingRunner(mfcc_encoder("mfcc"), here.material(RATE))
        return here.trialled.trials, score_encoder(runner, here.trialled.trials, STANDARD, cohort)

    cohort = Cohort(embed_speakers(EmbeddingRunner(mfcc_encoder("mfcc"), heard("cohort").material(RATE))), 4)
    trials, expected = scored("test", cohort)
    dev_trials, dev = scored("dev")
    best = np.stack([found.best for found in dev.values()])
    calibration = Calibration.fit(best[:, dev_trials.targets].ravel(), best[:, ~dev_trials.targets].ravel())
    targets = trials.targets
    for cell, (name, found) in zip(report.cells, expected.items(), strict=True):
        assert cell.condition == name
        np.testing.assert_array_equal(saved[f"mfcc/{name}.npy"], found.best)
        assert cell.eer.value == eer(found.best[targets], found.best[~targets])
        assert cell.normalised.value == eer(found.normalised[targets], found.normalised[~targets])
        llrs = calibration.llr(found.best)
        assert cell.cllr == pytest.approx(cllr(llrs[targets], llrs[~targets]), rel=1e-9)
    assert report.cells[0].eer.value < report.cells[-1].eer.value
    # Six speakers: three of each gender are too few for an interval of their own.
    assert list(report.cells[0].groups) == ["same gender", "cross gender"]

    results = json.loads((options.out / "results.json").read_text())
    assert results["cells"] == [asdict(cell) for cell in report.cells]
    assert (results["targets"], results["nontargets"]) == (int(targets.sum()), int((~targets).sum()))
    settings = results["settings"]
    assert settings["noises"] == {"other": str(data / "noise.tsv")} and settings["cohort"] == str(data / "cohort.tsv")
    assert (settings["seed"], settings["seconds"], settings["replicates"], settings["top_k"]) == (2, 0.35, 50, 4)
    titles = [table.title for table in report.tables()]
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
    trials = all_pairs(read_manifest(data / "test.tsv"), options.seed)
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
    """Whoever reads the folder shall not take them for those of the report."""
    run_benchmark(options)
    (tmp_path / "clean.yaml").write_text("- {name: clean}\n")
    before = scores_of(options.out)["mfcc/clean.npy"]
    run_benchmark(replace(options, conditions=tmp_path / "clean.yaml"))
    after = scores_of(options.out)
    assert list(after) == ["mfcc/clean.npy"]
    np.testing.assert_array_equal(after["mfcc/clean.npy"], before)


def test_what_an_earlier_time_left_goes(options, unwritten, tmp_path):
    """Scores of an encoder that is not asked for any more, and a list that another one replaced."""
    run_benchmark(replace(options, encoders=("one=mfcc", "two=mfcc")))
    (options.out / "trials.txt").rename(tmp_path / "list.txt")
    run_benchmark(replace(options, encoders=("two=mfcc",)))
    assert {name.partition("/")[0] for name in scores_of(options.out)} == {"two"}
    assert (options.out / "trials.txt").exists()
    run_benchmark(replace(options, encoders=("two=mfcc",), trials=tmp_path / "list.txt"))
    assert not (options.out / "trials.txt").exists()


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
    soundfile.write(tmp_path / "short" / "s4" / "1.wav", np.full(100, 0.1), RATE, subtype="FLOAT")
    lines = manifest.read_text().splitlines()
    line = next(number for number, text in enumerate(lines, start=1) if text.startswith("s4/1.wav"))
    lines[line - 1] = "s4/1.wav\t100"
    manifest.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=rf"short.tsv:{line}, clean: encoder mfcc: recording 1 of 1 has 100 samples"):
        run_benchmark(replace(options, manifest=manifest))


def test_development_trials_are_as_many_as_needed(data, monkeypatch):
    monkeypatch.setattr(ground, "DEVELOPMENT_TRIALS", 20)
    manifest = read_manifest(data / "dev.tsv")
    drawn, every = development_trials(manifest, 0), all_pairs(manifest, 0)
    assert len(drawn.targets) == 20 < len(every.targets) and int(drawn.targets.sum()) == 10
    monkeypatch.setattr(ground, "DEVELOPMENT_TRIALS", 10**6)
    np.testing.assert_array_equal(development_trials(manifest, 0).enrol, every.enrol)


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
    assert [cell.cllr is None for cell in report.cells] == [True] * 3 + [False] * 3
    assert report.cells[0].eer == report.cells[3].eer
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
    assert report.cells[0].targets + report.cells[0].nontargets == 25 - trials.dropped
    runner = EmbeddingRunner(mfcc_encoder("mfcc"), _material(data, trials, options))
    expected = score_encoder(runner, trials, [CLEAN])["clean"].best
    np.testing.assert_array_equal(report.scores["clean"]["mfcc"], expected)


def _material(data, trials, options):
    manifest = read_manifest(data / "test.tsv")
    trialled = replace(without_trials(manifest), trials=trials)
    return Ground(manifest, trialled, {}, None, options.seconds, options.seed).material(RATE)


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
    assert [(cell.encoder, cell.condition) for cell in report.cells] == [
        *(("mfcc", name) for name in ("clean", "talker 0 dB", "white 5 dB")),
        ("file", "clean"),
    ]
    np.testing.assert_allclose(report.scores["clean"]["file"], report.scores["clean"]["mfcc"], atol=1e-5)
    assert [(one.encoder, one.other) for one in report.differences] == [("mfcc", "file"), ("file", "mfcc")]
    with pytest.raises(InputError, match="e.npz: has no embedding of s1[0-4]/0.wav"):  # before anything is embedded
        run_benchmark(replace(options, encoders=(f"file={tmp_path}/e.npz",), dev=data / "dev.tsv", out=tmp_path / "no"))
    assert not (tmp_path / "no").exists()
    alone = run_benchmark(replace(options, encoders=(f"file={tmp_path}/e.npz",)))
    assert [cell.condition for cell in alone.cells] == ["clean"] == list(alone.scores)
    (tmp_path / "mixed.yaml").write_text("- {name: talker, talkers: 1, sir_db: 0}\n")
    with pytest.raises(
        InputError, match="encoder file: holds embeddings of clean recordings, but no condition is clean"
    ):
        run_benchmark(replace(options, encoders=(f"file={tmp_path}/e.npz",), conditions=tmp_path / "mixed.yaml"))


def test_labels_stay_with_their_recordings(data):
    """Speakers in the manifest's order, whatever the order of their names."""
    manifest = read_manifest(data / "dev.tsv")
    material = Ground(manifest, without_trials(manifest), {}, None, 0.1, 0).material(8000)
    assert material.longest == 800 and material.pool.sample_rate == 8000
    assert [material.pool.group_labels[group] for group in material.pool.groups] == read_labels(manifest, "spk")


def test_one_session_a_speaker_parts_no_trials(data, tmp_path):
    """`csc evaluate` has no option to allow trials within a session, and needs none."""
    manifest = read_manifest(write_speech(tmp_path, "own", 6))
    write_labels(manifest.path.with_suffix(".session"), read_labels(manifest, "spk"))
    np.testing.assert_array_equal(all_pairs(manifest, 0).test, all_pairs(read_manifest(data / "test.tsv"), 0).test)
