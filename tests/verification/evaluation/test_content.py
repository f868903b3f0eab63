"""Character error rates against cases counted by hand, and probes as they come from training."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import editdistance
import numpy as np
import pytest
import soundfile
import torch
from fairseq.data import Dictionary
from fairseq.models import build_model
from fairseq.tasks.audio_finetuning import AudioFinetuningConfig, AudioFinetuningTask
from omegaconf import OmegaConf

from csc_fairseq.backbones.backbone import Backbone
from csc_fairseq.backbones.loading import backbone_from_settings
from csc_fairseq.data.manifest import Manifest, read_manifest, write_labels, write_lines, write_manifest
from csc_fairseq.errors import InputError
from csc_fairseq.inference.loading import save_bundle
from csc_fairseq.models import ctc_probe  # noqa: F401  registers the model
from csc_fairseq.modules.ctc_head import CtcHead
from csc_fairseq.verification.evaluation.content import (
    Reading,
    best_path,
    content_report,
    count_edits,
    load_reader,
    transcribe,
)
from tests.making import XVECTOR, make_wav2vec, save_cfg, saved, speaker_encoder, syllables
from tests.verification.evaluation.reads import count_reads

LETTERS = "|ABC"


def test_best_path():
    """_ A A _ A B B _ is A A B, whatever the margins."""
    path = [0, 1, 1, 0, 1, 2, 2, 0]
    scores = torch.rand(len(path), 3, generator=torch.Generator().manual_seed(0))
    scores[range(len(path)), path] += 1
    assert best_path(scores.log_softmax(-1), blank=0) == [1, 1, 2]
    assert best_path(scores.log_softmax(-1), blank=2) == [0, 1, 0, 1, 0]


class Parrot:
    """Says what it is told to, one answer a recording; remembers what it was given."""

    sample_rate, shortest = 16000, 100

    def __init__(self, answers):
        self.answers, self.heard = iter(answers), []

    def read(self, waveform):
        self.heard.append(waveform)
        return next(self.answers).split()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., None]:
    """write(name, samples, rate=16000): a float WAV file in the test's folder."""

    def make(name: str, samples: np.ndarray, rate: int = 16000) -> None:
        soundfile.write(tmp_path / name, samples, rate, subtype="FLOAT")

    return make


@pytest.fixture
def manifest(tmp_path: Path, write: Callable[..., None]) -> Manifest:
    """Three recordings with transcripts: "IT'S ME", "GO" and "NO"."""
    lengths = {"a.wav": 4000, "b.wav": 3000, "c.wav": 2000}
    for seed, (name, samples) in enumerate(lengths.items()):
        write(name, syllables(samples, seed))
    write_manifest(tmp_path / "test.tsv", tmp_path, list(lengths.items()))
    write_labels(tmp_path / "test.ltr", ["I T ' S | M E |", "G O |", "N O |"])
    return read_manifest(tmp_path / "test.tsv")


def test_edits_counted_by_hand(manifest):
    """An apostrophe deleted and an E inserted; nothing read at all; one letter for another."""
    parrot = Parrot(["I T S | M E E |", "", "S O |"])
    readings = list(transcribe(parrot, manifest))
    assert [(reading.edits, reading.letters) for reading in readings] == [(2, 8), (3, 3), (1, 3)]
    assert [(reading.said, reading.read) for reading in readings] == [("IT'S ME", "ITS MEE"), ("GO", ""), ("NO", "SO")]
    assert [reading.name for reading in readings] == list(manifest.names) and readings[0].speaker is None
    for seed, heard in enumerate(parrot.heard):
        np.testing.assert_array_equal(heard, syllables(len(heard), seed))
    report = content_report(readings)
    assert report.cer == pytest.approx(100 * 6 / 14)  # not the mean of the recordings' rates, which is 52.8 %
    assert (report.edits, report.letters, report.resampled, report.units) == (6, 14, "recordings", 3)


def test_speakers_are_read_where_they_are_known(manifest):
    write_labels(manifest.path.with_suffix(".spk"), ["x", "y", "x"])
    readings = list(transcribe(Parrot(["G O |"] * 3), manifest))
    assert [reading.speaker for reading in readings] == ["x", "y", "x"]
    assert content_report(readings).resampled == "speakers"


def test_what_cannot_be_read(manifest, write):
    path = manifest.path.with_suffix(".ltr")
    write_lines(path, ["G O |"] * 2)
    with pytest.raises(InputError, match="test.ltr: has 2 lines, but .* has 3 recordings"):
        list(transcribe(Parrot([]), manifest))
    write_lines(path, ["G O |"] * 3)
    write("b.wav", syllables(4000), 8000)
    with pytest.raises(InputError, match="b.wav: has 8000 Hz, expected 16000 Hz"):
        list(transcribe(Parrot(["G O |"] * 3), manifest))
    assert len(list(transcribe(Parrot(["G O |"] * 3), manifest, resample=True))) == 3
    write("c.wav", syllables(99))
    with pytest.raises(InputError, match="c.wav: has 99 samples, expected 100 at least"):
        list(transcribe(Parrot(["G O |"] * 3), manifest, resample=True))
    path.unlink()
    with pytest.raises(InputError, match=r"test.ltr: no such file.*csc prepare transcripts"):
        list(transcribe(Parrot([]), manifest))


