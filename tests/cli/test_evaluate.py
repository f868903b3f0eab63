"""`csc evaluate`: a table for people, files for the rest, and one line for what is wrong, before anything is computed."""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from csc_fairseq.cli.main import main
from csc_fairseq.data.manifest import write_labels, write_manifest
from csc_fairseq.verification.evaluation import benchmark
from csc_fairseq.verification.evaluation.benchmark import run_benchmark
from csc_fairseq.verification.evaluation.benchmark_options import BenchmarkOptions
from tests.integration.running import BIN, environment

TWO = "- {name: clean}\n- {name: talker -5 dB, talkers: 1, sir_db: -5}\n"
# Encoders of users: one for recordings at 8 kHz, one that fails as networks do, one that is fine.
MODULE = """
import numpy as np

def spectrum(waveforms):
    return [np.log(np.abs(np.fft.rfft(waveform, 64)) + 1e-6) for waveform in waveforms]

def broken(waveforms):
    rows = np.ones((len(waveforms), 4))
    rows[-1, 2] = np.nan
    return rows
"""


@pytest.fixture
def place(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The corpus as test.tsv in a folder to work in, with two.yaml, table.tsv and the module csc_test_users."""
    for name in ("tsv", "spk"):
        (corpus / f"train.{name}").rename(corpus / f"test.{name}")
    (corpus / "two.yaml").write_text(TWO)
    (corpus / "table.tsv").write_text("speaker\tgender\n" + "".join(f"speaker{i}\t{'fm'[i % 2]}\n" for i in range(4)))
    (corpus / "csc_test_users.py").write_text(MODULE)
    monkeypatch.chdir(corpus)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "csc_test_users", raising=False)
    return corpus


ENCODER, MANIFEST = ["--encoder", "mfcc"], ["--manifest", "test.tsv"]
USUAL = [*MANIFEST, "--conditions", "two.yaml", "--jobs", "1", "--replicates", "20"]


def evaluate(*words: str, out: str = "out") -> int:
    return main(["evaluate", *words, "--out", out])


def complaint(capsys: pytest.CaptureFixture[str], *words: str, out: str = "out") -> str:
    """The one line that a failing `csc evaluate` prints, having computed nothing."""
    capsys.readouterr()
    assert evaluate(*words, out=out) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1 and printed.err.startswith("csc evaluate: ")
    assert "Traceback" not in printed.err and printed.out == ""
    assert not list(Path(out).rglob("*.npz")) and not Path(out, "results.json").exists()
    return printed.err.removeprefix("csc evaluate: ").strip()


def test_the_table_is_printed_and_the_rest_is_written(place, bundle, capsys):
    words = ["--encoder", f"csc={bundle}", *ENCODER, *USUAL, "--seconds", "0.5", "--seed", "3"]
    assert evaluate(*words, out="new/out") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    report = run_benchmark(
        BenchmarkOptions(
            (f"csc={bundle}", "mfcc"),
            manifest=Path("test.tsv"),
            out=place / "again",
            conditions=Path("two.yaml"),
            seconds=0.5,
            seed=3,
            replicates=20,
        )
    )
    *table, _, last = printed.out.splitlines()
    assert table == report.tables()[0].text().splitlines()
    assert table[0] == "Equal error rate, % (95 % interval)" and table[1].split() == ["condition", "csc", "mfcc"]
    assert [line.split("  ")[0] for line in table[2:]] == ["clean", "talker -5 dB"]
    assert last == "new/out/report.html; results.json, results.md, scores and figures beside it"
    results = json.loads(Path("new/out/results.json").read_text())
    assert results["results"] == [asdict(result) for result in report.results]
    assert results["differences"] == [asdict(difference) for difference in report.differences]
    assert results["settings"]["encoders"] == [f"csc={bundle}", "mfcc"]
    assert [(result["encoder"], result["condition"]) for result in results["results"]] == [
        (encoder, condition) for encoder in ("csc", "mfcc") for condition in ("clean", "talker -5 dB")
    ]
    assert results["results"][1]["si_snri"] is not None and results["results"][3]["si_snri"] is None
    for encoder in ("csc", "mfcc"):
        scores = np.load(f"new/out/scores/{encoder}/talker -5 dB.npy")
        assert scores.dtype == np.float32 and len(scores) == results["targets"] + results["nontargets"] == 60
    assert Path("new/out/report.html").read_text().count("data:image/png") == 3
    assert len(list(Path("new/out").glob("*.png"))) == 3


# Every option but --device, which does not go with several processes.
ALL_WORDS = (
    "--encoder x=ge2e --trials t --enrolments e --conditions c --noise other=a stationary=b --rir r --speaker-table s "
    "--groups gender age --train n --dev d --cohort h --top-k 7 --force --seconds 2.5 --seed 4 --replicates 9 --jobs 3"
).split()
ALL_OPTIONS = {
    "encoders": ("mfcc", "x=ge2e"),
    "manifest": Path("test.tsv"),
    "out": Path("out"),
    "trials": Path("t"),
    "enrolments": Path("e"),
    "conditions": Path("c"),
    "noises": {"other": Path("a"), "stationary": Path("b")},
    "rir": Path("r"),
    "speaker_table": Path("s"),
    "groups": ["gender", "age"],
    "train": Path("n"),
    "force": True,
    "dev": Path("d"),
    "cohort": Path("h"),
    "top_k": 7,
    "seconds": 2.5,
    "seed": 4,
    "replicates": 9,
    "jobs": 3,
    "device": "cpu",
}


def test_options_reach_the_benchmark(place, monkeypatch, capsys):
    """Each under its own name, and those that are not given with the benchmark's defaults."""
    seen = []

    class Enough(Exception):
        pass

    def note(options, progress):
        seen.append(options)
        raise Enough

    monkeypatch.setattr(benchmark, "run_benchmark", note)
    for given in ([], ALL_WORDS):
        with pytest.raises(Enough):
            evaluate(*ENCODER, *MANIFEST, *given)
    bare, full = seen
    given = {"encoders": ("mfcc",), "manifest": Path("test.tsv"), "out": Path("out"), "noises": {}, "groups": []}
    assert bare == BenchmarkOptions(**given, jobs=bare.jobs)
    assert bare.jobs >= 1
    assert full == BenchmarkOptions(**ALL_OPTIONS)
    assert set(ALL_OPTIONS) == {field.name for field in fields(BenchmarkOptions)}


def test_the_real_command_gives_the_same_bytes_whatever_the_order_of_sets(place):
    """In other processes with other hashes, so with sets in another order."""
    words = ["--encoder", "csc_test_users:spectrum", *ENCODER, *USUAL]
    words += ["--speaker-table", "table.tsv", "--groups", "gender", "--out", "out"]
    found = []
    for seed in ("1", "2"):
        process = subprocess.run(
            [str(BIN / "csc"), "evaluate", *words], capture_output=True, text=True, check=False,
            env=environment() | {"PYTHONHASHSEED": seed},
        )  # fmt: skip
        assert (process.returncode, process.stderr) == (0, "")
        files = {path.relative_to("out"): path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}
        found.append((process.stdout, files))
        shutil.rmtree("out")
    assert found[0] == found[1]
    # The list of files and the lock; the trials; results and figures; scores and embeddings of two encoders.
    assert len(files) == 2 + 1 + 3 + 3 + 2 * (2 + 3)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 s0_0.wav s0_9.wav", "trials.txt:2: test 's0_9.wav' is not in {place}/test.tsv; expected a name"),
        ("0 nobody.wav s0_0.wav", "trials.txt:2: enrol 'nobody.wav' is not in {place}/test.tsv"),
        ("1 s0_0.wav s1_0.wav", "trials.txt:2: is a target trial of the speakers speaker0 and speaker1"),
        ("1 s0_0.wav", "trials.txt:2: has 2 fields, expected"),
        ("0 s0_0.wav s2_0.wav", "trials.txt: has no target trials"),
    ],
)
def test_faulty_lists(place, capsys, line, message):
    (place / "trials.txt").write_text(f"0 s0_0.wav s3_1.wav\n{line}\n")
    assert message.format(place=place) in complaint(capsys, *ENCODER, *USUAL, "--trials", "trials.txt")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--encoder", "mfccc"], "encoder 'mfccc': is not an encoder; expected mfcc, ge2e, campplus, untrained:CONFIG"),
        (["--encoder", "gone.pt"], "gone.pt: no such file"),
        (["--encoder", "mfcc"], "--encoder: two are called 'mfcc'; name them apart, --encoder NAME=mfcc"),
        (["--encoder", "a b=mfcc", "--encoder", "a_b=mfcc"], "--encoder: two are called 'a b'"),
        (["--encoder", "untrained:csc_tiny"], "there is no configuration 'csc_tiny', expected one of csc_base"),
        (["--encoder", "mfcc,separate=gone.pt"], "gone.pt: no such file"),
        (
            ["--encoder", "mfcc,mixture=yes"],
            "mixture is about the recording beside its streams; give separate=csc.pt as well",
        ),
        (
            ["--encoder", "x=mfcc+ge2e"],
            "--encoder x=mfcc+ge2e: is a sum of two, whose weights are fitted on development trials; give speakers for them "
            "with --dev",
        ),
        (["--encoder", "mfcc+mfcccc"], "encoder 'mfcc+mfcccc': is not an encoder; expected mfcc, ge2e"),
        (
            ["--encoder", "x=mfcc+mfcc", "--dev", "pairs.tsv"],
            "encoder x: is the sum of mfcc and itself; name two encoders",
        ),
        (["--encoder", "x=mfcc+gone.pt", "--dev", "pairs.tsv"], "gone.pt: no such file"),
        (["--encoder", "csc_test_users:gone"], "csc_test_users.py has no function 'gone'"),
        (["--encoder", "csc_test_users:broken"], "encoder csc_test_users:broken: gave NaN, infinite or all-zero"),
        (["--encoder", "csc_test_users:spectrum,rate=8000"], "takes 8000 Hz, but {place}/s0_0.wav has 16000 Hz"),
        (["--noise", "babble=two.yaml"], "--noise babble=…: expected stationary or other"),
        (["--noise", "two.yaml"], "--noise two.yaml: expected KIND=FILE.tsv, stationary or other, each once"),
        (["--noise", "other=a.tsv", "other=b.tsv"], "--noise other=b.tsv: expected KIND=FILE.tsv"),
        (["--noise", "other=gone.tsv"], "gone.tsv: cannot be read (No such file"),
        (["--rir", "gone.tsv"], "gone.tsv: cannot be read (No such file"),
        (["--conditions", "rir.yaml"], "condition 'room': needs room impulse responses, found none"),
        (["--conditions", "noise.yaml"], "condition 'street': needs recordings of other noise, found none"),
        (["--conditions", "bad.yaml"], "bad.yaml:2: has the unknown field 'sirdb'"),
        (["--groups", "gender"], "--groups gender: is a column of a table; give it with --speaker-table"),
        (["--speaker-table", "table.tsv", "--groups", "age"], "table.tsv: has no column 'age'; expected one of gender"),
        (["--speaker-table", "few.tsv", "--groups", "gender"], "few.tsv: lacks 3 of the 4 speakers"),
        (["--speaker-table", "gone.tsv", "--groups", "gender"], "gone.tsv: cannot be read"),
        (["--enrolments", "models"], "--enrolments models: belongs to a list of trials; give it with --trials"),
        (["--cohort", "others.tsv"], "--top-k 100: {place}/others.tsv has 2 speakers; ask for that many at most"),
        (["--cohort", "others.tsv", "--top-k", "1"], "--top-k 1: expected at least 2"),
        (["--cohort", "test.tsv"], "test.tsv: 4 of its 4 speakers are those of test.tsv too (speaker0, …)"),
        (["--dev", "test.tsv"], "test.tsv: 4 of its 4 speakers are those of test.tsv too (speaker0, …)"),
        (
            ["--dev", "others.tsv", "--train", "others.tsv"],
            "others.tsv: 2 of its 2 speakers are those of others.tsv too",
        ),
        (["--dev", "others.tsv"], "others.tsv: has no target trial, expected a speaker with 2 recordings"),
        (["--speaker-table", "table.tsv"], "--speaker-table table.tsv: say by which columns, with --groups"),
        (["--seconds", "0"], "--seconds 0: recordings cannot be cut to that, expected 0.1 or more"),
        (["--seconds", "inf"], "--seconds inf: recordings cannot be cut to that"),
        (["--seconds", "nan"], "--seconds nan: recordings cannot be cut to that"),
        (["--seed", "-1"], "--seed -1: expected 0 or more"),
        (["--jobs", "0"], "--jobs 0: expected at least 1"),
        (["--jobs", "2", "--device", "meta"], "--jobs 2 would share meta; use --jobs 1 there"),
        (["--device", "abacus"], "--device abacus: cannot be used"),
        (["--replicates", "0"], "--replicates 0: expected at least 1"),
    ],
)
def test_faulty_options(place, capsys, words, message):
    (place / "rir.yaml").write_text("- {name: clean}\n- {name: room, rir: true}\n")
    (place / "noise.yaml").write_text("- {name: street, noise: other, snr_db: 5}\n")
    (place / "bad.yaml").write_text("- {name: clean}\n- {name: talker, talkers: 1, sirdb: 5}\n")
    (place / "few.tsv").write_text("speaker\tgender\nspeaker1\tf\n")
    write_manifest("others.tsv", place, [("s0_0.wav", 8000), ("s1_0.wav", 9800)])
    write_labels("others.spk", ["other0", "other1"])
    write_manifest("pairs.tsv", place, [(f"s{i}_{j}.wav", 8000) for i in range(2) for j in range(2)])
    write_labels("pairs.spk", ["other0", "other0", "other1", "other1"])
    usual = USUAL[:2] + USUAL[4:] if "--conditions" in words else USUAL
    first = [] if any("csc_test_users" in word for word in words) else ENCODER
    assert message.format(place=place) in complaint(capsys, *first, *usual, *words)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "test.tsv").unlink(), "test.tsv: cannot be read"),
        (lambda folder: (folder / "test.spk").unlink(), "test.spk: no such file"),
        (lambda folder: (folder / "test.spk").write_text("one\n" * 11), "test.spk: has 11 lines"),
        (lambda folder: (folder / "test.spk").write_text("one\n" * 12), "test.tsv: has no non-target trial among 1 speakers"),
        (
            lambda folder: (folder / "test.spk").write_text("a\nb\n" * 6),
            "test.tsv: at most 0 speakers can interfere with some of its recordings, condition 'talker -5 dB' takes 1",
        ),
        (lambda folder: (folder / "s1_1.wav").write_bytes(b"noise"), "s1_1.wav: is not intact"),
        (lambda folder: (folder / "out").touch(), "out: cannot be made (File exists); choose another --out"),
    ],
)  # fmt: skip
def test_faulty_files(place, capsys, spoil, message):
    spoil(place)
    assert evaluate(*ENCODER, *USUAL) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and error.startswith("csc evaluate: ")
    assert not Path("out/results.json").exists()


