"""What checkpoints tell about their training, and what the report says where they tell nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch

from csc_fairseq.data.manifest import read_manifest, write_labels, write_manifest
from csc_fairseq.inference.fairseq_files import hides_speakers, speakers_of
from csc_fairseq.verification.benchmark_options import BenchmarkOptions
from csc_fairseq.verification.conditions import STANDARD
from csc_fairseq.verification.ground import Ground, without_trials
from csc_fairseq.verification.provenance import checkpoint_of, description, facts_of, settings_of


@pytest.fixture
def save(tmp_path: Path):
    """save(name, state): a file that torch reads; its path as text."""

    def write(name: str, **state: object) -> str:
        torch.save(state, tmp_path / name)
        return str(tmp_path / name)

    return write


@pytest.fixture
def options(tmp_path: Path) -> BenchmarkOptions:
    write_manifest(tmp_path / "test.tsv", tmp_path, [("a.wav", 16000), ("b.wav", 16000), ("c.wav", 16000)])
    write_labels(tmp_path / "test.spk", ["a", "b", "a"])
    return BenchmarkOptions(("mfcc",), tmp_path / "test.tsv", tmp_path / "out")


def csc(save, name: str, level: str, identities: list[str]) -> str:
    task = {"identities": identities, "identity_level": level, "sample_rate": 16000}
    history = [{"num_updates": 100}, {"num_updates": 250}]
    return save(name, cfg={"model": {"_name": "csc"}}, model={}, task_state=task, optimizer_history=history)


def test_checkpoints_tell_their_speakers(save):
    assert speakers_of(Path(csc(save, "a.pt", "speaker", ["x", "y", "x"]))) == {"x", "y"}
    assert speakers_of(Path(csc(save, "b.pt", "session", ["x/1", "y/1"]))) is None
    bundle = save("c.pt", format="csc-bundle", version=1, identity_level="speaker")
    wav2vec = save(
        "d.pt", cfg={"model": {"_name": "wav2vec2"}}, task_state={"identity_level": "speaker", "identities": ["x"]}
    )
    assert speakers_of(Path(bundle)) is speakers_of(Path(wav2vec)) is None
    assert hides_speakers(bundle) and hides_speakers(wav2vec) and not hides_speakers(csc(save, "e.pt", "speaker", ["x"]))
    for heard, hidden in ((["z"], False), (None, True)):  # of a fine-tuned encoder, whose pre-training tells or does not
        task = {"identity_level": "speaker", "identities": ["x"], "pretraining_speakers": heard}
        verifier = save("f.pt", cfg={"model": {"_name": "speaker_verifier"}}, task_state=task)
        assert speakers_of(verifier) == {"x", *(heard or ())} and hides_speakers(verifier) == hidden


def test_encoders_are_described(save, tmp_path):
    path = csc(save, "a.pt", "speaker", ["x", "y", "z"])
    expected = f"csc, {path}, 3 identities of level speaker, 250 updates"
    assert description(f"ours={path},variant=s") == description(path) == expected
    wav2vec = save("w.pt", cfg={"model": {"_name": "wav2vec2"}}, optimizer_history=[{"num_updates": 7}])
    assert description(f"{wav2vec},layer=3") == f"wav2vec2, {wav2vec}, 7 updates"
    bundle = save("b.pt", format="csc-bundle", version=1, identity_level="session")
    assert description(bundle) == f"csc, {bundle}, identities of level session"
    timed = save("t.pt", cfg={"model": {"_name": "hubert"}}, extra_state={"previous_training_time": 125.0})
    assert description(timed) == f"hubert, {timed}, 2 minutes of training"
    assert [description(text) for text in ("mfcc", "x=untrained:csc_small", "m:f")] == [
        "mfcc",
        "untrained:csc_small",
        "m:f",
    ]
    np.savez(tmp_path / "e.npz", names=["a"])
    assert checkpoint_of(f"{tmp_path}/e.npz") is None and description(f"{tmp_path}/e.npz") == f"{tmp_path}/e.npz"
    assert checkpoint_of(f"{tmp_path}/gone.pt") is None


def test_facts_say_what_is_known_of_training_speakers(save, options):
    def fact(**changes):
        return facts_of(BenchmarkOptions(**(vars(options) | changes)), ground, {})["training speakers"]

    manifest = read_manifest(options.manifest)
    ground = Ground(manifest, without_trials(manifest), {}, None, 10.0, 0)
    known, unknown = csc(save, "a.pt", "speaker", ["x"]), csc(save, "b.pt", "utterance", ["x"])
    assert fact(encoders=("mfcc", known)) == "none in the test"
    assert fact(encoders=("mfcc", known, f"b={unknown}")) == "none in the test, as far as known: b do not tell theirs"
    assert fact(encoders=("ge2e", "e.npz", "x=untrained:csc_small", "own=m:f")) == (
        "none in the test, as far as known: ge2e, e.npz, own do not tell theirs"
    )
    assert fact(encoders=(unknown,), train=Path("train.tsv")) == "none of those of train.tsv"
    assert fact(encoders=(known,), force=True).startswith("NOT CHECKED (--force)")
    facts = facts_of(
        BenchmarkOptions(**(vars(options) | {"cohort": Path("c.tsv"), "top_k": 7})), ground, {"mfcc": "why"}
    )
    assert facts["recordings"] == f"3 of 2 speakers, {options.manifest}, cut to 10 s"
    assert facts["calibration of mfcc"] == "none, why" and facts["encoder mfcc"] == "mfcc"
    assert facts["score normalisation"] == "speakers of c.tsv, the 7 most similar ones"


def test_settings_name_files_by_their_content(save, options):
    manifest = read_manifest(options.manifest)
    ground = Ground(manifest, without_trials(manifest), {}, None, 10.0, 0)
    path = csc(save, "a.pt", "speaker", ["x"])
    noise = options.manifest.with_name("n.tsv")
    write_manifest(noise, noise.parent, [("n.wav", 16000)])
    both = BenchmarkOptions(**(vars(options) | {"encoders": ("mfcc", path), "noises": {"other": noise}, "jobs": 3}))
    found = settings_of(both, ground, STANDARD[:2])
    assert found["settings"]["noises"] == {"other": str(noise)} and found["settings"]["trials"] is None
    assert found["settings"]["manifest"] == str(options.manifest) and found["settings"]["encoders"] == ("mfcc", path)
    assert [one["name"] for one in found["conditions"]] == ["clean", "stationary noise 10 dB"]
    assert "jobs" not in found["settings"]  # they change nothing
    assert set(found["digests"]) == {str(options.manifest), str(noise), path}
    csc(save, "a.pt", "speaker", ["y"])
    other = settings_of(both, ground, STANDARD[:2])["digests"]
    assert (
        other[path] != found["digests"][path]
        and other[str(options.manifest)] == found["digests"][str(options.manifest)]
    )
