"""What the report says about encoders, data and settings, for people and for programs."""

from dataclasses import replace
from pathlib import Path

import pytest

from csc_fairseq.data.manifest import read_manifest, write_labels, write_manifest
from csc_fairseq.digests import file_digest
from csc_fairseq.verification.encoders.mfcc import mfcc_encoder
from csc_fairseq.verification.evaluation.benchmark_options import BenchmarkOptions
from csc_fairseq.verification.evaluation.compared_encoder import ComparedEncoder
from csc_fairseq.verification.evaluation.compared_sum import ComparedSum, FittedSum
from csc_fairseq.verification.evaluation.evaluation_set import EvaluationSet, LabelledTrials
from csc_fairseq.verification.evaluation.provenance import facts_of, settings_of
from csc_fairseq.verification.metrics.fusion import Fusion
from csc_fairseq.verification.trials.conditions import STANDARD


def compared(name: str, hides_speakers: bool = False, checkpoint: Path | None = None) -> ComparedEncoder:
    """An encoder of which only what it tells matters."""
    files = {} if checkpoint is None else {checkpoint: f"digest of {name}'s file"}
    return ComparedEncoder(name, mfcc_encoder(name), f"what {name} is", {}, hides_speakers, files, f"digest of {name}")


@pytest.fixture
def options(tmp_path: Path) -> BenchmarkOptions:
    write_manifest(tmp_path / "test.tsv", tmp_path, [("a.wav", 16000), ("b.wav", 16000), ("c.wav", 16000)])
    write_labels(tmp_path / "test.spk", ["a", "b", "a"])
    return BenchmarkOptions(("mfcc",), tmp_path / "test.tsv", tmp_path / "out")


@pytest.fixture
def tested(options: BenchmarkOptions) -> EvaluationSet:
    manifest = read_manifest(options.manifest)
    return EvaluationSet(manifest, LabelledTrials.none(manifest), 10.0, 0)


def test_facts_say_what_is_known_of_training_speakers(options, tested):
    known, unknown, other = compared("known"), compared("b", hides_speakers=True), compared("c", hides_speakers=True)

    def fact(*encoders: ComparedEncoder, **changes: object) -> str:
        return facts_of(replace(options, **changes), tested, encoders, {})["training speakers"]

    assert fact(known) == "none in the test"
    assert fact(known, unknown) == "none in the test, as far as known: b do not tell theirs"
    assert fact(unknown, known, other) == "none in the test, as far as known: b, c do not tell theirs"
    assert fact(unknown, train=Path("train.tsv")) == "none of those of train.tsv"
    assert fact(known, force=True).startswith("NOT CHECKED (--force)")


def test_facts_for_people(options, tested):
    asked = replace(options, cohort=Path("c.tsv"), top_k=7, dev=Path("d.tsv"))
    facts = facts_of(asked, tested, [compared("mfcc"), compared("x")], {"mfcc": "why"})
    assert facts["recordings"] == f"3 of 2 speakers, {options.manifest}, cut to 10 s"
    assert facts["calibration"] == "all pairs of d.tsv, one for all conditions"
    assert facts["calibration of mfcc"] == "none, why"
    assert (facts["encoder mfcc"], facts["encoder x"]) == ("what mfcc is", "what x is")
    assert facts["score normalisation"] == "speakers of c.tsv, the 7 most similar ones"


def test_settings_name_files_by_their_content(options, tested, tmp_path):
    noise = tmp_path / "n.tsv"
    write_manifest(noise, tmp_path, [("n.wav", 16000)])
    asked = replace(options, encoders=("mfcc", "a.pt"), noises={"other": noise}, jobs=3)
    encoders = [compared("mfcc"), compared("a", checkpoint=Path("runs/a.pt"))]
    found = settings_of(asked, tested, STANDARD[:2], encoders)
    assert found["settings"]["noises"] == {"other": str(noise)} and found["settings"]["trials"] is None
    assert found["settings"]["manifest"] == str(options.manifest) and found["settings"]["encoders"] == ("mfcc", "a.pt")
    assert [one["name"] for one in found["conditions"]] == ["clean", "stationary noise 10 dB"]
    assert "jobs" not in found["settings"]  # they change nothing
    files = {str(path): file_digest(path) for path in (options.manifest, noise)}
    assert found["digests"] == {**files, "runs/a.pt": "digest of a's file"}
    assert found["sums"] == {}
    write_manifest(noise, tmp_path, [("m.wav", 16000)])
    other = settings_of(asked, tested, STANDARD[:2], encoders)["digests"]
    assert other[str(noise)] != found["digests"][str(noise)]
    assert other[str(options.manifest)] == found["digests"][str(options.manifest)]


def test_sums_tell_their_parts_and_weights(options, tested):
    """A part's checkpoint counts, and so does what a part does not tell of its training."""
    parts = (
        compared("a", checkpoint=Path("runs/a.pt")),
        compared("b", hides_speakers=True, checkpoint=Path("runs/b.pt")),
    )
    both = ComparedSum("both", parts)
    fitted = FittedSum(both, Fusion((12.34567, -0.5), -3.0))
    asked = replace(options, dev=Path("d.tsv"))
    facts = facts_of(asked, tested, [parts[0], both], {}, [fitted])
    assert facts["score of both"] == "12.35 × a - 0.5 × b - 3, fitted on d.tsv"
    assert facts["encoder both"] == "the sum of what a is; and of what b is"
    assert facts["training speakers"] == "none in the test, as far as known: both do not tell theirs"
    found = settings_of(options, tested, STANDARD[:1], [parts[0], both], [fitted])
    assert found["sums"] == {"both": {"weights": {"a": 12.34567, "b": -0.5}, "offset": -3.0}}
    assert (
        found["digests"]["runs/a.pt"] == "digest of a's file" and found["digests"]["runs/b.pt"] == "digest of b's file"
    )