def test_output_below_a_file(place, capsys):
    message = complaint(capsys, *ENCODER, *USUAL, out="test.tsv/out")
    assert (
        message == "test.tsv/out: cannot be made (Not a directory); choose another --out, or a short --encoder NAME=…"
    )


@pytest.fixture
def unwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    """No figures: they take longer than all of the rest."""
    monkeypatch.setattr(benchmark, "write_report", lambda folder, report: folder.path)


def test_training_speakers_are_refused(place, unwritten, capsys):
    for name in ("tsv", "spk"):
        shutil.copy(f"test.{name}", f"shared.{name}")
    write_labels("shared.spk", [f"other{i // 3}" if i < 9 else "speaker3" for i in range(12)])
    message = complaint(capsys, *ENCODER, *USUAL, "--train", "shared.tsv")
    assert message.startswith("test.tsv: 1 of its 4 speakers are those of shared.tsv too (speaker3, …); ")
    assert "--force" in message
    assert evaluate(*ENCODER, *USUAL, "--train", "shared.tsv", "--force") == 0
    write_labels("shared.spk", [f"other{i // 3}" for i in range(12)])
    assert evaluate(*ENCODER, *USUAL, "--train", "shared.tsv", out="apart") == 0


def save_checkpoint(encoder, path: str, level: str, identities: list[str]) -> None:
    weights = {f"encoder.{name}": tensor for name, tensor in encoder.network.state_dict().items()}
    state = {
        "cfg": {"model": {"_name": "csc", **asdict(encoder.network.config)}},
        "model": weights,
        "task_state": {"identities": identities, "identity_level": level, "sample_rate": 16000},
    }
    torch.save(state, path)


