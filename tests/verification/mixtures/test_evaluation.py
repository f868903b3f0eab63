"""`csc evaluate --mixtures`: what is measured, what is kept, and what is refused."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mir_eval.separation import bss_eval_sources

from csc_fairseq.cli.main import main
from csc_fairseq.data.fixed_mixtures import read_fixed_mixtures
from csc_fairseq.verification.evaluation.result_folder import ResultFolder
from csc_fairseq.verification.mixtures import measuring
from csc_fairseq.verification.mixtures.evaluation import MixtureEvaluation, evaluate_mixtures
from tests.corpora.trees import librimix
from tests.making import (
    SAMPLE_RATE,
    bundled,
    csc_checkpoint,
    fails,
    saved,
    separative_network,
    speaker_encoder,
    voice,
    write_recording,
    write_recordings,
)


@pytest.fixture(scope="session")
def manifests(once) -> Path:
    """Folder with test.tsv and dev.tsv of a small Libri2Mix, and one.tsv of one talker with noise."""

    def fill(folder: Path) -> None:
        root = librimix(folder / "Libri2Mix")
        for kind, subsets, out in (("mix_clean", ["test", "dev"], folder), ("mix_single", ["dev"], folder / "one")):
            words = ["--kind", kind, "--subsets", *subsets, "--out", str(out)]
            assert main(["prepare", "librimix", str(root), *words]) == 0

    return once("manifests_of_mixtures", fill)


@pytest.fixture
def options(manifests, tmp_path) -> MixtureEvaluation:
    csc = bundled(speaker_encoder(), tmp_path / "csc.pt")
    return MixtureEvaluation(
        (manifests / "test.tsv", manifests / "dev.tsv"), (f"csc={csc}",), tmp_path / "out", replicates=20
    )


def test_an_evaluation(options, monkeypatch):
    table = evaluate_mixtures(options)
    content = json.loads((options.out / "results.json").read_text())
    test, dev = content["results"]
    assert (test["mixtures"], test["talkers"], test["resampled"]) == (3, 2, "speakers") and dev["mixtures"] == 1
    mixtures = read_fixed_mixtures(options.manifests[0])
    values = [measuring.measure(speaker_encoder(), mixtures, index) for index in range(3)]
    assert [test["si_snri"]["value"], test["sdri"]["value"]] == pytest.approx(np.mean(values, axis=0))
    for figure in ("si_snri", "sdri"):
        assert test[figure]["low"] is test[figure]["high"] is None  # of four speakers
    assert f"csc, {options.manifests[0]}" in (options.out / "results.md").read_text()
    # Again: nothing is measured, and nothing changes.
    monkeypatch.setattr(measuring, "measure", None)
    assert evaluate_mixtures(options) == table


class Leaking:
    """Separates a mixture of 500 and 1000 Hz, but for some of the other tone in each stream, and gives the streams in reverse."""

    sample_rate = SAMPLE_RATE

    def separate(self, samples: np.ndarray, talkers: int) -> np.ndarray:
        assert talkers == 2
        spectrum = np.fft.rfft(samples)
        tones = []
        for hertz in (500, 1000):
            own = np.zeros_like(spectrum)
            place = hertz * len(samples) // SAMPLE_RATE
            own[place] = spectrum[place]
            tones.append(np.fft.irfft(own, len(samples)))
        low, high = tones
        return np.stack([high + 0.2 * low, low + 0.1 * high]).astype(np.float32)


def test_improvements_by_hand(tmp_path):
    """Tones of amplitudes 0.2 and 0.1: in the mixture +6.02 and −6.02 dB.

    The low one with a tenth of the high one: 10 log (0.2² / 0.01²) = 26.02. The high one with a fifth of the low one:
    10 log (0.1² / 0.04²) = 7.96. So they improve by 20 and 13.98.
    """
    time = np.arange(8000) / SAMPLE_RATE
    low, high = 0.2 * np.sin(2 * np.pi * 500 * time), 0.1 * np.sin(2 * np.pi * 1000 * time)
    signals = {"mix.wav": low + high, "low.wav": low, "high.wav": high}
    path = write_recordings(tmp_path / "all.tsv", signals).path
    mixed = write_recordings(tmp_path / "test.tsv", {"mix.wav": low + high}, root=path.with_suffix("")).path
    mixed.with_suffix(".sources").write_text("low.wav\thigh.wav\n")
    mixtures = read_fixed_mixtures(mixed)
    si_snri, sdri = measuring.measure(Leaking(), mixtures, 0)
    assert si_snri == pytest.approx((20 + 13.98) / 2, abs=0.01)
    silent = write_recording(tmp_path / "all" / "high.wav", np.zeros(8000))
    message = fails(measuring.measure, Leaking(), mixtures, 0)
    assert message.startswith(f"{mixed.with_suffix('.sources')}:1: {silent} is digitally silent")


class Knowing:
    """Gives these streams, whatever it hears."""

    sample_rate = 8000

    def __init__(self, streams: np.ndarray) -> None:
        self.streams = streams

    def separate(self, samples: np.ndarray, talkers: int) -> np.ndarray:
        return self.streams


@pytest.mark.filterwarnings("ignore:mir_eval.separation:FutureWarning")
def test_the_sdr_has_512_taps_at_any_rate(tmp_path):
    """As published figures have: mir_eval's BSS-eval at 8 kHz."""
    sources = np.stack([voice(speaker, 0, 0.5) for speaker in (1, 2)])
    signals = {"mix.wav": sources.sum(0), "a.wav": sources[0], "b.wav": sources[1]}
    write_recordings(tmp_path / "all.tsv", signals, sample_rate=8000)
    path = write_recordings(tmp_path / "test.tsv", {"mix.wav": signals["mix.wav"]}, None, tmp_path / "all", 8000).path
    path.with_suffix(".sources").write_text("a.wav\tb.wav\n")
    # Some of the other talker, and an echo that 256 taps do not reach.
    estimates = sources + 0.1 * sources[::-1] + 0.2 * np.roll(sources, 300, axis=1)
    sdri = measuring.measure(Knowing(estimates), read_fixed_mixtures(path), 0)[1]
    heard, mixed = (
        bss_eval_sources(sources, one, compute_permutation=False)[0]
        for one in (estimates, np.stack([sources.sum(0)] * 2))
    )
    assert sdri == pytest.approx((heard - mixed).mean(), abs=1e-2)