def reading(edits, letters, speaker=None, name="a.wav"):
    return Reading(name, speaker, "", "", edits, letters)


def test_interval_against_a_loop():
    rng = np.random.default_rng(4)
    readings = [
        reading(int(edits), int(letters), f"s{i % 7}")
        for i, (edits, letters) in enumerate(zip(rng.integers(0, 30, 40), rng.integers(20, 60, 40), strict=True))
    ]
    rates = []
    for _ in range(4000):
        drawn = [f"s{number}" for number in rng.integers(0, 7, 7)]
        taken = [entry for speaker in drawn for entry in readings if entry.speaker == speaker]
        rates.append(100 * sum(entry.edits for entry in taken) / sum(entry.letters for entry in taken))
    report = content_report(readings, replicates=4000)
    assert report.units == 7
    np.testing.assert_allclose(report.interval, np.percentile(rates, [2.5, 97.5]), atol=1)
    assert report.interval[0] < report.cer < report.interval[1]
    assert content_report(readings, replicates=4000) == report


def test_speakers_widen_the_interval():
    """One speaker is read without a fault, the other not at all: recordings of one speaker are not independent."""
    by_speaker = content_report([reading(10 * (i % 2), 10, f"s{i % 2}") for i in range(40)])
    by_recording = content_report([reading(10 * (i % 2), 10) for i in range(40)])
    assert by_speaker.cer == by_recording.cer == 50
    assert by_speaker.interval == (0, 100)
    assert 25 < by_recording.interval[0] < 45 and 55 < by_recording.interval[1] < 75


def test_no_interval_from_one_speaker():
    report = content_report([reading(1, 10, "x"), reading(5, 10, "x")])
    assert report.cer == 30 and report.interval is None
    assert "no interval" in report.line() and "30.0 %" in report.line()
    assert json.loads(json.dumps(report.as_json()))["recordings"][1]["edits"] == 5
    with pytest.raises(InputError, match="there are no recordings"):
        content_report([])


def test_the_line():
    report = content_report([reading(1, 10, "x"), reading(1, 10, "y")])
    assert report.line() == (
        "character error rate 10.0 % (95 % interval 10.0 to 10.0 over 2 speakers); 2 edits in 20 letters of 2 recordings"
    )


def test_edits_are_those_of_another_implementation():
    """Symbols of several characters count once; long stretches may be shifted against each other."""
    rng = random.Random(0)
    symbols = ["A", "B", "|", "'", "É", "<unk>", "CH"]
    for _ in range(300):
        known = symbols[: rng.randint(1, len(symbols))]
        read, said = (rng.choices(known, k=rng.randint(shortest, 60)) for shortest in (0, 1))
        assert count_edits(read, said) == editdistance.eval(read, said)
    said = rng.choices(symbols, k=200)
    shifted = said[60:] + rng.choices(symbols, k=60)
    assert count_edits(shifted, said) == editdistance.eval(shifted, said)
    by_hand = {"": 3, "ABC": 0, "AB": 1, "ABBC": 1, "AXC": 1, "BCA": 2}
    assert {read: count_edits(list(read), list("ABC")) for read in by_hand} == by_hand


def pretrained(kind: str, path: Path) -> Path:
    """A pre-training checkpoint or bundle with random weights."""
    if kind == "csc":
        save_bundle(speaker_encoder(), path)
    else:
        save_cfg(path, *make_wav2vec())
    return path


@pytest.mark.parametrize("kind", ["csc", "wav2vec2"])
def test_a_probe_reads_as_in_training(tmp_path, monkeypatch, kind):
    """The letters of fairseq's own path, from the checkpoint alone, which is read once and not by fairseq."""
    (tmp_path / "dict.ltr.txt").write_text("".join(f"{letter} 1\n" for letter in LETTERS))
    options = {"data": str(tmp_path), "labels": "ltr", "tpu": False, "seed": 1}
    task = AudioFinetuningTask.setup_task(OmegaConf.merge(OmegaConf.structured(AudioFinetuningConfig), options))
    file = pretrained(kind, tmp_path / "pretrained.pt")
    config = {"_name": "ctc_probe", "pretrained": str(file), "frozen": True}
    model = build_model(OmegaConf.create(config), task).eval()
    torch.nn.init.normal_(model.head.projection.weight, generator=torch.Generator().manual_seed(1))
    state = {"args": None, "cfg": {"task": {"_name": "audio_finetuning", **options}, "model": config}}
    path = saved({**state, "model": model.state_dict(), "task_state": task.state_dict()}, tmp_path / "probe.pt")
    for name in ("pretrained.pt", "dict.ltr.txt"):
        (tmp_path / name).unlink()

    reads = count_reads(monkeypatch)
    reader = load_reader(path)
    assert reads == ["csc_fairseq"]
    assert (reader.sample_rate, reader.shortest) == (model.encoder.sample_rate, model.encoder.shortest)
    found = []
    for seed in range(3):
        waveform = syllables(6000, seed)
        with torch.no_grad():
            output = model(torch.from_numpy(waveform)[None])
        probabilities = model.get_normalized_probs(output, log_probs=True)[:, 0]
        blank = task.target_dictionary.index(task.blank_symbol)
        expected = [task.target_dictionary[index] for index in best_path(probabilities, blank)]
        assert reader.read(waveform) == expected
        found += expected
    assert len(set(found)) > 2