def test_speakers_of_a_checkpoint_are_refused(place, encoder, unwritten, capsys):
    """What it was trained on, as far as it says so: sessions and recordings have names of their own."""
    save_checkpoint(encoder, "seen.pt", "speaker", ["speaker2", "somebody", "speaker0"])
    words = [*ENCODER, *USUAL, "--seconds", "0.3"]
    message = complaint(capsys, "--encoder", "ours=seen.pt", *words)
    assert message.startswith("test.tsv: 2 of its 4 speakers are those of seen.pt too (speaker0, …); ")
    assert evaluate("--encoder", "ours=seen.pt", *words, "--force", out="forced") == 0
    save_checkpoint(encoder, "unseen.pt", "speaker", ["somebody"])
    save_checkpoint(encoder, "sessions.pt", "session", ["speaker0"])
    for name in ("unseen", "sessions"):
        assert evaluate("--encoder", f"{name}.pt", *words, out=name) == 0
        scores = Path(name, "scores", f"{name}.pt", "clean.npy").read_bytes()
        assert scores == Path("forced/scores/ours/clean.npy").read_bytes()


def test_speakers_of_what_separates_and_of_what_is_summed_are_refused(place, encoder, unwritten, capsys):
    """By the checkpoint that knows them."""
    save_checkpoint(encoder, "seen.pt", "speaker", ["speaker1"])
    save_checkpoint(encoder, "unseen.pt", "speaker", ["somebody"])
    for name in ("tsv", "spk"):
        shutil.copy(f"test.{name}", f"dev.{name}")
    write_labels("dev.spk", [f"other{i // 3}" for i in range(12)])
    words = [*USUAL, "--dev", "dev.tsv"]
    for text in ("mfcc,separate=seen.pt", "unseen.pt,separate=seen.pt", "seen.pt,separate=unseen.pt", "mfcc+seen.pt"):
        message = complaint(capsys, "--encoder", text, *words)
        assert message.startswith("test.tsv: 1 of its 4 speakers are those of seen.pt too (speaker1, …); ")


def test_noise_and_rooms_of_another_rate(place, capsys):
    """Read only when something is rendered, but named as clearly."""
    (place / "noisy.yaml").write_text("- {name: clean}\n- {name: street, noise: other, snr_db: 5}\n")
    (place / "noise").mkdir()
    soundfile.write(place / "noise" / "a.wav", np.ones(9000) * 0.1, 8000)
    write_manifest(place / "noise.tsv", place / "noise", [("a.wav", 9000)])
    words = [*USUAL[:2], *USUAL[4:], "--conditions", "noisy.yaml", "--noise", "other=noise.tsv"]
    assert evaluate(*ENCODER, *words) == 2
    error = capsys.readouterr().err
    assert "noise/a.wav: has 8000 Hz, expected 16000 Hz" in error and error.count("\n") == 1


def test_an_interruption_is_told(place, capsys, monkeypatch):
    def interrupted(options, progress):
        raise KeyboardInterrupt

    monkeypatch.setattr(benchmark, "run_benchmark", interrupted)
    assert evaluate(*ENCODER, *USUAL) == 130
    assert capsys.readouterr().err == "csc evaluate: interrupted\n"