def test_what_is_kept_depends_on_the_files(manifests, tmp_path, monkeypatch):
    mixtures, asked = read_fixed_mixtures(manifests / "test.tsv"), []
    monkeypatch.setattr(measuring, "measure", lambda model, mixtures, index: asked.append(index) or (0.0, 0.0))
    for key in (["csc"], ["csc"], ["other"]):
        measuring.MeasuredPieces(tmp_path, key).measured(None, mixtures)
    assert asked == [0, 1, 2] * 2
    copy = tmp_path / "copy"
    shutil.copytree(mixtures.manifest.root, copy)
    moved = replace(mixtures, manifest=replace(mixtures.manifest, root=copy))
    for _ in range(2):
        measuring.MeasuredPieces(tmp_path, ["csc"]).measured(None, moved)
    assert len(asked) == 9
    os.utime(moved.files(2)[1], (1, 1))  # another file in its place
    measuring.MeasuredPieces(tmp_path, ["csc"]).measured(None, moved)
    assert len(asked) == 12


def test_long_mixtures_have_as_many_streams_as_sources(tmp_path):
    sources = [np.concatenate([voice(speaker, take, 3.0) for take in range(5)]) for speaker in (1, 2)]
    signals = {"mix.wav": sources[0] + sources[1], "a.wav": sources[0], "b.wav": sources[1]}
    write_recordings(tmp_path / "all.tsv", signals)
    path = write_recordings(tmp_path / "test.tsv", {"mix.wav": signals["mix.wav"]}, root=tmp_path / "all").path
    path.with_suffix(".sources").write_text("a.wav\tb.wav\n")
    model, asked = speaker_encoder(), []
    separate = model.separate
    model.separate = lambda samples, talkers: asked.append(separate(samples, talkers=talkers)) or asked[-1]
    found = measuring.measure(model, read_fixed_mixtures(path), 0)
    assert asked[0].shape == (2, 15 * SAMPLE_RATE) and np.isfinite(found).all()


