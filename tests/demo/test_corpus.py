"""The demo's corpus: synthesised by the real espeak-ng, split by voice, written as manifests."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from csc_fairseq.data.manifest import read_labels, read_lines, read_manifest
from csc_fairseq.demo import corpus
from csc_fairseq.demo.corpus import CorpusOptions, build_corpus, is_held_out, synthesise_voice, voices
from csc_fairseq.errors import InputError

SMALL = CorpusOptions(voices=24, utterances=3, validation=1)


@pytest.fixture(scope="module")
def folder(once: Callable[..., Path]) -> Path:
    def build(folder: Path) -> None:
        assert build_corpus(folder / "corpus", SMALL)

    return once("spoken", build) / "corpus"


def test_voices_differ_and_the_held_out_third_has_high_and_low_ones():
    table = voices(CorpusOptions())
    assert len(table) == len({voice.name for voice in table}) == 60
    assert len({voice.voice.split("+")[1] for voice in table}) == 60
    for field in ("pitch", "range", "rate"):
        assert len({getattr(voice, field) for voice in table}) > 15
    high = {name.lower() for name in corpus.HIGH}
    held_out = [voice.name in high for number, voice in enumerate(table) if is_held_out(number)]
    assert len(held_out) == 20
    assert 3 <= sum(held_out) <= 8  # 16 of 60 are high: about 5 of 20
    assert voices(CorpusOptions()) == table
    assert voices(CorpusOptions(seed=2)) != table


def test_manifests_describe_the_files(folder):
    counts = {}
    for split in ("train", "valid", "test"):
        manifest = read_manifest(folder / f"{split}.tsv")
        counts[split] = len(manifest)
        for number in range(len(manifest)):
            info = soundfile.info(manifest.file(number))
            assert (info.samplerate, info.channels, info.frames) == (16000, 1, manifest.frames[number])
            assert 3.0 <= info.duration <= 5.0
        assert [Path(name).parent.name for name in manifest.names] == read_labels(manifest, "spk")
    assert counts == {"train": 32, "valid": 16, "test": 24}


def test_test_voices_are_unseen_and_every_sentence_is_new(folder):
    speakers = {split: set(read_lines(folder / f"{split}.spk")) for split in ("train", "valid", "test")}
    assert speakers["train"] == speakers["valid"]
    assert len(speakers["train"]) == 16 and len(speakers["test"]) == 8
    assert not speakers["train"] & speakers["test"]
    texts = [text for split in ("train", "valid", "test") for text in read_lines(folder / f"{split}.txt")]
    assert len(texts) == len(set(texts)) == 72


def test_audio_is_speech_at_a_sane_level(folder):
    manifest = read_manifest(folder / "test.tsv")
    for number in range(len(manifest)):
        samples, _ = soundfile.read(manifest.file(number))
        assert 0.003 < np.sqrt(np.mean(samples**2)) < 0.3
        assert np.mean(np.abs(samples) > 0.99) < 1e-3  # not clipped
        assert abs(samples.mean()) < 0.01


def test_rerun_reuses_and_other_options_rebuild(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "synthesise_voice", fake_voice)
    assert build_corpus(tmp_path / "c", SMALL)
    (tmp_path / "c" / "mine").touch()
    assert not build_corpus(tmp_path / "c", SMALL)
    assert (tmp_path / "c" / "mine").exists()
    assert build_corpus(tmp_path / "c", CorpusOptions(voices=24, utterances=3, validation=2))
    assert not (tmp_path / "c" / "mine").exists()


def test_interrupted_build_is_not_reused(tmp_path, monkeypatch):
    def interrupt(job: dict, folder: Path) -> list[dict]:
        raise KeyboardInterrupt

    monkeypatch.setattr(corpus, "synthesise_voice", interrupt)
    with pytest.raises(KeyboardInterrupt):
        build_corpus(tmp_path / "c", SMALL)
    monkeypatch.setattr(corpus, "synthesise_voice", fake_voice)
    assert build_corpus(tmp_path / "c", SMALL)


def test_voice_that_crashes_is_left_out_with_a_warning(tmp_path, monkeypatch, capfd):
    broken = voices(CorpusOptions(voices=25))[0]

    def sometimes(job: dict, folder: Path) -> list[dict]:
        if job["voice"] == broken.voice:
            raise InputError(f"voice {broken.voice}: crashed")
        return fake_voice(job, folder)

    monkeypatch.setattr(corpus, "synthesise_voice", sometimes)
    build_corpus(tmp_path / "c", CorpusOptions(voices=25, utterances=3, validation=1))
    assert f"left out: voice {broken.voice}: crashed" in capfd.readouterr().err
    assert broken.name not in read_lines(tmp_path / "c" / "train.spk")
    with pytest.raises(InputError, match="23 voices could be spoken, expected at least 24"):
        build_corpus(tmp_path / "d", SMALL)


def test_crash_of_the_library_is_an_error_message(tmp_path, monkeypatch):
    crashing = tmp_path / "crashing"
    crashing.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crashing.chmod(0o755)
    monkeypatch.setattr(corpus.sys, "executable", str(crashing))
    with pytest.raises(InputError, match=r"voice en\+f1: synthesis ended with status -11: no message"):
        synthesise_voice({"voice": "en+f1"}, tmp_path)


def test_unknown_voice_is_an_error_message(tmp_path):
    job = corpus.speaking_job(voices(SMALL)[0], SMALL) | {"voice": "en+nobody"}
    with pytest.raises(InputError, match="espeak-ng has no voice 'en\\+nobody'"):
        synthesise_voice(job, tmp_path)


@pytest.mark.parametrize("wrong", [{"voices": 23}, {"voices": 61}, {"validation": 0}, {"validation": 12}])
def test_options_are_checked(wrong):
    with pytest.raises(InputError, match="expected"):
        CorpusOptions(**wrong)


def fake_voice(job: dict, folder: Path) -> list[dict]:
    """The answer of synthesise_voice without any audio."""
    return [{"file": f"{n:02d}.flac", "frames": 50000 + n, "text": job["texts"][n]} for n in range(job["utterances"])]