def dictionary(letters: str = LETTERS) -> Dictionary:
    """fairseq's, with its four symbols before the letters."""
    made = Dictionary()
    for letter in letters:
        made.add_symbol(letter)
    return made


def probe_checkpoint(backbone: Backbone, **task_state: Any) -> dict[str, Any]:
    """The dictionary of a fine-tuned checkpoint on this backbone, with a random head."""
    head = CtcHead(backbone.layers, backbone.channels, len(dictionary()), blank=0)
    return {
        "args": None,
        "cfg": {"task": {"_name": "audio_finetuning"}, "model": {"_name": "ctc_probe"}},
        "model": {
            **{f"encoder.{name}": weight for name, weight in backbone.state_dict().items()},
            **head.state_dict(),
        },
        "task_state": {"encoder_settings": backbone.settings, "target_dictionary": dictionary(), **task_state},
    }


def test_reading_needs_no_fairseq(tmp_path):
    """For backbones that are not fairseq's, which takes seconds to import."""
    saved(probe_checkpoint(backbone_from_settings(XVECTOR)), tmp_path / "xvector.pt")
    network = speaker_encoder().network
    settings = {"kind": "csc", "sample_rate": 16000, "network": vars(network.config)}
    saved(probe_checkpoint(backbone_from_settings(settings)), tmp_path / "csc.pt")
    program = """if True:
        import sys
        import numpy as np
        from csc_fairseq.verification.evaluation.content import load_reader
        for name in ("xvector", "csc"):
            reader = load_reader(f"{name}.pt")
            letters = reader.read(np.random.default_rng(0).standard_normal(8000).astype(np.float32))
            print(reader.symbols, len(letters) > 0)
        assert "fairseq" not in sys.modules, "fairseq was imported"
    """
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [f"{dictionary().symbols} True"] * 2


@pytest.mark.parametrize(
    ("task_state", "message"),
    [
        ({"target_dictionary": None}, "its entry target_dictionary is None, expected fairseq's dictionary of letters"),
        ({"target_dictionary": dictionary("|AB")}, "has misshapen weights, 2 in all, the first is projection.weight"),
        (
            {"target_dictionary": {"symbols": ["<s>"]}},
            "its entry target_dictionary is {.*}, expected fairseq's dictionary",
        ),
        ({"encoder_settings": None}, "its encoder_settings is a NoneType, expected a dictionary"),
        ({"encoder_settings": {**XVECTOR, "widths": [4, 4, 4, 4, 7]}}, "has misshapen weights"),
    ],
)
def test_damaged_probes(tmp_path, task_state, message):
    path = saved(probe_checkpoint(backbone_from_settings(XVECTOR), **task_state), tmp_path / "probe.pt")
    with pytest.raises(InputError, match=f"probe.pt: {message}"):
        load_reader(path)


def test_damaged_dictionaries_and_weights(tmp_path):
    state = probe_checkpoint(backbone_from_settings(XVECTOR))
    damaged = state["task_state"]["target_dictionary"]
    damaged.symbols = ["</s>", *damaged.symbols[1:]]
    with pytest.raises(InputError, match="probe.pt: its dictionary lacks the symbol <s>, which is CTC's blank"):
        load_reader(saved(state, tmp_path / "probe.pt"))
    damaged.symbols = ["<s>", 7]
    with pytest.raises(InputError, match="probe.pt: its dictionary entry symbols is .*, expected a list of texts"):
        load_reader(saved(state, tmp_path / "probe.pt"))
    state = probe_checkpoint(backbone_from_settings(XVECTOR))
    del state["model"]["projection.bias"]
    with pytest.raises(InputError, match="probe.pt: lacks weights, 1 in all, the first is projection.bias"):
        load_reader(saved(state, tmp_path / "probe.pt"))


def test_other_checkpoints_are_refused(tmp_path):
    with pytest.raises(InputError, match="absent.pt: no such file"):
        load_reader(tmp_path / "absent.pt")
    save_bundle(speaker_encoder(), tmp_path / "csc.pt")
    with pytest.raises(
        InputError, match="csc.pt: is a checkpoint of architecture 'csc', expected a checkpoint of ctc_probe"
    ):
        load_reader(tmp_path / "csc.pt")