def test_an_evaluation_goes_on_where_it_was_interrupted(options, monkeypatch):
    monkeypatch.setattr(measuring, "PIECE", 2)
    measure, done = measuring.measure, []

    def interrupted(model, mixtures, index):
        if index == 2:
            raise KeyboardInterrupt
        done.append(index)
        return measure(model, mixtures, index)

    only = replace(options, manifests=options.manifests[:1])
    with monkeypatch.context() as patched:
        patched.setattr(measuring, "measure", interrupted)
        with pytest.raises(KeyboardInterrupt):
            evaluate_mixtures(only)
    assert done == [0, 1] and not (only.out / "results.json").exists()

    def the_other(model, mixtures, index):
        assert index == 2
        return measure(model, mixtures, index)

    monkeypatch.setattr(measuring, "measure", the_other)
    evaluate_mixtures(only)
    assert json.loads((only.out / "results.json").read_text())["results"][0]["mixtures"] == 3


def test_files_of_others_stay(options):
    only = replace(options, manifests=options.manifests[:1])
    only.out.mkdir()
    mine = only.out / "results.md"
    mine.write_text("mine")
    assert f"{only.out}: holds results.md, which no evaluation wrote" in fails(evaluate_mixtures, only)
    mine.rename(only.out.parent / "results.md")
    with ResultFolder(only.out) as folder:
        folder.write("results.json", b"of trials")
    assert f"{only.out}: holds results of `csc evaluate --manifest`" in fails(evaluate_mixtures, only)
    assert (only.out / "results.json").read_text() == "of trials"


def test_what_does_not_fit(options, manifests, tmp_path):
    only = replace(options, manifests=options.manifests[:1])
    message = fails(evaluate_mixtures, replace(only, manifests=(manifests / "one" / "dev.tsv",)))
    assert (
        "its mixtures have 1 sources, but encoder csc separates 2 talkers; take a model trained with task.sources=1"
        in message
    )
    eight = bundled(speaker_encoder(sample_rate=8000), tmp_path / "eight.pt")
    assert "takes 8000 Hz, but" in fails(evaluate_mixtures, replace(only, encoders=(str(eight),)))
    for text in ("mfcc", "embeddings.npz", f"mfcc+{eight}", f"mfcc,separate={eight}"):
        assert "does not separate mixtures; name a checkpoint" in fails(
            evaluate_mixtures, replace(only, encoders=(text,))
        )
    state = csc_checkpoint(separative_network(), identities=["librispeech/61", "x"], identity_level="speaker")
    trained = replace(only, encoders=(str(saved(state, tmp_path / "trained.pt")),))
    message = fails(evaluate_mixtures, trained)
    assert "1 of its 4 speakers are those of" in message and "--force" in message
    evaluate_mixtures(replace(trained, force=True))
    assert "two have one name" in fails(evaluate_mixtures, replace(only, encoders=options.encoders * 2))
    assert "is named twice" in fails(lambda: replace(only, manifests=only.manifests * 2))
    assert "--seed -1: expected 0 or more" in fails(lambda: replace(only, seed=-1))
    assert "--replicates 0: expected at least 1" in fails(lambda: replace(only, replicates=0))


def test_the_command(options, capsys):
    words = ["evaluate", "--mixtures", str(options.manifests[1]), "--encoder", *options.encoders, "--replicates", "5"]
    assert main([*words, "--out", str(options.out)]) == 0
    printed = capsys.readouterr().out
    assert "Separation of fixed mixtures" in printed and str(options.out / "results.md") in printed
    for option, where in (("--trials", "--manifest"), ("--dev", "--manifest or --conversations")):
        assert main([*words, "--out", str(options.out), option, "x.txt"]) == 2
        assert f"{option} goes with {where}; leave it out" in capsys.readouterr().err
